# Builds, tests and shows Tidegate. Cargo decides what is fresh; a setup step that is done costs nothing.

CARGO ?= cargo
PYTHON ?= python3
TARGET := wasm32-unknown-unknown

# A binary to be used instead of the fetched ones: make demo ENVOY=/usr/local/bin/envoy
ENVOY ?=
ENVOY_VERSION := 1.40.0
ENVOY_OLDEST := 1.36.4
ENVOY_OLDEST_NATIVE := 1.39.0
export TIDEGATE_ENVOY := $(if $(ENVOY),$(abspath $(ENVOY)))

OUT := $(or $(CARGO_TARGET_DIR),target)

# The module holds no path of the machine that built it: the same sources give the same bytes anywhere.
REMAP := --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo --remap-path-prefix=$(CURDIR)=tidegate

# Less is inlined and unrolled than for speed alone: 15 KB of the module, and nothing that a request would notice. Names, and places
# that the linker could move, are left out: 130 KB.
SMALL := -Cllvm-args=-inline-threshold=12 -Cllvm-args=-inlinehint-threshold=100 -Cllvm-args=-unroll-runtime=false \
	-Clink-arg=--strip-all -Clink-arg=--compress-relocations

# make wasm OPT=1 takes another 5 % off, as releases do, with the wasm-opt of Binaryen: that of PATH, of node_modules, or
# WASM_OPT=/path/to/wasm-opt. It may use what rustc uses, and nothing more.
OPT ?=
WASM_OPT ?= $(or $(shell command -v wasm-opt),$(wildcard node_modules/.bin/wasm-opt))
OPTIMISE = $(or $(WASM_OPT),$(error OPT=1 needs wasm-opt, which is not on PATH: install Binaryen, or name it by WASM_OPT=)) \
	--enable-bulk-memory --enable-mutable-globals --enable-nontrapping-float-to-int --enable-sign-ext -Oz --converge -o

# What a library ends in where it is built. Envoy takes it under any name.
LIBRARY := $(if $(filter Darwin,$(shell uname -s)),dylib,so)

# How make up gets Tidegate into Envoy: wasm, or native
DOOR ?= wasm

# The port of make up's proxy
PORT ?=

# Where parts of a release are, for make demo without Rust: a folder or a URL
RELEASE ?=

# How often make fuzz runs each of its targets, and which: all, if none is named. make test-istio ONLY=fleet RUNS=10 measures
# each fault ten times
RUNS ?= 1000000
FUZZ ?=

# Which parts make test-istio runs: all, if none is named (ONLY=waypoint)
ONLY ?=

# How many days of each row make simulate goes through, and over how many proxies together (FLEET=1000): one, if none is said
DAYS ?= 1000
FLEET ?=

# The fleet's part of make test-istio has a thousand proxies of this code in one process: it is compiled to be quick.
QUICK := --config profile.dev.package.tidegate-proxy.opt-level=2 --config profile.dev.package.tidegate-engine.opt-level=2

# Measured is the command as it is released
MEASURED := $(if $(filter fleet,$(ONLY)),$(OUT)/release/tidegate)

# How often make forgets does each thing
TIMES ?= 100

export CARGO PYTHON TARGET

.PHONY: help setup toolchain envoy envoy-oldest wasm module demo up down test test-istio fuzz detect forgets pictures storm soak release image reproduce audit lint miri bench budget simulate clean
.DEFAULT_GOAL := help

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "  make %-9s %s\n", $$1, $$2 }'
	@echo
	@echo "  ENVOY=/path/to/envoy uses that Envoy instead of fetching one."

ifneq ($(RELEASE),)
demo: envoy
	@sh envoy/released.sh $(RELEASE)
	@TIDEGATE_ROOT="$(CURDIR)" TIDEGATE_WASM="$(CURDIR)/target/released/tidegate.wasm" target/released/demo
else
demo: wasm envoy ## See the main job in one run: headers, split, ramp, kill; RELEASE=folder or URL needs no Rust
	$(CARGO) build --locked --package tidegate-demo
	@$(OUT)/debug/demo
endif

up: $(if $(filter native,$(DOOR)),module,wasm) envoy ## Leave the demo's Envoy running, with curl lines to try; DOOR=native PORT=20000
	@DOOR=$(DOOR) PORT=$(PORT) bash envoy/up.sh $(ENVOY_VERSION)

down: ## Stop what `make up` has started
	@bash envoy/down.sh

test: wasm module setup ## Run all tests: unit, cases, laws, and end to end in real Envoys
	$(CARGO) test --locked --workspace --features tidegate/fleet

fuzz: wasm ## Run the fuzz targets (nightly Rust; RUNS=10000000 FUZZ=token makes a long run of one)
	@sh tests/fuzz/run.sh $(RUNS) $(FUZZ)

bench: wasm module envoy ## Measure what the filter costs, beside other ways, and report it (PARTS, CELLS, VISITS, REPORT=docs)
	CELLS='$(CELLS)' VISITS='$(VISITS)' MODULES='$(MODULES)' PARTS='$(PARTS)' REPORT='$(REPORT)' \
		$(CARGO) bench --locked --package tidegate-tests $(if $(PARTS)$(CELLS)$(MODULES),--bench proxy)

