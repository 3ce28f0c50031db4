# Coppice: what can be made. `make` alone lists it.

# Outside the checkout, so that every clone shares what was built. e2e/src/cache.rs follows the same rule.
export COPPICE_CACHE := $(or $(COPPICE_CACHE),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME)/coppice,$(HOME)/.cache/coppice))
# Each checkout has a folder of its own: Cargo takes what another checkout of the same version compiled for its own, and
# that has the other one's paths in it. `e2e/prepare` removes the folders of checkouts that are gone.
export CARGO_TARGET_DIR ?= $(COPPICE_CACHE)/targets/$(shell pwd -P | cksum | cut -d ' ' -f 1)

LAB = $(CARGO_TARGET_DIR)/debug/lab

.PHONY: help lab cluster down demo test bench soak fuzz mutants idle generate lint deny sbom

help: ## List what can be made
	@sed -n 's/^\([a-z]*\):.* ## /\1\t/p' Makefile | expand -t 12

lab:
	@./e2e/prepare
	@cargo build --quiet --locked -p e2e

cluster: lab ## Start a real cluster, leave it running and print its kubeconfig (NODES=1, KWOK_NODES=0)
	@$(LAB) cluster

down: lab ## End the cluster that is running, and clean up what was left behind
	@$(LAB) down

demo: lab ## Show a tree that heals on a real cluster, and leave it running to play with
	@$(LAB) demo

test: lab ## Run all tests, with the time of each layer (CLUSTER=current: on the current cluster)
	@$(LAB) test

bench: lab ## Measure Coppice beside its peers; a table, and target/bench.json (ROWS=heal-delete-p50,idle-cpu)
	@$(LAB) bench

soak: ## Run the simulation with as many seeds as wanted (SEEDS=100000, FIRST=20000)
	@first=$${FIRST:-20000}; SIM_SEEDS=$$first..$$((first + $${SEEDS:-100000})) cargo test --locked -p coppice --lib seeds_of_random_stories

fuzz: ## Run random histories on Erlang/OTP and on the engine, and hostile evidence (HISTORIES=100000, FIRST=20000, CASES=1000000)
	@./e2e/prepare
	@first=$${FIRST:-20000}; OTP_SEEDS=$$first..$$((first + $${HISTORIES:-100000})) cargo test --locked -p coppice --lib histories_go_as_in_otp -- --nocapture
	@HOSTILE_CASES=$${CASES:-1000000} cargo test --locked -p coppice --lib hostile -- --nocapture

mutants: lab ## Change the engine, one thing at a time, and see whether its tests notice (SHARE=0/6)
	@$(LAB) mutants

idle: lab ## Watch an idle operator for ten minutes: it must write nothing but its Lease
	@IDLE_SECONDS=600 cargo test --locked -p e2e --features cluster --test cluster -- --nocapture idle

generate: ## Write what is generated again: CRDs, manifests, reference pages
	@UPDATE=1 cargo test --locked --workspace --quiet
	@UPDATE=1 cargo test --locked --quiet -p e2e --features cluster --test chart install_yaml

lint: ## Check format, lints and documentation
	@for tool in fmt clippy; do cargo $$tool --version >/dev/null 2>&1 || { echo "This machine lacks cargo $$tool (rustup component add rustfmt clippy)" >&2; exit 1; }; done
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items

deny: lab ## Judge licences, sources, bans and known vulnerabilities of all dependencies
	@$(LAB) deny

sbom: lab ## List what the operator's program is made of (CycloneDX), and print where the list is
	@$(LAB) sbom
