# Everything that is run by hand or by a machine. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: aar api audit bench demo energy fuzz help kotlin lint setup setup-build sim swift test test-demos test-kotlin test-swift usage-check vectors \
	xcframework

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-build ## the main job on this machine: a node, four phones, a chat
	cargo run --quiet -p ailurus-cli -- demo

test: setup lint ## everything that must pass: format, lints, tests, fuzz targets, Kotlin, Swift, demo apps
	scripts/step tests cargo test --workspace --all-targets --no-fail-fast
	scripts/step documentation cargo test --workspace --doc --no-fail-fast
	scripts/step simulation cargo run --quiet --profile simulation -p ailurus-bench --bin ailurus-sim -- --nodes 10 --clients 1000 --channels 250
	scripts/step fuzzing scripts/fuzz-all 5
	scripts/step size scripts/mobile 6150000
	scripts/step android scripts/check-android
	scripts/step api scripts/api --check
	scripts/step kotlin $(MAKE) --no-print-directory test-kotlin
	scripts/step swift $(MAKE) --no-print-directory test-swift
	scripts/step demos $(MAKE) --no-print-directory test-demos
	scripts/step interop scripts/interop

kotlin: setup-build ## the Kotlin library, as a jar: target/kotlin
	scripts/bindings kotlin mobile
	scripts/maven bindings/kotlin package -Dmaven.test.skip=true

test-kotlin: setup ## the Kotlin library against a real super node, and the Android adapters
	cargo build --quiet -p ailurus-node
	scripts/bindings kotlin
	scripts/maven bindings/kotlin test

swift: setup-build ## the Swift package: target/swift
	scripts/bindings swift mobile
	bindings/swift/prepare
	scripts/swift swift build --scratch-path target/swift

test-swift: setup ## the Swift package against a real super node, and the adapters' types
	cargo build --quiet -p ailurus-node
	scripts/bindings swift
	bindings/swift/prepare
	scripts/swift swift test --scratch-path target/swift
	scripts/swift bindings/swift/check-adapters

test-demos: setup ## the demo apps: models against a real super node, views against stand-ins
	cargo build --quiet -p ailurus-node
	scripts/bindings kotlin
	scripts/bindings swift
	bindings/swift/prepare
	scripts/maven bindings/kotlin install -Dmaven.test.skip=true
	scripts/maven android-demo test
	scripts/swift swift test --package-path ios-demo --scratch-path target/swift-demo
	scripts/swift ios-demo/check

aar: kotlin ## the library for Android: target/aar (native code where an NDK is)
	scripts/aar

xcframework: ## the library for Apple's platforms: target/xcframework (on a Mac)
	scripts/xcframework

api: setup-build ## write bindings/api.txt, the API as text, which `make test` compares
	scripts/api

lint: setup-build ## format and lints
	cargo fmt --all -- --check
	cargo fmt --manifest-path fuzz/Cargo.toml -- --check
	scripts/step clippy cargo clippy --workspace --all-targets --keep-going -- -D warnings

audit: ## licences, bans, sources and unused dependencies (builds cargo-deny and cargo-machete once)
	scripts/audit

bench: setup-build ## measure, each row against its floor; ONLY=name for one row
	cargo build --release -p ailurus-node -p ailurus-bench
	scripts/mobile
	scripts/bindings kotlin
	scripts/maven bindings/kotlin -pl lib test-compile
	ONLY='$(ONLY)' target/release/ailurus-bench

SIM ?=
sim: setup-build ## a week of a whole network in virtual time; SIM='--seed 7 --fail-rate 0.2' (see --help)
	cargo run --quiet --release -p ailurus-bench --bin ailurus-sim -- $(SIM)

ENERGY ?=
energy: setup-build ## what days in the background cost a phone, beside other programs; ENERGY='--kind quiet --radio wifi' (see --help)
	cargo run --quiet --profile simulation -p ailurus-bench --bin ailurus-energy -- \
		--svg $(if $(ENERGY),target/energy.svg,docs/energy.svg) $(ENERGY)

MINUTES ?= 10
usage-check: setup-build ## the phone's ledger against counters outside of it, in a network namespace (root); MINUTES=10
	cargo run --quiet -p ailurus-bench --bin ailurus-usage-check -- --seconds "$$((60 * $(MINUTES)))"

vectors: setup-build ## write docs/vectors again
	cargo run --quiet -p ailurus --example vectors -- docs/vectors

SECONDS ?= 60
fuzz: setup-build ## fuzz one target: make fuzz TARGET=link SECONDS=60
	scripts/fuzz '$(TARGET)' '$(SECONDS)'

setup: ## install what the tests need (Debian), or say what is missing
	scripts/setup test

setup-build:
	@scripts/setup build
