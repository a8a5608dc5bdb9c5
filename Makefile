# make help says what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin


PLATFORMS ?= linux/amd64,linux/arm64

.PHONY: help venv setup demo image test test-matrix test-twins test-unit lint bench clean
.DEFAULT_GOAL := help

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

$(VENV)/.done: pyproject.toml requirements.lock tools/venv
	@PYTHON=$(PYTHON) tools/venv $(VENV)

venv: $(VENV)/.done ## a Python environment in .venv with what requirements.lock names

setup: venv ## install what a build needs from the distribution, saying what
	@tools/setup build

demo: setup ## the main job: base images, then a C program for two platforms
	@tools/demo

image: setup ## the xx image for PLATFORMS, as out/xx.tar
	@mkdir -p out
	@$(BIN)/xx image xx --platform $(PLATFORMS) -o type=oci,dest=out/xx.tar

# In the order of their folders: the many small files of tests/unit fill up what the long ones before them leave.
test: venv ## every test, a file of them on each processor
	@tools/setup build test
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations=20 $(PYTEST_ARGS)

test-matrix: setup ## every project for every platform, as a table (an hour)
	@tools/setup test
	@$(BIN)/python tests/matrix/run.py

test-twins: setup ## every published Dockerfile with twins and without, compared (two hours)
	@tools/setup test
	@XX_TESTS_LARGE=1 $(BIN)/python -m pytest tests/e2e/test_twins_compared.py $(PYTEST_ARGS)

test-unit: venv ## the tests that need nothing of the machine, in seconds
	@$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

lint: venv ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: setup ## speed beside the peers that are present, and our memory, as a table (ten minutes)
	@$(BIN)/python benchmarks/run.py

clean: ## remove the environment and what the demo made (the store stays)
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache
