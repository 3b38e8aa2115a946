# Everything here needs Python 3.11 or newer, make and the package registries; nothing else has to be there before.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench faults dist pythons quick clean
.DEFAULT_GOAL := test

demo: $(VENV)/ready
	$(BIN)/archq demo

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# One line for each technique: points tried, faults injected, violations.  TIER=long takes hours.  SENSITIVITY=1 breaks
# the programs on purpose instead, and writes .cache/sensitivity.md: which technique has caught which.
TIER ?= quick
faults: $(VENV)/ready
	$(BIN)/python -m tests.faults --tier $(TIER) $(if $(SENSITIVITY),--sensitivity)

# All tests but those that break things on purpose, which take longest.
quick: $(VENV)/ready
	$(BIN)/python -m pytest --ignore=tests/faults --ignore=tests/test_day_of_faults.py

# The quick tests on every Python from 3.11 on that this machine has, each with an environment of its own.
pythons:
	.ci/pythons

# Beside other programs, with ratios; LONG=1 takes whole sizes, gigabytes of them.
bench: $(VENV)/peers
	$(BIN)/python -m bench $(if $(LONG),--long)

# 300 MB that only reports are measured beside: where they cannot be had, the bench says so and goes on.
$(VENV)/peers: $(VENV)/ready
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]' && touch $@

dist: $(VENV)/ready
	$(BIN)/python -m build --outdir dist

clean:
	rm -rf dist $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache

# The stamp is written last: an interrupted installation is begun again.
$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit("archq needs Python 3.11 or newer and $(PYTHON) is %d.%d: make PYTHON=python3.11" % v if v < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
