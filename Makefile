# netsre: everything a person does in a checkout. `make` alone explains itself.

# Debian's own Python, because Debian's bcc binding is made for it.
PYTHON ?= /usr/bin/python3
# Options for `netsre up`, as in: make run RUN_ARGS="--listen 127.0.0.1:9000"
RUN_ARGS ?=
# Options for pytest, as in: make test TEST_ARGS="tests/unit -k budget"
TEST_ARGS ?=

# Options for the soak, as in: make soak SOAK_ARGS="--starts 200 --drills 40 --seed 7"
SOAK_ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help run test lint format bench soak all lock clean packages dev-packages check-bpf-format

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: packages .venv/.run ## netsre on this machine, with a small network of its own to watch
	@tools/system_user.sh
	@$(BIN)/python tools/foreground.py tools/up.sh $(RUN_ARGS)

# Some thousand processes start here: what one of them compiles is kept for the others, whatever is the habit here.
test: dev-packages .venv/.dev ## every test; names what it skipped, and what passed only when run again
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m tools.run_tests -n auto $(TEST_ARGS)

lint: dev-packages .venv/.dev ## layout, types, import law, generated files, the wheel
	@echo "lint: ruff" && $(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@echo "lint: types" && $(BIN)/mypy --no-error-summary $(wildcard netsre tests tools bench migrations)
	@echo "lint: import law" && said=$$($(BIN)/lint-imports) || { echo "$$said"; false; }
	@echo "lint: layout of C" && $(MAKE) check-bpf-format
	@echo "lint: generated files" && $(BIN)/netsre generate dashboards --check
	@$(BIN)/netsre generate schemas --out docs/schema --check
	@$(BIN)/python tools/metrics_page.py --check
	@echo "lint: the wheel, installed elsewhere" && $(BIN)/python tools/check_wheel.py

check-bpf-format:
	@if command -v clang-format >/dev/null; then find bpf bench -name '*.[ch]' -exec clang-format --dry-run -Werror {} +; \
	else echo "skipped: no clang-format on this machine"; test "$${CI:-}" != true; fi

format: .venv/.dev ## lay out Python and C as lint wants them
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .
	@find bpf bench -name '*.[ch]' -exec clang-format -i {} +

bench: .venv/.run ## what netsre costs on this machine; BENCH_ARGS="policy agent" for some of it
	@tools/debian_packages.sh run test bench
	@$(BIN)/python -m bench.run $(BENCH_ARGS)

soak: dev-packages .venv/.dev ## the same for long, with things dying on the way
	@$(BIN)/python -m bench.soak $(SOAK_ARGS)

all: lint test ## what must pass before a change lands

lock: ## write both lock files anew from pyproject.toml
	@PYTHON=$(PYTHON) tools/lock.sh $(LOCK_ARGS)

clean: ## remove what make made here (never a package, never data)
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

packages:
	@tools/debian_packages.sh run

dev-packages:
	@tools/debian_packages.sh run test

# Stamps live inside the environment, so that removing it forgets them. The project itself is built by the
# locked hatchling, without fetching anything.
.venv/.run: requirements.lock pyproject.toml | packages
	@echo "python: making .venv from requirements.lock"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes --only-binary :all: -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.run requirements-dev.lock
	@echo "python: adding requirements-dev.lock"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements-dev.lock
	@touch $@
