# On first use, sets up the environment in .venv, the engine's jars and dbt's manifest.
# Needs Python 3.11 or 3.12 and make. Uses the machine's Java if there is one, or else the one in the environment.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test quick dev dashboard setup lint docs screenshots lock clean

demo: setup  ## land the sample data and build it from landing to gold
	@$(BIN)/lakehouse demo

test:  ## lint, type check, layer check, and all tests
	@$(MAKE) --no-print-directory -j 2 setup lint
	@$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

quick: setup  ## the tests of the inner loop: one engine, one store, no services
	@$(BIN)/pytest -m quick -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

dev: setup  ## run the Dagster UI at http://localhost:3000
	@DAGSTER_HOME="$$($(BIN)/python -m lakehouse_assets.setup)" VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/dg dev

dashboard: setup  ## show the lakehouse in the browser at http://localhost:8501
	@$(BIN)/lakehouse dashboard

setup: $(VENV)/ready

$(VENV)/installed: requirements.lock pyproject.toml
	@test -x $(BIN)/python || (command -v uv >/dev/null && uv venv -q --seed --python ">=3.11,<3.13" $(VENV)) || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install -q uv==$(UV_VERSION)
	@uv pip sync -q --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e '.[sail,dashboard]'
	@touch $@

$(VENV)/ready: $(VENV)/installed
	@$(BIN)/python -m lakehouse_assets.setup >/dev/null
	@touch $@

lint: $(VENV)/installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: setup  ## write docs/tables.md and the diagram in docs/star-schema.md from the contracts and models
	@$(BIN)/python -m lakehouse_assets.documentation.tables_page
	@$(BIN)/python -m lakehouse_assets.documentation.star_schema_page

screenshots: setup  ## take the pictures in docs/images again; needs Debian's chromium
	@$(BIN)/python -m tests.support.screenshots

lock:  ## resolve all dependencies again, with hashes
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --group dev --extra sail --extra dashboard --no-header -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .lakehouse dbt_project/target
