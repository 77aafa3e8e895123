.DEFAULT_GOAL := help
PYTHON ?= python3
TORCH ?= auto
# PyTorch's build: cpu, cuda, or auto, which is cuda where there is an NVIDIA GPU (install.py)
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

repro: $(VENV)/.installed ## run the whole graph, or what changed of it; the page is reports/index.html
	gen-models check
	gen-models play
	dvc repro
	@[ -n "$$MLFLOW_TRACKING_URI" ] || [ -f mlflow.db ] || gen-models register # a store that was removed

test: $(VENV)/.installed ## the laws and the stages' tests
	pytest -m "not slow"

faults: $(VENV)/.installed ## kill -9 of worker, driver and dvc, and the like, in a copy of the project
	pytest -m slow

fuzz: $(VENV)/.installed ## parsers and laws on examples that `make test` has not drawn
	pytest --hypothesis-profile=default $$(grep -l "^from hypothesis" tests/test_*.py)

check: $(VENV)/.installed ## lint, format, types, directions of imports
	ruff check .
	ruff format --check .
	mypy
	lint-imports

bench: $(VENV)/.installed ## measure what pipeline and loader cost: benchmarks/results/*.json and docs/results.md
	python -m benchmarks.pipeline
	python -m benchmarks.loader
	python -m benchmarks.results_page

figures: $(VENV)/.installed ## measure what the models reach, in some five hours; MNIST is found by GEN_MODELS_DATA
	python -m benchmarks.flows
	python -m benchmarks.latent
	python -m benchmarks.games
	python -m benchmarks.results_page

ui: $(VENV)/.installed ## MLflow's pages on http://127.0.0.1:5000
	gen-models ui

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) install.py $(TORCH)
	@touch $@

.PHONY: help repro test faults fuzz check bench figures ui
