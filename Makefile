# `make help` lists the verbs.

CARGO ?= cargo
ARGS ?=
FILE ?=
PREFIX ?= /usr/local

target_dir = $(or $(CARGO_TARGET_DIR),target)
dist = $(target_dir)/dist/claude-live
skipped = $(target_dir)/tmp/skipped
installed = $(DESTDIR)$(PREFIX)

# Builds for musl where its target is installed, else with a static glibc, which adds 1 MB.
host = $(shell rustc --version --verbose | sed -n 's/^host: //p')
musl = $(subst -gnu,-musl,$(host))
triple = $(if $(wildcard $(shell rustc --print sysroot)/lib/rustlib/$(musl)),$(musl),$(host))

# Most tests wait most of the time; more threads than processors wait together.
export RUST_TEST_THREADS ?= 8

.PHONY: build run test test-rust test-fleet test-page setup screenshots bench peers prices check \
  lint lint-and-dist audit soak fmt dist install uninstall clean help

build: ## build the release binary, target/release/claude-live
	$(CARGO) build --release --locked

run: ## build and run it; make run ARGS="--port 0 --demo"
	$(CARGO) run --release --locked -- $(ARGS)

test: test-rust test-page test-fleet ## run every test, and install what they need if possible
	@test ! -s $(skipped) || awk -F '\t' -v tools= \
	  '!tests[$$2]++ { n++ } !seen[$$1]++ { tools = tools (tools ? ", " : "") $$1 } \
	  END { printf "%d test%s skipped; missing: %s\n", n, n == 1 ? " was" : "s were", tools }' \
	  $(skipped)

test-rust: setup ## run the program's tests
	$(CARGO) test --locked $(test_args)

test-fleet: setup ## run the tests of the feature `fleet`, with a redis-server of their own
	$(CARGO) test --locked --features fleet --bin claude-live --test it -- \
	  $(fleet_args) fleet sources::machines cli::

test-page: setup ## run the page's tests, in node and in Chromium
	@# As the program's tests build it, which need not be done twice.
	$(CARGO) test --locked --no-run --quiet --test it
	tests/browser/run.sh

setup: ## install what the tests need; called by the tests
	@tests/setup
	@rm -f $(skipped)

screenshots: setup ## renew the README's pictures, from the demo
	$(CARGO) build --locked
	tests/browser/run.sh screenshots

bench: features = $(if $(findstring fleet,$(ARGS)),--features fleet)
bench: dist ## print the table of figures; make bench ARGS="latency idle" for a part, or "fleet"
	@# A thousand clients are four thousand sockets.
	@ulimit -S -n $$(ulimit -H -n) 2>/dev/null || true; \
	CLAUDE_LIVE=$(abspath $(dist)) \
	  $(CARGO) bench --locked --quiet $(features) --bench figures -- $(ARGS)

peers: ## install the programs that `make bench` compares with
	benches/peers.sh

prices: ## renew the prices of models from LiteLLM's table; make prices FILE=TABLE
	@test -f "$(FILE)" || { echo "FILE=$(FILE): expected LiteLLM's table" >&2; exit 2; }
	@mkdir -p $(target_dir)
	jq --raw-output --arg date "$$(date +%F)" --from-file src/formats/prices.jq "$(FILE)" \
	  >$(target_dir)/prices.json
	@# Only now, so that a table that cannot be read leaves the old prices.
	mv $(target_dir)/prices.json src/formats/prices.json

check: test_args = -- --include-ignored
check: fleet_args = --include-ignored
check: setup lint-and-dist test ## check everything that CI checks

lint-and-dist: setup
	@# The last step of a release takes one processor for a minute.
	$(MAKE) --jobs=2 lint dist

lint: ## check formatting, lints and documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --locked -- --deny warnings
	$(CARGO) clippy --locked --all-targets --features fleet -- --deny warnings
	@# A check links nothing, so that libFuzzer need not be compiled.
	CUSTOM_LIBFUZZER_PATH=/absent/libfuzzer.a \
	  $(CARGO) check --locked --quiet --manifest-path tests/fuzz/Cargo.toml
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet

audit: ## look the dependencies up in the database of advisories; needs cargo-audit
	$(CARGO) audit

soak: ## use and abuse the release for twenty minutes; memory, threads and files must not grow
	CLAUDE_LIVE_SOAK_SECONDS=300 $(CARGO) test --locked --release --test it -- \
	  --test-threads 1 --nocapture soak:: a_line_every_50 ticks::

fmt: ## format the sources
	$(CARGO) fmt

dist: ## build one static, stripped binary, and print its SHA-256
	@RUSTFLAGS="-C target-feature=+crt-static" \
	  $(CARGO) build --release --locked --quiet $(features) --target $(triple)
	@mkdir -p $(dir $(dist))
	@cp $(target_dir)/$(triple)/release/claude-live $(dist)
	@cd $(dir $(dist)) && { sha256sum claude-live || shasum -a 256 claude-live; } >claude-live.sha256
	@echo "$$(cut -d ' ' -f 1 $(dist).sha256)  $(dist)"

install: dist ## install it; make install PREFIX=~/.local for one user
	install -d $(installed)/bin $(installed)/share/man/man1 $(installed)/share/zsh/site-functions \
	  $(installed)/share/bash-completion/completions $(installed)/share/fish/vendor_completions.d
	install -m 755 $(dist) $(installed)/bin/claude-live
	$(dist) --print-man >$(installed)/share/man/man1/claude-live.1
	$(dist) --print-completions bash >$(installed)/share/bash-completion/completions/claude-live
	$(dist) --print-completions zsh >$(installed)/share/zsh/site-functions/_claude-live
	$(dist) --print-completions fish >$(installed)/share/fish/vendor_completions.d/claude-live.fish

uninstall: ## remove what `make install` installed, with the same PREFIX
	rm -f $(installed)/bin/claude-live $(installed)/share/man/man1/claude-live.1 \
	  $(installed)/share/bash-completion/completions/claude-live \
	  $(installed)/share/zsh/site-functions/_claude-live \
	  $(installed)/share/fish/vendor_completions.d/claude-live.fish

clean: ## remove what was built
	$(CARGO) clean

help: ## print this list
	@sed --quiet --regexp-extended 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | \
	  expand --tabs=14
