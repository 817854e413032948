# `make help` lists the verbs.

CARGO ?= cargo
ARGS ?=

.PHONY: build run test bench peers check lint fmt clean help

build: ## build the release binary into target/release/claude-live
	$(CARGO) build --release --locked

run: ## build and run it; make run ARGS="--port 0 --demo"
	$(CARGO) run --release --locked --quiet -- $(ARGS)

test: ## run every test
	$(CARGO) test --locked

bench: ## measure the figures beside other programs; make bench ARGS="latency idle" for some
	@# A thousand clients are four thousand sockets.
	@ulimit -S -n $$(ulimit -H -n) 2>/dev/null || true; $(CARGO) bench --locked --quiet --bench figures -- $(ARGS)

peers: ## install the programs that `make bench` measures beside
	benches/peers.sh

lint: ## check formatting, lints and documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet

check: lint test ## everything that CI runs

fmt: ## format the sources
	$(CARGO) fmt

clean: ## remove what was built
	$(CARGO) clean

help: ## print this list
	@sed --quiet --regexp-extended 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand --tabs=14
