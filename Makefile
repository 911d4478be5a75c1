# Every target works in .venv of this checkout, made once and renewed when the locked requirements change.
# Assumed on the machine: Python 3.11 or newer with pip, and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
# Many tests wait, for a machine that boots or a browser that draws: one more than there are cores keeps these busy.
WORKERS ?= $(shell echo $$(($$(nproc) + 1)))

.PHONY: help env demo test lint format types lock bench endurance soak tiny-models system-deps clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

env: $(STAMP) ## make the environment (.venv) alone

# The venv is made without its own pip, so that Debian's split python3-venv package is not needed.
$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --disable-pip-version-check --python $(BIN)/python install --quiet --require-hashes -r requirements/dev.txt
	$(PYTHON) -m pip --disable-pip-version-check --python $(BIN)/python install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: env ## a picture becomes a video here and now (IMAGE=path, ENGINE=http://..., HOLD=1)
	@$(BIN)/zoetrope demo $(if $(IMAGE),--image "$(IMAGE)") $(if $(ENGINE),--engine "$(ENGINE)") $(if $(HOLD),--hold)

test: env ## format, lint, types and every test that needs no extra system package
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: env ## ruff alone
	$(BIN)/ruff check .

format: env ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: env ## the strict type checker alone
	$(BIN)/mypy

bench: env ## measure; prints a table and writes build/bench.json
	$(BIN)/python -m tests.bench $(ARGS)

endurance: env ## attack the service for 30 minutes (ARGS=--short, HOURS=n, ARGS="--only kills"); adds to the record
	$(BIN)/python -m tests.endurance $(if $(HOURS),--hours $(HOURS)) $(ARGS)

soak: env ## 2,000 jobs through one service process, for an hour or so; adds to the record
	$(BIN)/python -m tests.endurance --only soak --hours 1.5 $(ARGS)

lock: ## renew the hash-locked requirements from requirements/*.in
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet uv
	cd requirements && for name in run dev; do \
	  ../build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --no-annotate --upgrade -o $$name.txt $$name.in; done

tiny-models: ## make tiny models in a ComfyUI copy for tests (COMFYUI=folder, COMFYUI_PYTHON=its python)
	@test -n "$(COMFYUI)" || { echo "Name the copy: make tiny-models COMFYUI=folder [COMFYUI_PYTHON=python]"; exit 2; }
	OMP_NUM_THREADS=1 $(or $(COMFYUI_PYTHON),$(PYTHON)) tests/comfyui/tiny/make.py "$(COMFYUI)"

system-deps: ## install the Debian packages that tests marked `system` need
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$(sed 's/#.*//' requirements/debian.txt)

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
