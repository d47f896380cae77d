# Every target works from a fresh clone: it makes a private .venv with the pinned versions first, once.
PYTHON    ?= $(shell for p in python3.11 python3 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
EXTRAS    ?= torch,onnx,jax,tensorflow,keras,report,serve,sign,dev
PIP_FLAGS ?=
ARGS      ?=
SECONDS   ?= 60

BIN    := .venv/bin
STAMP  := .venv/installed
PYTEST := $(BIN)/python -m pytest -q -n auto --maxprocesses 2

.DEFAULT_GOAL := help
.PHONY: help test test-slow demo lint format conformance bench docs site fuzz constraints clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r t d; do printf '  %-12s %s\n' "$$t" "$$d"; done

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 with venv found: install it or run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

test: $(STAMP)  ## run the tests (ARGS="-k name" to select)
	@$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(STAMP)  ## run the tests marked slow
	@$(PYTEST) -m slow $(ARGS)

demo: $(STAMP)  ## run examples/demo.py
	@$(BIN)/python examples/demo.py $(ARGS)

lint: $(STAMP)  ## ruff check, ruff format --check, pyright
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/pyright

format: $(STAMP)  ## sort imports, mend what ruff can, format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

conformance: $(STAMP)  ## every op on every installed backend
	@KXCHANGE_FULL=1 $(PYTEST) tests/ops tests/converters $(ARGS)

bench: $(STAMP)  ## start, open, save, convert, run, grow: beside the peers (ARGS="save" for one section)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e ".[bench]"
	@$(BIN)/python -m benchmarks.run $(ARGS)

docs: $(STAMP)  ## regenerate the generated tables
	@$(BIN)/python docs/generate.py $(ARGS)

site: $(STAMP)  ## build the documentation as a site in build/site
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet $(ARGS)

fuzz: $(STAMP)  ## damaged files against every reader, SECONDS for each (ARGS="--target onnx")
	@$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS) $(ARGS)

constraints: $(STAMP)  ## pin what is installed now
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' | LC_ALL=C sort -f > constraints.new
	@mv constraints.new constraints.txt

clean:  ## remove the environment, caches and build output
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