budget: wasm ## Count the instructions of a request's work, and fail at 3 % over the budget (BUDGET=write makes it anew)
	BUDGET='$(BUDGET)' $(CARGO) bench --locked --package tidegate-tests --bench budget

test-istio: wasm envoy ## Run the manifests in a real Istio: API server, istiod, agent, Envoy (Go; ten minutes at first)
	@sh tests/istio/build.sh $(OUT)/istio
	$(CARGO) build --locked --package tidegate --package tidegate-release --features tidegate/fleet
	@$(OUT)/debug/image $(OUT)/tidegate.wasm $(OUT)/oci
	$(if $(MEASURED),$(CARGO) build --locked --release --package tidegate --features tidegate/fleet)
	$(CARGO) test --locked --package tidegate-fleet --test cluster
	TIDEGATE_COMMAND=$(abspath $(MEASURED)) $(CARGO) test --locked $(QUICK) --package tidegate-tests --test istio -- $(ONLY)

detect: wasm envoy ## Measure in a real Envoy how fast bad versions are taken back, and that equal ones stay
	$(CARGO) test --locked --package tidegate-tests --test envoy rollback -- --ignored --nocapture --test-threads 1

forgets: wasm envoy ## Kill proxies, add them, and give them new VMs under load after a rollback and a hold, TIMES=100 each
	TIMES=$(TIMES) $(CARGO) test --locked --package tidegate-tests --test envoy forgets -- --nocapture --test-threads 1

simulate: ## Print how often a guard errs, and how fast it finds a bad version, DAYS=1000; FLEET=1000 for all proxies
	@DAYS=$(DAYS) FLEET=$(FLEET) $(CARGO) bench --locked --package tidegate-tests --bench $(if $(FLEET),fleet,guards)

pictures: wasm envoy ## Draw the pictures of the page in docs/pictures anew (needs a Chromium)
	$(CARGO) test --locked --package tidegate-tests --test envoy page::looks::pictures -- --ignored --nocapture

storm: wasm envoy ## Push 200 KB ten times a second under load, SECONDS_LONG=60
	$(CARGO) test --locked --package tidegate-tests --test envoy endurance::storm -- --ignored --nocapture

soak: wasm envoy ## Load one Envoy steadily and watch its memory, SECONDS_LONG=300
	$(CARGO) test --locked --package tidegate-tests --test envoy endurance::soak -- --ignored --nocapture

release: module ## Build all that a release has, into target/release-assets
	@$(MAKE) --no-print-directory wasm OPT=$(if $(WASM_OPT),1)
	@$(if $(WASM_OPT),,echo "Without wasm-opt the module is 5 % larger than that of a release: npm install binaryen")
	@REMAP="$(REMAP)" sh envoy/release.sh

image: wasm ## Make the images of module and command, target/oci and oci-cli; PUSH=registry.example/team/tidegate
	@REMAP="$(REMAP)" PUSH="$(PUSH)" sh envoy/image.sh

reproduce: toolchain ## Build the module in two folders and compare the two
	@sh envoy/reproduce.sh

audit: ## Check licences, sources and advisories of all crates, and list them (cargo-deny, cargo-cyclonedx)
	@sh envoy/audit.sh

lint: toolchain ## Check formatting, lints on both targets, and documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --workspace --all-targets --features tidegate/fleet -- -D warnings
	$(CARGO) clippy --locked --package tidegate-filter --profile wasm --target $(TARGET) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --features tidegate/fleet --no-deps

miri: ## Have Miri watch the calls between Tidegate and a proxy (nightly Rust with its miri)
	@# The allocator keeps what it has taken, as in a module, whose memory never shrinks.
	MIRIFLAGS=-Zmiri-ignore-leaks $(CARGO) +nightly miri test --locked --package tidegate-hostcalls --all-features

# What is built is put in place by a rename: an Envoy that has it open keeps what it has.
wasm: toolchain ## Build the filter module, target/tidegate.wasm
	RUSTFLAGS="$(REMAP) $(SMALL)" $(CARGO) build --locked --package tidegate-filter --profile wasm --target $(TARGET)
	@$(if $(OPT),$(OPTIMISE) $(OUT)/tidegate.wasm.new $(OUT)/$(TARGET)/wasm/tidegate.wasm,cp \
		$(OUT)/$(TARGET)/wasm/tidegate.wasm $(OUT)/tidegate.wasm.new) && mv $(OUT)/tidegate.wasm.new $(OUT)/tidegate.wasm

module: toolchain ## Build the native door, target/libtidegate.so, for this machine
	RUSTFLAGS="$(REMAP)" $(CARGO) build --locked --package tidegate-module --profile module
	@cp $(OUT)/module/libtidegate_module.$(LIBRARY) $(OUT)/libtidegate.so.new && mv $(OUT)/libtidegate.so.new $(OUT)/libtidegate.so

setup: toolchain envoy envoy-oldest ## Get what is missing: the Rust target, the Envoys for demo and tests

envoy: ## Fetch the Envoy of the demo (no root; below target/)
	@sh envoy/fetch.sh $(ENVOY_VERSION)

envoy-oldest:
	@sh envoy/fetch.sh $(ENVOY_OLDEST)
	@sh envoy/fetch.sh $(ENVOY_OLDEST_NATIVE)

toolchain:
	@sh envoy/toolchain.sh

clean: down ## Remove everything that was built or fetched
	$(CARGO) clean
	rm -rf target
