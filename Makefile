# One way to run each thing. `make demo` and `make test` make the environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PHOTO ?=
# One worker more than there are cores, as many tests wait for processes; each has one thread, so that results do not
# depend on the number of cores.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(min((os.cpu_count() or 1) + 1, 10))")
# Bytecode is kept, whatever the environment says: the tests start hundreds of processes.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

.PHONY: demo check test test-all lint format bench docs clean

# The stamp is newer than everything that decides what is installed.
$(VENV)/.installed: pyproject.toml requirements-dev.txt constraints.txt $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -r requirements-dev.txt
	touch $@

demo: $(VENV)/.installed
	@$(BIN)/python scripts/demo.py $(PHOTO)

# While you work: the linters, and the tests that take no more than a second or two each.
check: lint
	$(PYTEST) --ignore tests/benchmarks -m "not slow and not exhaustive"

# What a change needs.
test: $(VENV)/.installed
	$(PYTEST) --ignore tests/benchmarks -m "not exhaustive"

# Everything: also what takes minutes, the benchmarks once, and the numerical tests as other processors run them.
test-all: $(VENV)/.installed
	$(PYTEST) --ignore tests/benchmarks --hypothesis-profile fresh
	$(BIN)/python -m pytest -q tests/benchmarks --benchmark-disable
	PYTHON=$(BIN)/python scripts/portable.sh --short

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only

# The site in build/site; the variable silences what the theme has to say about the next version of mkdocs.
docs: $(VENV)/.installed
	$(BIN)/python scripts/cli_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) demo build dist
