# `make help` lists the verbs.

CARGO ?= cargo
ARGS ?=
PREFIX ?= /usr/local

target_dir = $(or $(CARGO_TARGET_DIR),target)
dist = $(target_dir)/dist/claude-live
installed = $(DESTDIR)$(PREFIX)

# This machine's architecture: with musl where its target is installed, else with a static glibc where there is one. That is
# 0.8 MB larger, so what is ours is then made smaller, at the price of a third of the speed at which lines are read.
host = $(shell rustc --version --verbose | sed -n 's/^host: //p')
musl = $(subst -gnu,-musl,$(host))
triple = $(if $(wildcard $(shell rustc --print sysroot)/lib/rustlib/$(musl)),$(musl),$(host))

# Most tests wait most of the time, for a poll, a ping or a time-out; more threads than processors wait together.
export RUST_TEST_THREADS ?= 8

.PHONY: build run test test-rust test-page clients screenshots bench peers check lint audit soak fmt dist install uninstall clean help

build: ## build the release binary into target/release/claude-live
	$(CARGO) build --release --locked

run: ## build and run it; make run ARGS="--port 0 --demo"
	$(CARGO) run --release --locked -- $(ARGS)

test: test-rust test-page ## run every test

test-rust: clients ## run the program's tests, but those of `make dist`
	$(CARGO) test --locked

test-page: ## run the page's tests, in node and in Chromium
	$(CARGO) build --locked
	tests/browser/run.sh

clients: ## fetch the clients of others that the tests drive
	tests/clients/setup

screenshots: ## make the README's pictures again, from the demo
	$(CARGO) build --locked
	tests/browser/run.sh screenshots

bench: dist ## measure the figures beside other programs; make bench ARGS="latency idle" for some
	@# A thousand clients are four thousand sockets.
	@ulimit -S -n $$(ulimit -H -n) 2>/dev/null || true; \
	CLAUDE_LIVE=$(abspath $(dist)) $(CARGO) bench --locked --quiet --bench figures -- $(ARGS)

peers: ## install the programs that `make bench` measures beside
	benches/peers.sh

lint: ## check formatting, lints and documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- --deny warnings
	$(CARGO) check --locked --quiet --manifest-path tests/fuzz/Cargo.toml
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet

check: lint dist clients ## everything that CI runs
	$(CARGO) test --locked -- --include-ignored
	$(MAKE) test-page

audit: ## compare the dependencies with the database of advisories; needs `cargo install cargo-audit`, and the network
	$(CARGO) audit

soak: ## abuse and use the release for ten minutes; it must hold in the end what it held before
	CLAUDE_LIVE_SOAK_SECONDS=600 $(CARGO) test --locked --release --test it -- --test-threads 1 --nocapture soak:: a_line_every_50

fmt: ## format the sources
	$(CARGO) fmt

dist: ## build the binary to hand on, static and stripped, and print its SHA-256
	@$(if $(findstring -gnu,$(triple)),CARGO_PROFILE_RELEASE_OPT_LEVEL=s) RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --release --locked --quiet --target $(triple)
	@mkdir -p $(dir $(dist))
	@cp $(target_dir)/$(triple)/release/claude-live $(dist)
	@cd $(dir $(dist)) && { sha256sum claude-live || shasum -a 256 claude-live; } >claude-live.sha256
	@echo "$$(cut -d ' ' -f 1 $(dist).sha256)  $(dist)"

install: dist ## install it for everybody; make install PREFIX=~/.local for yourself
	install -d $(installed)/bin $(installed)/share/man/man1 $(installed)/share/zsh/site-functions \
	  $(installed)/share/bash-completion/completions $(installed)/share/fish/vendor_completions.d
	install -m 755 $(dist) $(installed)/bin/claude-live
	$(dist) --print-man >$(installed)/share/man/man1/claude-live.1
	$(dist) --print-completions bash >$(installed)/share/bash-completion/completions/claude-live
	$(dist) --print-completions zsh >$(installed)/share/zsh/site-functions/_claude-live
	$(dist) --print-completions fish >$(installed)/share/fish/vendor_completions.d/claude-live.fish

uninstall: ## remove what `make install` installed, with the same PREFIX
	rm -f $(installed)/bin/claude-live $(installed)/share/man/man1/claude-live.1 \
	  $(installed)/share/bash-completion/completions/claude-live $(installed)/share/zsh/site-functions/_claude-live \
	  $(installed)/share/fish/vendor_completions.d/claude-live.fish

clean: ## remove what was built
	$(CARGO) clean

help: ## print this list
	@sed --quiet --regexp-extended 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand --tabs=14
