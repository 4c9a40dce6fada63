# Two commands matter: `make demo` and `make test`. Both install what they need, once.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast lint hooks audit docs docs-serve bench model notebooks \
        lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		--editable '.[yolo,servers,dask,docs,dev]'
	touch $@

install: $(STAMP)  ## the virtual environment with everything in it

demo: $(STAMP)  ## the whole loop on real data
	$(BIN)/foveal demo

test: $(STAMP)  ## every test
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder

test-fast: $(STAMP)  ## unit, property, contract and architecture tests without those marked slow
	$(BIN)/python -m pytest -n 2 -m "not slow" \
		tests/unit tests/property tests/contract tests/architecture

lint: $(STAMP)  ## style, spelling, types, layers and security
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml \
		components flows foveal model_registry benchmarks infra

hooks: $(STAMP)  ## the checks of .pre-commit-config.yaml before each commit
	$(BIN)/pre-commit install

audit: $(STAMP)  ## known vulnerabilities of the pinned versions
	$(BIN)/python infra/audit.py

lock:  ## the images' requirements with hashes, by uv in an environment of its own
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet uv packaging
	PATH="$(CURDIR)/build/lock/bin:$$PATH" python infra/lock.py

docs: $(STAMP)  ## the documentation as a site in site/, every link checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(STAMP)  ## the same on http://127.0.0.1:8001, rebuilt when a page changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

model: $(STAMP)  ## train the detector that the demo ships, again
	$(BIN)/python -m benchmarks.model

notebooks: $(STAMP)  ## the notebooks run over the tests' releases, their outputs kept
	KEEP_OUTPUTS=1 $(BIN)/python -m pytest tests/e2e/test_notebook*.py

BENCHES := accuracy parity nms speed demo classifier statistics alarms power store report loop gates \
           identical ab promotion rollback events servers automation overhead together chaos ui \
           layout tests manifest
.PHONY: $(BENCHES:%=bench-%)
$(BENCHES:%=bench-%): bench-%: $(STAMP)
	@$(BIN)/python -m benchmarks.$*

bench: $(STAMP)  ## every figure of docs/evidence.md, measured again
	$(BIN)/python -m benchmarks

clean:  ## remove the virtual environment and all results
	rm -rf $(VENV) .foveal build site *.egg-info
