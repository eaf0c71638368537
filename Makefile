# Two commands: `make run` (the main job) and `make test` (the checks). Both set up what they need first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.PHONY: help run test lint setup voc_mini mlflow server serve clean

help:  ## Show what can be made
	@grep -E '^[a-z_]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z_]+):.*## /  make \1\t/' | expand -t 20

setup: $(STAMP)  ## Make .venv and install the pinned dependencies (repeatable)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
	  { echo "Python 3.11 or 3.12 is needed, found $$($(PYTHON) --version). Name one: make PYTHON=python3.11 ..."; exit 2; }
	@command -v c++ >/dev/null || { echo "A C++ compiler is needed to build pydensecrf2. Install g++ (Debian: apt-get install g++)."; exit 2; }
	@echo "Setting up $(VENV): downloads about 3 GB the first time, a minute or a few."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --compile-bytecode --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: $(STAMP)  ## The main job: the toy recipe book, from made images to the results table
	@python -m pipeline run

voc_mini: $(STAMP)  ## The same chain on a VOC-layout folder (docs/howto/data.md)
	@python -m pipeline run --book recipes/voc_mini

lint: $(STAMP)
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test: lint  ## Everything that CI checks: ruff, mypy, import-linter, the tests on all cores
	OMP_NUM_THREADS=1 pytest -n auto --dist loadfile

mlflow: $(STAMP)  ## Open the recorded runs in MLflow's UI on 127.0.0.1:5000
	@python -m pipeline mlflow

server: $(STAMP)  ## Prefect's server and UI on 127.0.0.1:4200
	@python -m pipeline server

serve: $(STAMP)  ## Wait for runs started from Prefect's UI or a schedule (needs `make server`)
	@python -m pipeline serve

clean:  ## Remove what runs made (the DVC cache and .venv stay)
	rm -rf work .scratch report
