# What people and CI run. Each target installs what it needs and says so; without root it names what is missing.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo
# Where rustup puts it, also before the shell knows.
export PATH := $(PATH):$(HOME)/.cargo/bin
# Colours and progress bars are for people.
export CARGO_TERM_PROGRESS_WHEN ?= auto

.PHONY: help run demo test lint bench fuzz docs deny system rust library nextest emmylua

help:
	@echo "make run     build wharf and run it with ./config.toml"
	@echo "make demo    run it with a simulated WhatsApp, to try everything without a phone"
	@echo "make test    everything CI checks: format, lints, docs, dependencies, tests with a real browser, scripts"
	@echo "make lint    format, lints and docs alone"
	@echo "make fuzz    random input for what reads untrusted bytes"
	@echo "make bench   the figures: latency, throughput, memory"

run: system rust library
	$(CARGO) run --release --locked -- run

demo: system rust library
	$(CARGO) run --release --locked -- demo

lint: system rust
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

test: system rust library nextest emmylua lint deny
	$(CARGO) nextest run --locked
	$(CARGO) run --locked --quiet -- check
	$(CARGO) run --locked --quiet -- check scripts/examples
	$(CARGO) run --locked --quiet -- test
	$(CARGO) run --locked --quiet -- test scripts/examples

# Random input for what reads untrusted bytes, FUZZ seconds for each target; outside `make test`, which runs the targets over
# their corpus. Needs a nightly compiler, which rustup fetches.
FUZZ ?= 60
TARGETS := config agent record admin
CARGO_FUZZ := 0.13.2
fuzz: system rust
	@rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { \
	  echo "installing cargo-fuzz $(CARGO_FUZZ) (a few minutes, once)"; \
	  $(CARGO) install --locked --quiet cargo-fuzz@$(CARGO_FUZZ); }
	@for target in $(TARGETS); do \
	  mkdir -p fuzz/found/$$target; \
	  $(CARGO) +nightly fuzz run $$target fuzz/found/$$target fuzz/corpus/$$target -- -max_total_time=$(FUZZ); \
	done

bench: system rust library
	$(CARGO) bench --locked --bench store
	$(CARGO) bench --locked --bench durability
	$(CARGO) bench --locked --bench deliveries
	$(CARGO) bench --locked --bench scripts
	$(CARGO) bench --locked --bench path

# Writes the part of docs/scripting.md that is made from the program's tables.
docs: system rust
	WHARF_WRITE_DOCS=1 $(CARGO) test --locked --quiet --test it -- --exact docs::the_reference_of_the_scripting_guide_is_that_of_the_program

# The browser, a C++ compiler for Luau, Node for the in-page library, curl for rustup, Python for the tests of signatures.
PACKAGES := curl:curl ca-certificates:/etc/ssl/certs/ca-certificates.crt \
            chromium:/usr/lib/chromium/chromium \
            chromium-headless-shell:/usr/lib/chromium/chromium-headless-shell \
            g++:/usr/bin/g++ \
            nodejs:node npm:npm \
            python3-venv:/usr/lib/python3*/ensurepip/__main__.py

system:
	@missing=""; \
	for pair in $(PACKAGES); do \
	  name=$${pair%%:*}; probe=$${pair#*:}; \
	  command -v "$$probe" >/dev/null 2>&1 || compgen -G "$$probe" >/dev/null || missing="$$missing $$name"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Debian packages:$$missing"; \
	    apt-get update -qq; \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else \
	    echo "missing packages:$$missing" >&2; \
	    echo "install them, e.g.: sudo apt-get install$$missing" >&2; \
	    exit 1; \
	  fi; \
	fi

# A distribution's own cargo may be years older than the language that wharf is written in; rustup fetches what
# rust-toolchain.toml names.
rust:
	@if ! command -v $(CARGO) >/dev/null 2>&1; then \
	  if ! command -v curl >/dev/null 2>&1; then \
	    echo "missing: Rust; install it from https://rustup.rs" >&2; exit 1; \
	  fi; \
	  echo "installing Rust with rustup, into $(HOME)/.cargo"; \
	  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs \
	    | sh -s -- -y --quiet --profile minimal --default-toolchain none --no-modify-path; \
	fi
	@$(CARGO) --version >/dev/null
	@have=$$($(CARGO) --version | cut -d' ' -f2); want=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml); \
	if [ "$$(printf '%s\n' "$$want" "$$have" | sort -V | head -n 1)" != "$$want" ]; then \
	  echo "$(CARGO) is $$have, wharf needs Rust $$want: install rustup from https://rustup.rs" >&2; exit 1; \
	fi

library: node_modules/.package-lock.json

node_modules/.package-lock.json: package.json package-lock.json
	@echo "installing the in-page library from npm"
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

NEXTEST := 0.9.143
nextest:
	@command -v cargo-nextest >/dev/null 2>&1 || { \
	  echo "installing cargo-nextest $(NEXTEST) (a few minutes, once)"; \
	  $(CARGO) install --locked --quiet cargo-nextest@$(NEXTEST); }

# A language server for Lua, which reads what `wharf types` writes.
EMMYLUA := 0.25.1
emmylua:
	@command -v emmylua_check >/dev/null 2>&1 || { \
	  echo "installing emmylua_check $(EMMYLUA) (a few minutes, once)"; \
	  $(CARGO) install --locked --quiet emmylua_check@$(EMMYLUA); }

DENY := 0.20.2
deny:
	@command -v cargo-deny >/dev/null 2>&1 || { \
	  echo "installing cargo-deny $(DENY) (a few minutes, once)"; \
	  $(CARGO) install --locked --quiet cargo-deny@$(DENY); }
	$(CARGO) deny --log-level error check licenses bans sources
	@if ! out=$$($(CARGO) deny --log-level error check advisories 2>&1); then \
	  case "$$out" in \
	    *"failed to fetch"*|*"unable to fetch"*|*"failed to clone"*|*"error sending request"*|*"advisory database"*) \
	      echo "advisories were not checked: their database cannot be reached from here" ;; \
	    *) echo "$$out" >&2; exit 1 ;; \
	  esac; \
	fi
