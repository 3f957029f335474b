# The project's commands. Settings can be given on the line: `make up PREFECT_PORT=4300 ROSSMANN_DATA_DIR=/tmp/workspace`.
PYTHON ?= python3.11
PREFECT_PORT ?= 4200
MLFLOW_PORT ?= 5000
RAY_DASHBOARD_PORT ?= 8265
RAY_CLIENT_PORT ?= 10001
ROSSMANN_HTTP_PORT ?= 8000
DASHBOARD_PORT ?= 8501
WORKERS ?= 1
STACK := server worker mlflow ray endpoint dashboard
PROCESSES ?= $(STACK)
WORKSPACE := $(or $(ROSSMANN_DATA_DIR),data)
BUCKET := $(findstring ://,$(WORKSPACE))
WORKSPACE_ADDRESS = $(if $(BUCKET)$(filter /%,$(WORKSPACE)),,$(CURDIR)/)$(WORKSPACE)
LOCAL_STATE = $(if $(BUCKET),$(CURDIR)/data/$(subst ://,/,$(WORKSPACE)),$(WORKSPACE_ADDRESS))
# The API keys, and the settings on the line of make that have no variable above.
OTHER_SETTINGS = $(filter-out ROSSMANN_DATA_DIR ROSSMANN_HTTP_PORT,$(filter ROSSMANN_%,$(.VARIABLES)))
LINE_SETTINGS = $(foreach name,$(OTHER_SETTINGS),$(if $(filter command,$(origin $(name))),$(name),$(filter %_API_KEYS,$(name))))
BIN := .venv/bin
FEV_WORK ?= data/fev
MAKEFLAGS += --no-print-directory
INSTALLED := .venv/installed-from-lock
EDITABLE := .venv/installed-project

.PHONY: help install demo up deploy env test proof docs-proof check docs bench benchmark-fev lock screenshots
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

install: $(EDITABLE) ## .venv with exactly what requirements.lock names
$(INSTALLED): requirements.lock  # the stamp is written last, inside: an incomplete .venv has none
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet "$$(grep '^uv==' requirements.lock)"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirement requirements.lock
	@touch $@
$(EDITABLE): pyproject.toml $(INSTALLED)  # the `rossmann` command, whose entry point is in pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: install ## a sample workspace, from raw sales to forecasts, without a server
	@export ROSSMANN_DATA_DIR="$${ROSSMANN_DATA_DIR:-data/demo}" && $(BIN)/rossmann sample && $(BIN)/rossmann retrain

up: install ## Prefect, a worker, MLflow, Ray, the endpoint and the dashboard in the foreground; Ctrl-C stops all of it
	@eval "$$($(MAKE) -s env)" && mkdir -p "$$PREFECT_HOME" && \
	  { test -s "$$RAY_AUTH_TOKEN_PATH" || (umask 077; python -c 'import secrets; print(secrets.token_hex(32))' >"$$RAY_AUTH_TOKEN_PATH"); } && \
	  export WORKERS=$(WORKERS) $(foreach name,$(STACK),START_$(name)=$(if $(filter $(name),$(PROCESSES)),true,false)) && \
	  exec setpriv --pdeathsig TERM deployments/up.sh

deploy: install ## register every deployment of prefect.yaml with the running stack
	@eval "$$($(MAKE) -s env)" && exec rossmann deploy

env: ## the environment in which a terminal reaches the stack: eval "$(make -s env)"
	@echo 'LOCAL="$(LOCAL_STATE)"'
	@printf 'export %s\n' 'PATH="$(CURDIR)/$(BIN):$$PATH"' 'ROSSMANN_DATA_DIR="$(WORKSPACE_ADDRESS)"' \
	  'PREFECT_PORT=$(PREFECT_PORT)' 'MLFLOW_PORT=$(MLFLOW_PORT)' 'ROSSMANN_HTTP_PORT=$(ROSSMANN_HTTP_PORT)' \
	  'RAY_DASHBOARD_PORT=$(RAY_DASHBOARD_PORT)' 'RAY_CLIENT_PORT=$(RAY_CLIENT_PORT)' 'DASHBOARD_PORT=$(DASHBOARD_PORT)' \
	  $(if $(filter endpoint,$(PROCESSES)),'ROSSMANN_SERVE_ADDRESS="http://127.0.0.1:$(RAY_DASHBOARD_PORT)"') \
	  $(foreach name,$(LINE_SETTINGS),'$(name)="$($(name))"')
	@grep ^export deployments/local.env

test: install ## all tests except the proofs
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

proof: install ## the tests that take minutes: a cluster of three hosts, a week with drift through the whole stack
	@$(BIN)/python -m pytest -m "proof and not alone" --numprocesses 2 --dist loadfile --durations 10
	@$(BIN)/python -m pytest -m "proof and alone" --durations 15

docs-proof: install ## the commands of the pages that need servers, typed on a whole stack: five minutes
	@$(BIN)/python -m pytest -m docs_stack

check: install ## format, lint and types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

docs: install ## the documentation site in site/: open site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

bench: install ## times and memory of every stage, of a search and of the endpoint; RAW=folder adds the raw files there
	@$(BIN)/python -m benchmarks $(RAW)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.search
	@$(BIN)/python -m benchmarks.endpoint

benchmark-fev: install ## the public benchmark fev-bench on Kaggle's files: make benchmark-fev RAW=folder
	@test -n "$(RAW)" || { echo "name the folder of Kaggle's files: make benchmark-fev RAW=data/raw" >&2; exit 2; }
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(FEV_WORK)/environment
	@$(BIN)/uv pip sync --quiet --python $(FEV_WORK)/environment/bin/python benchmarks/fev/requirements.lock
	@$(BIN)/python -m benchmarks.fev $(RAW) --work $(FEV_WORK) --fev-python $(FEV_WORK)/environment/bin/python

screenshots: install ## PNGs of every page of the dashboard, light and dark, of the workspace: make screenshots ROSSMANN_DATA_DIR=data/demo
	@$(BIN)/python -m tests.support.screenshots $(WORKSPACE_ADDRESS)

lock: install ## resolve the dependencies of pyproject.toml again
	$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --upgrade --no-emit-index-url --no-header --no-annotate -o requirements.lock
