# cauce: data pipelines without a server. `make help` lists what there is.

# Built once, outside the clone, so that a fresh clone (and CI) finds it again.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cauce/target
CARGO ?= cargo
BIN := $(CARGO_TARGET_DIR)/debug
DAY ?= 1997-01-05
VENTAS := pipelines/ventas
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the programs: cauce, cauce-worker, cauce-run, ventas-drop
	$(CARGO) build --locked -p cauce -p cauce-worker

.PHONY: run
run: build ## make a day's drop, run the sales pipeline over it, show its gold tables (DAY=1997-01-05)
	@$(BIN)/cauce run $(VENTAS)/ventas_drop.yaml --logical-date $(DAY)
	@$(BIN)/cauce run $(VENTAS)/ventas_batch.yaml --logical-date $(DAY)
	@echo
	@echo "gold tables (Delta) are in $(VENTAS)/.cauce/objects/ecommerce-lake/gold:"
	@ls $(VENTAS)/.cauce/objects/ecommerce-lake/gold

.PHONY: verify
verify: build ## run the sales pipeline over January 1997 and hold its gold against the purchases, to the cent
	@$(BIN)/cauce backfill $(VENTAS)/ventas_drop.yaml --from 1997-01-01 --to 1997-01-31
	@$(BIN)/cauce backfill $(VENTAS)/ventas_batch.yaml --from 1997-01-01 --to 1997-01-31
	@$(BIN)/cauce backfill $(VENTAS)/ventas_semana.yaml --from 1997-01-01 --to 1997-01-31
	@$(BIN)/cauce run $(VENTAS)/ventas_export.yaml
	python3 $(VENTAS)/verify/revenue.py $(VENTAS)/data/cdnow_master.txt.gz \
		$(VENTAS)/.cauce/objects/ecommerce-lake/export/ventas_diarias_region.csv 1997-01-01 1997-01-31 \
		$(VENTAS)/.cauce/objects/ecommerce-lake/export/ventas_semanales_region

.PHONY: test
test: tools ## run all tests; what this machine cannot run is said as "skipped: needs X"
	$(CARGO) build --locked --workspace --all-targets
	$(CARGO) test --locked --workspace --no-fail-fast
	@python=$(VENVS)/ministack/bin/python; test -x $$python || { echo "skipped: needs ministack"; exit 0; }; \
		cd infra/emulator && $$python -m unittest --buffer --quiet
	@$(MAKE) --no-print-directory guards

.PHONY: lint
lint: ## formatting, clippy and, where it is installed, cargo-deny
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; else echo "skipped: needs cargo-deny"; fi

.PHONY: bless
bless: ## rewrite generated files and snapshots: schemas, CLI reference, compiled machines, scores
	CAUCE_BLESS=1 INSTA_UPDATE=always $(CARGO) test --locked --workspace

.PHONY: bench
bench: ## measure: whole runs, compiler, interpreter, `cauce up`, its interface (release profile; prints, asserts nothing)
	$(CARGO) build --locked --release -p cauce
	$(CARGO) bench --locked -p cauce-interpreter -p cauce-compiler -p cauce-engine
	$(CARGO) bench --locked -p cauce-tests --bench decisions
	python3 benches/runs.py --cauce $(CARGO_TARGET_DIR)/release/cauce
	python3 benches/up.py --cauce $(CARGO_TARGET_DIR)/release/cauce
	python3 benches/api.py --cauce $(CARGO_TARGET_DIR)/release/cauce

.PHONY: bench-cloud
bench-cloud: tools package ## measure the deployed functions on the emulated cloud (release packages; prints, asserts nothing)
	$(CARGO) build --locked --workspace --all-targets
	python3 benches/cloud.py --cauce $(BIN)/cauce --functions $(CARGO_TARGET_DIR)/functions -- \
		$(CARGO) test --locked --workspace --test emulator --

.PHONY: sim
sim: ## more seeds of the simulation tests (SEEDS=10000), of one (TEST=storm), or one seed again (SEED=7 TEST=...)
	$(if $(SEED),CAUCE_SEED=$(SEED),CAUCE_SEEDS=$(or $(SEEDS),10000)) \
		$(CARGO) test --locked -p cauce-tests --test simulation -- --nocapture $(TEST)

.PHONY: scenarios
scenarios: ## what may go wrong, scenario by scenario, with the faults that were met (docs/reliability.md)
	$(CARGO) test --locked -p cauce-tests --test simulation -- --nocapture scenarios

.PHONY: guards
guards: ## take away each guard of a decision in turn; its test must fail (tests/guards/guards.txt)
	$(CARGO) run --locked --quiet -p cauce-guards -- check

.PHONY: guards-find
guards-find: ## find tests for guards that are not listed, and write them down (TEST="words of tests to try")
	$(CARGO) run --locked --quiet -p cauce-guards -- find $(TEST)

.PHONY: kill
kill: ## kill the engine at random moments and account for every task (CYCLES=1000)
	$(CARGO) build --locked -p cauce
	CAUCE_CYCLES=$(or $(CYCLES),1000) CAUCE_SEED=$(or $(SEED),1) $(CARGO) test --locked -p cauce-tests --test local -- killed --nocapture

