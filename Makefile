# Everything that is run by hand or by a machine. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: audit bench demo fuzz help lint setup setup-build test vectors

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-build ## the main job on this machine: a node, four phones, a chat
	cargo run --quiet -p ailurus-cli -- demo

test: setup lint ## everything that must pass: format, lints, tests, fuzz targets, Kotlin, Swift, demo apps
	scripts/step tests cargo test --workspace --all-targets --no-fail-fast
	scripts/step documentation cargo test --workspace --doc --no-fail-fast
	scripts/step fuzzing scripts/fuzz-all 10
	scripts/step size scripts/mobile 5300000
	scripts/step android scripts/check-android
	scripts/step api scripts/api --check
	scripts/step kotlin $(MAKE) --no-print-directory test-kotlin
	scripts/step swift $(MAKE) --no-print-directory test-swift
	scripts/step demos $(MAKE) --no-print-directory test-demos
	scripts/step interop scripts/interop

lint: setup-build ## format and lints
	cargo fmt --all -- --check
	cargo fmt --manifest-path fuzz/Cargo.toml -- --check
	scripts/step clippy cargo clippy --workspace --all-targets --keep-going -- -D warnings

audit: ## licences, bans, sources and unused dependencies (builds cargo-deny and cargo-machete once)
	scripts/audit

bench: setup-build ## measure, each row against its floor; ONLY=name for one row
	cargo build --release -p ailurus-node -p ailurus-bench
	scripts/mobile
	$(MAKE) --no-print-directory kotlin
	ONLY='$(ONLY)' target/release/ailurus-bench

vectors: setup-build ## write docs/vectors again
	cargo run --quiet -p ailurus --example vectors -- docs/vectors

SECONDS ?= 60
fuzz: setup-build ## fuzz one target: make fuzz TARGET=link SECONDS=60
	scripts/fuzz '$(TARGET)' '$(SECONDS)'

setup: ## install what the tests need (Debian), or say what is missing
	scripts/setup test

setup-build:
	@scripts/setup build
