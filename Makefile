# `make help` lists the verbs.

CARGO ?= cargo
ARGS ?=

.PHONY: build run test test-rust test-page screenshots check lint fmt clean help

build: ## build the release binary into target/release/claude-live
	$(CARGO) build --release --locked

run: ## build and run it; make run ARGS="--port 0 --demo"
	$(CARGO) run --release --locked --quiet -- $(ARGS)

test: test-rust test-page ## run every test

test-rust: ## run the program's tests
	$(CARGO) test --locked

test-page: ## run the page's tests, in node and in Chromium
	$(CARGO) build --locked
	tests/browser/run.sh

screenshots: ## make the README's pictures again, from the demo
	$(CARGO) build --locked
	node tests/browser/screenshots.js

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