# What a fuzzer finds stays beside the builds; `make fuzz-keep` takes of it what the repository keeps.
FUZZED = $(CARGO_TARGET_DIR)/fuzz
FUZZ = $(CARGO) +nightly fuzz
.PHONY: fuzz
fuzz: ## search for inputs that break a reader of foreign bytes (TARGET=pipeline SECONDS=60; fuzz/README.md)
	@$(FUZZ) --version >/dev/null 2>&1 || { echo "skipped: needs cargo-fuzz and a nightly compiler"; exit 0; }; \
		target=$(or $(TARGET),pipeline) && mkdir -p $(FUZZED)/corpus/$$target $(FUZZED)/artifacts/$$target && \
		CARGO_TARGET_DIR=$(FUZZED)/target $(FUZZ) run --fuzz-dir fuzz $$target \
			$(FUZZED)/corpus/$$target fuzz/corpus/$$target -- -dict=fuzz/words/$$target.dict \
			-artifact_prefix=$(FUZZED)/artifacts/$$target/ -rss_limit_mb=2048 -max_len=8192 -timeout=120 \
			-max_total_time=$(or $(SECONDS),60) -print_final_stats=1

.PHONY: fuzz-keep
fuzz-keep: ## take what a target needs of what was found into fuzz/corpus (TARGET=pipeline)
	@$(FUZZ) --version >/dev/null 2>&1 || { echo "skipped: needs cargo-fuzz and a nightly compiler"; exit 0; }; \
		target=$(or $(TARGET),pipeline) && CARGO_TARGET_DIR=$(FUZZED)/target $(FUZZ) build --fuzz-dir fuzz $$target && \
		python3 fuzz/keep.py $$(find $(FUZZED)/target/*/release -maxdepth 1 -name $$target -type f) \
			fuzz/corpus/$$target $(FUZZED)/corpus/$$target

VENVS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cauce/venv
PIP := bin/python -m pip --quiet --disable-pip-version-check install --require-hashes --only-binary :all:

# A virtual environment, made anew when its list of pinned packages has changed.
$(VENVS)/ministack.stamp: infra/emulator/requirements.txt
$(VENVS)/awscli.stamp: infra/emulator/awscli.txt
$(VENVS)/moto.stamp: infra/tools/moto.txt
$(VENVS)/checkov.stamp: infra/tools/checkov.txt
$(VENVS)/schemathesis.stamp: infra/tools/schemathesis.txt
$(VENVS)/%.stamp:
	@mkdir -p $(VENVS) && rm -rf $(VENVS)/$* && python3 -m venv $(VENVS)/$* && $(VENVS)/$*/$(PIP) -r $< && touch $@ || \
		{ rm -rf $(VENVS)/$*; echo "$*: cannot be installed from the package index; is the network there?" >&2; exit 1; }

NODE_TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cauce/node
$(NODE_TOOLS)/stamp: infra/tools/asl-validator/package-lock.json
	@mkdir -p $(NODE_TOOLS) && cp infra/tools/asl-validator/package*.json $(NODE_TOOLS) && \
		cd $(NODE_TOOLS) && npm ci --silent --ignore-scripts --no-audit --no-fund && touch stamp || \
		{ rm -rf $(NODE_TOOLS); echo "asl-validator: cannot be installed; are npm and the network there?" >&2; exit 1; }

.PHONY: tools
tools: ## install what tests use beside Rust, pinned by hash: the emulated cloud, AWS CLI, moto, schemathesis, asl-validator
	@$(MAKE) --no-print-directory --silent --keep-going $(foreach tool,ministack awscli moto schemathesis,$(VENVS)/$(tool).stamp) $(NODE_TOOLS)/stamp || \
		echo "tests that need them will say that they are skipped"

FUNCTIONS := trigger-run open-run begin-task expand-map finish-task close-run record-event sweep notify take-tokens api
# The package of a function has its name; that of `api` is the library of the interface.
FUNCTION_PACKAGES := $(patsubst %,-p cauce-%,$(patsubst api,api-function,$(FUNCTIONS)))
.PHONY: package
package: ## build the Lambda functions small and zip each into $(CARGO_TARGET_DIR)/functions
	$(CARGO) build --locked --profile lambda $(FUNCTION_PACKAGES)
	python3 infra/package.py --strip --bin-dir $(CARGO_TARGET_DIR)/lambda --out $(CARGO_TARGET_DIR)/functions $(FUNCTIONS)

.PHONY: e2e
e2e: tools ## the sales pipeline and all its faults on the emulated cloud (ONLY="words of a scenario")
	$(CARGO) build --locked --workspace --all-targets
	$(CARGO) test --locked --workspace --test emulator -- $(if $(ONLY),"$(ONLY)")

.PHONY: cloud
cloud: tools ## serve an emulated cloud with everything deployed, to look around in; ends with ctrl-d
	$(CARGO) build --locked --workspace --all-targets
	$(CARGO) test --locked --workspace --test emulator -- --serve

.PHONY: destroy
destroy: ## take down an environment deployed from this repository (ENV=dev); asks before it does
	terraform -chdir=terraform/environments/$(or $(ENV),dev) destroy

.PHONY: checkov
checkov: $(VENVS)/checkov.stamp ## check terraform/ against checkov's rules, installed pinned by hash
	$(VENVS)/checkov/bin/checkov --directory terraform --framework terraform --skip-download --quiet --compact

.PHONY: clean
clean: ## forget the runs and objects of the example pipelines
	rm -rf pipelines/*/.cauce
