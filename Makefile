# One way to run each thing. `make demo` and `make test` make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PHOTO ?=

.PHONY: demo test lint format bench clean

# The stamp is newer than everything that decides what is installed.
$(VENV)/.installed: pyproject.toml requirements-dev.txt constraints.txt $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -r requirements-dev.txt
	touch $@

demo: $(VENV)/.installed
	@$(BIN)/python scripts/demo.py $(PHOTO)

test: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --benchmark-disable -n 2 --dist loadfile

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only

clean:
	rm -rf $(VENV) demo build dist
