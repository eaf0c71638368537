# Two commands: `make run` (the main job) and `make test` (the checks). Both set up what they need first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# TORCH=cpu: PyTorch without CUDA, several GB less (docs/howto/install.md). Counts when .venv is made or refreshed.
TORCH ?= default
TORCH_FLAGS_default :=
TORCH_FLAGS_cpu := --torch-backend cpu
SIZE_default := about 3 GB
SIZE_cpu := less than 1 GB
UV_FLAGS ?=
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

ifeq ($(filter $(TORCH),default cpu),)
$(error TORCH=$(TORCH): expected TORCH=cpu (no CUDA) or TORCH=default)
endif

.PHONY: help run test test-slow torture lint check setup voc_mini bench mlflow server serve docs docs-serve audit sbom clean

help:  ## Show what can be made
	@grep -E '^[a-z_-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z_-]+):.*## /  make \1\t/' | expand -t 20

setup: $(STAMP)  ## Make .venv and install the pinned dependencies (repeatable; TORCH=cpu: without CUDA)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
	  { echo "Python 3.11 or 3.12 is needed, found $$($(PYTHON) --version). Name one: make PYTHON=python3.11 ..."; exit 2; }
	@command -v c++ >/dev/null || { echo "A C++ compiler is needed to build pydensecrf2. Install g++ (Debian: apt-get install g++)."; exit 2; }
	@echo "Setting up $(VENV) (TORCH=$(TORCH)): downloads $(SIZE_$(TORCH)) the first time, a minute or a few."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install $(UV_FLAGS) $(TORCH_FLAGS_$(TORCH)) --compile-bytecode --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: $(STAMP)  ## The main job: the toy recipe book, from made images to the results table
	@echo "The toy recipe book: makes images, trains a classifier, turns its CAMs into masks, trains a segmenter, scores it."
	@python -m pipeline run

voc_mini: $(STAMP)  ## The same chain on a VOC-layout folder (docs/howto/data.md)
	@python -m pipeline run --book recipes/voc_mini

lint: $(STAMP)
	ruff check .
	ruff format --check .
	mypy
	lint-imports

check: $(STAMP)  ## Every recipe book: all names and options resolve
	@for book in . $(patsubst %/params.yaml,%,$(wildcard recipes/*/params.yaml)); do \
	  python -m pipeline check --book "$$book" || exit; done

test: lint  ## ruff, mypy, import-linter, and the tests on all cores but those marked slow
	OMP_NUM_THREADS=1 pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: $(STAMP)  ## The tests marked slow, which CI runs too: whole books, tutorials, official networks
	OMP_NUM_THREADS=1 pytest -n auto --dist loadfile --no-loadscope-reorder -m slow

torture: $(STAMP)  ## Faults in great numbers (hours, goes on where it stopped): results/reliability/ and its page
	@OMP_NUM_THREADS=1 python -m tests.reliability
	@python -m docs.tools.generate

bench: $(STAMP)  ## Times beside straightforward references: results/benchmarks/ and docs/benchmarks.md (some minutes)
	@python -m benchmarks --resume
	@python -m docs.tools.generate

mlflow: $(STAMP)  ## Open the recorded runs in MLflow's UI on 127.0.0.1:5000
	@python -m pipeline mlflow

server: $(STAMP)  ## Prefect's server and UI on 127.0.0.1:4200
	@python -m pipeline server

serve: $(STAMP)  ## Wait for runs started from Prefect's UI or a schedule (needs `make server`)
	@python -m pipeline serve

docs: $(STAMP)  ## Build the documentation into site/ (strict, offline): open site/index.html
	@python -m docs.tools.generate
	@NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict
	@echo "Open site/index.html"

docs-serve: $(STAMP)  ## The documentation on 127.0.0.1:8000, built again at every change
	@NO_MKDOCS_2_WARNING=1 python -m mkdocs serve --dev-addr 127.0.0.1:8000

audit: $(STAMP)  ## Known vulnerabilities of the pinned dependencies (asks a registry: needs the internet)
	@$(BIN)/uv tool run pip-audit --disable-pip --no-deps --requirement constraints.txt

sbom: $(STAMP)  ## What is installed, as a CycloneDX bill of materials: sbom.json (needs the internet)
	@$(BIN)/uv tool run --from cyclonedx-bom cyclonedx-py environment --output-file sbom.json $(BIN)/python
	@echo "Written: sbom.json"

clean:  ## Remove what runs made (the DVC cache and .venv stay)
	rm -rf work .scratch report site
