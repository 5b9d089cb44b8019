# Every target sets up what it needs; a second run takes seconds. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
ENV := . scripts/env.sh &&

.PHONY: help setup setup-tests build plugins fixtures demo external-model dual-model test crash-loop kafka-throughput lint fmt bench inference-bench inference-scenarios model clean

help: ## lists the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: ## installs what a fresh machine lacks, and says what and why
	@scripts/setup.sh

# What only tests need. Where it cannot be had, they say SKIPPED and are counted.
setup-tests: setup ## what only tests need: a Kafka broker, an S3 server, model servers (else they say SKIPPED)
	@scripts/setup-kafka.sh >/dev/null || true
	@scripts/setup-s3.sh >/dev/null || true
	@scripts/setup-model-servers.sh >/dev/null || true

build: setup plugins ## the host at bin/millstream, the plugins at bin/plugins/*.wasm
	@$(ENV) cargo build --release --locked --package millstream
	@$(ENV) mkdir -p bin && install -C "$$CARGO_TARGET_DIR/release/millstream" bin/millstream

plugins: setup
	@scripts/build-plugins.sh

fixtures: setup
	@scripts/build-plugins.sh --out bin/fixtures tests/fixtures/guests

demo: build ## a fraud-scoring pipeline over 1,000,000 transactions, with a plugin swapped half-way
	@$(ENV) examples/fraud-scoring/demo.sh

external-model: build ## enrichment, then a model in a real model server (MLServer), over HTTP
	@$(ENV) examples/external-model/demo.sh

dual-model: build ## a fast model beside an accurate one in a model server, compared row by row
	@$(ENV) examples/dual-model/demo.sh

test: build fixtures setup-tests ## every test
	@$(ENV) scripts/test.sh

crash-loop: build fixtures setup-tests ## kill -9 under load, KILLS=1000 times (CRASH="--seed 7 --sink kafka" for more)
	@$(ENV) cargo run --quiet --release --locked --package millstream-tests --bin crash-loop -- --kills $${KILLS:-1000} $(CRASH)

kafka-throughput: build setup-tests ## Kafka to Kafka, exactly once: rows a second and where the time goes
	@$(ENV) cargo run --quiet --release --locked --package millstream-tests --bin kafka-throughput

lint: setup ## formatting and clippy, warnings are errors
	@scripts/lint.sh

fmt: ## formats all code
	@cargo fmt --all && cargo fmt --manifest-path plugins/Cargo.toml --all && cargo fmt --manifest-path tests/fixtures/guests/Cargo.toml --all

bench: build ## every speed bar, as a table and (BENCH_JSON=FILE) as JSON
	@$(ENV) bin/millstream bench $(BENCH)

# The binaries of one package, so that the model server lies beside the one that starts it.
TESTS = cargo build --quiet --release --locked --package millstream-tests --bins && "$$CARGO_TARGET_DIR/release

inference-bench: build ## calls of external models: every speed bar, as a table (INFERENCE="--json FILE NAME…" for more)
	@$(ENV) $(TESTS)/inference-bench" $(INFERENCE)

inference-scenarios: build ## model servers that die, slow down and are overloaded: a verdict each (some 5 minutes)
	@$(ENV) $(TESTS)/inference-scenarios" $(INFERENCE)

model: build ## trains examples/fraud-scoring/model.onnx again
	@$(ENV) examples/fraud-scoring/train.sh

clean: ## removes what the targets put into this clone (not the per-user cache)
	rm -rf bin out examples/*/out
