# make demo    the whole path on real images: pretrain, save, load by name, probe, pictures; minutes
# make test    the test suite, then the contract tests with every annotated shape and type checked
# make faults  kills at random moments, full disks, two at a time, damaged caches and 20,000 damaged inputs; an hour
# make check   style, types, doctests, the direction of imports, the contract with outside code
# make tables  the tables in README.md and model_cards/, from the ledger
#
# Each sets up .venv with plain pip when pyproject.toml or constraints.txt changed, and reuses it otherwise.

PYTHON ?= python3
BIN := .venv/bin
# Two processes, a file of tests in one of them; threads that wait for each other leave the cores to the others.
IN_PARALLEL := -n 2 --dist loadfile
SHARED_CONTRACT := $(wildcard ../shared/contract_test.py)

.PHONY: demo test faults check tables clean
.DELETE_ON_ERROR:

test: export OMP_WAIT_POLICY := PASSIVE

demo: .venv/core
	$(BIN)/python scripts/demo.py

test: .venv/dev
	$(BIN)/python -m pytest $(IN_PARALLEL) --durations=10
	$(BIN)/python -m pytest $(IN_PARALLEL) tests/contract -m "not slow" --jaxtyping-packages=functional,typecheck.check

faults: export OMP_WAIT_POLICY := PASSIVE

faults: .venv/dev
	$(BIN)/python scripts/faults.py --times 50 --seed 0
	$(BIN)/python scripts/fuzz.py --inputs 20000 --seed 0

check: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/python -m pytest --doctest-modules functional zoo tests/functional/test_imports.py $(SHARED_CONTRACT)

tables: .venv/dev
	$(BIN)/python scripts/make_tables.py

clean:
	rm -rf .venv .pytest_cache .ruff_cache runs

.venv/core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/dev: .venv/core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
