.DEFAULT_GOAL := help
PYTHON ?= python3
TORCH ?= auto
# PyTorch's build: cpu, cuda, or auto, which is cuda where there is an NVIDIA GPU (install.py)
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

repro: $(VENV)/.installed ## run the whole graph, or what changed of it; the page is reports/index.html; RUNS="a b": these runs alone, on out/report/index.html
	gen-models check
	gen-models play $(RUNS)
	dvc repro $(addprefix evaluate@,$(RUNS))
	$(if $(RUNS),gen-models report $(RUNS))
	$(if $(RUNS),gen-models register $(RUNS))
	@[ -n "$$MLFLOW_TRACKING_URI" ] || [ -f mlflow.db ] || gen-models register # a store that was removed

# A budget other than that of chapter/params.yaml gets a project folder of its own: DVC sees a budget in a file only, and
# no file of git's is edited. Its params.yaml is made anew when that of chapter is newer.
BUDGETS := chapter/budgets
CHAPTER := $(if $(filter-out smoke,$(BUDGET)),$(BUDGETS)/$(BUDGET),chapter)

chapter: $(VENV)/.installed $(CHAPTER)/params.yaml ## every model of conf/model, too shortly to judge it; BUDGET=full: for numbers to publish
	cd $(CHAPTER) && gen-models check
	$(if $(filter chapter,$(CHAPTER)),,cd $(CHAPTER) && gen-models estimate)
	cd $(CHAPTER) && gen-models play
	cd $(CHAPTER) && dvc repro
	@cd $(CHAPTER) && { [ -n "$$MLFLOW_TRACKING_URI" ] || [ -f mlflow.db ] || gen-models register; }

$(BUDGETS)/%/params.yaml: chapter/params.yaml
	mkdir -p $(@D)/.dvc
	cp chapter/.dvc/config $(@D)/.dvc/config
	cp chapter/.dvcignore $(@D)/.dvcignore
	for name in dvc.yaml conf gen_models pipelines requirements.lock; do ln -sfn ../../../$$name $(@D)/$$name; done
	sed 's/^budget: [a-z]*/budget: $*/' chapter/params.yaml > $@

test: $(VENV)/.installed ## the laws and the stages' tests
	pytest -m "not slow"

faults: $(VENV)/.installed ## kill -9 of worker, driver, dvc and machine, and the like; dates the table of docs/reliability.md
	python -m benchmarks.faults

fuzz: $(VENV)/.installed ## parsers and laws on examples that `make test` has not drawn
	pytest --hypothesis-profile=default $$(grep -l "^from hypothesis" tests/test_*.py)

check: $(VENV)/.installed ## lint, format, types, directions of imports
	ruff check .
	ruff format --check .
	mypy
	lint-imports

bench: $(VENV)/.installed ## measure what pipeline and loader cost: benchmarks/results/*.json and docs/results.md
	python -m benchmarks.graph
	python -m benchmarks.pipeline
	python -m benchmarks.loader
	python -m benchmarks.results_page

figures: $(VENV)/.installed ## measure what the models reach, in some five hours; MNIST is found by GEN_MODELS_DATA
	python -m benchmarks.flows
	python -m benchmarks.latent
	python -m benchmarks.games
	python -m benchmarks.results_page

gpu: $(VENV)/.installed ## on a machine with CUDA, in some eight minutes: laws on the GPU, a sweep on fractions of it, steps a second
	pytest -m gpu
	python -m benchmarks.gpu

ui: $(VENV)/.installed ## MLflow's pages on http://127.0.0.1:5000
	gen-models ui

server: $(VENV)/.installed ## an MLflow server for several projects; PORT=5001, STORE=postgresql://USER@HOST/DATABASE, ARTIFACTS=s3://BUCKET/FOLDER
	gen-models server $(if $(PORT),--port $(PORT)) $(if $(STORE),--store '$(STORE)') $(if $(ARTIFACTS),--artifacts '$(ARTIFACTS)')

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) install.py $(TORCH)
	@touch $@

.PHONY: help repro chapter test faults fuzz check bench figures gpu ui server
