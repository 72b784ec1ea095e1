# Everything a fresh machine needs: Python 3.11 or later with venv, and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := data
# Tests of one file share what they compile, so they go to one process together; long files first.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
RUN := runs/demo

# Training on the CPU is faster with huge pages (docs/performance.md).
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.DEFAULT_GOAL := help

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /: /'

# Touched after every successful installation, so that a change of the dependencies installs anew.
# What is imported is compiled then: to compile all of TensorFlow first takes most of a minute.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
INPUTS := pyproject.toml constraints.txt

$(VENV)/installed: $(INPUTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[studio,study,video]'
	@touch $@

$(VENV)/tested: $(INPUTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev]'
	@touch $(VENV)/installed $@

install: $(VENV)/installed  ## the environment, in .venv

tools: $(VENV)/tested  ## what tests need besides

# A step on two halves of a batch, each on a core, takes four fifths of the time of one on both.
demo: export XLA_FLAGS := $(XLA_FLAGS) --xla_force_host_platform_device_count=2
demo: install  ## render people, train on them, score on people never seen, leave a picture
	$(BIN)/python -m data_prep.posed_people --config 64 --data-dir $(DATA)
	$(BIN)/volsynth train --config configs/reprojection.py:demo --workdir $(RUN)
	$(BIN)/volsynth evaluate --workdir $(RUN)
	@echo "The gallery: $(RUN)/evaluate-test/gallery.png"
	@echo "Next, a picture of your own (README): . $(BIN)/activate"
	@echo "    volsynth export --workdir $(RUN) --out $(RUN)-model"

lint: tools  ## ruff, format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

test: lint  ## all tests but the slow ones
	$(PYTEST) -m 'not slow'

# Compiled as for users: see tests/conftest.py.
test-all: lint  ## all tests
	XLA_FLAGS= $(BIN)/python -m pytest

clean:  ## remove the environment; data and runs stay
	rm -rf $(VENV) *.egg-info .pytest_cache .ruff_cache

.PHONY: help install tools demo lint test test-all clean
