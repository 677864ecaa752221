# Both commands make .venv themselves and install into it only what is missing.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# On shared or small machines spinning threads starve their neighbours.
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 0

.PHONY: solve test lint types clean

solve: .venv/core  ## solve a handful of built-in problems with the embedded model
	@$(BIN)/treestar solve --examples

test: .venv/dev lint types  ## lint, types and tests
	$(BIN)/python -m pytest

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/dev
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/core: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing treestar into .venv (about two minutes the first time)"
	@$(INSTALL) --editable .
	@touch $@

.venv/dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing treestar and its test extras into .venv"
	@$(INSTALL) --editable '.[dev]'
	@touch $@ .venv/core

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
