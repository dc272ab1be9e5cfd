# Needs Python >= 3.11 and make; everything else is set up here.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Otherwise each process of the tests compiles the same files again.
unexport PYTHONDONTWRITEBYTECODE
# KUBERNETES=1.33 chooses an older control plane; tests/controlplane/binary.py has the list and the default.

.DEFAULT_GOAL := help
.PHONY: help demo test check generate install-yaml cluster cluster-down run bench clean

help: ## Show this
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Everything set up and the main job shown, every line observed; KEEP=1 stays up
	@$(BIN)/python -m tests.demo $(if $(KEEP),--keep)

test: check ## Every test, on real control planes (more than an hour on 2 cores, more the first time); KUBERNETES=1.33
	@$(BIN)/python -m tests.controlplane binary
	@$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder --ignore=tests/unit

check: $(READY) ## Format, lint, types, import contracts, what is generated, unit tests: seconds
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache > .venv/contracts.log || { cat .venv/contracts.log; exit 1; }
	@$(BIN)/pytest -q -n 4 --dist worksteal -p no:hypothesispytest tests/unit

generate: $(READY) ## Write all that is generated: policies, CRDs, fingerprints, chart, reference pages
	@$(BIN)/python -m generate

install-yaml: $(READY) ## dist/admission.yaml, dist/install-<overlay>.yaml, dist/monitoring.yaml; IMAGE=registry/name:tag
	@$(BIN)/python -m charts.render install-yaml $(IMAGE)

cluster: $(READY) ## An own control plane that stays up; prints the export line on stdout
	@$(BIN)/python -m tests.controlplane up

cluster-down: $(READY) ## End it
	@$(BIN)/python -m tests.controlplane down

run: $(READY) ## The operator against the current kubeconfig, as its installed service account
	@$(BIN)/python -m tests.controlplane run

bench: $(READY) ## The benchmarks of bench/README.md: a table, and JSON in bench/results/
	@$(BIN)/python -m bench

clean: ## Remove what was set up here (not the control plane in the user's cache)
	rm -rf .venv .cluster dist bench/results .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed, got $$($(PYTHON) --version)" >&2; exit 1; }
	@echo "setting up .venv" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' >&2
	@touch $@
