# Everything runs in a virtual environment of the project's own; only Python (3.10 or later), make and a network are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: demo test lint format bench editors oracle clean help

help:
	@echo "make demo      watch a simulated person type with completions (no key needed)"
	@echo "make test      run all tests (ARGS='-k name' for some)"
	@echo "make lint      style, types and the floors of the architecture"
	@echo "make bench     what a keystroke costs, as ratios"
	@echo "make editors   fetch the editors that the end-to-end tests drive"

# The server and what it needs at run time.
$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "codestral-ls needs Python 3.10 or later: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# And what tests, linters and benchmarks need.
$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/codestral-ls demo $(ARGS)

test: $(VENV)/installed-dev oracle
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed-dev
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

editors:
	@PYTHON=$(PYTHON) bash tests/e2e/editors/install.sh

# The reference implementation of text documents, which ours is compared with. Without npm that comparison is skipped.
oracle: tests/oracle/package-lock.json
	@if command -v npm >/dev/null && [ ! -d tests/oracle/node_modules ]; then npm ci --silent --no-audit --no-fund --prefix tests/oracle || echo "npm could not fetch the oracle; its comparison is skipped"; fi

clean:
	rm -rf $(VENV) .editors build dist tests/oracle/node_modules artifacts
