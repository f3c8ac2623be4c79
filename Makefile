# Every target sets up what it needs in .venv, from the lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.set-up
RAY := build/ray/.set-up

.PHONY: demo test quick check bench fuzz results thorough long docs picture format lock clean

demo: $(SETUP)  ## set up, then distil the bundled task four ways and open the comparison
	$(BIN)/understudy demo

test: $(SETUP)  ## set up, then run the tests; `thorough` and `long` are further ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

quick: $(SETUP)  ## the tests that take no more than seconds
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not long and not thorough"

check: $(SETUP)  ## lint, format, types, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/docs.py --check

docs: $(SETUP)  ## write the pages that are made from the code
	$(BIN)/python scripts/docs.py

bench: $(SETUP)  ## every benchmark, each in under a minute
	for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark --quick || exit 1; done

results: $(SETUP)  ## every method on one task with three seeds, into docs/results.md: about an hour; it goes on where it was left
	$(BIN)/python benchmarks/methods.py --write docs/results.md

thorough: $(SETUP)  ## the tests with thousands of requests or programs, and kills in every stage
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m thorough

long: $(SETUP) $(RAY)  ## the tests that are too long for every change
	$(BIN)/python -m pytest -m long

fuzz: $(SETUP)  ## 100,000 mutated programs through the sandbox, 100,000 mutated outputs through the readers: many minutes
	$(BIN)/python tests/fuzz.py --count 100000
	$(BIN)/python tests/fuzz_outputs.py --count 100000

picture: $(SETUP)  ## the README's picture, from the runs of the demo
	$(BIN)/python scripts/picture.py runs/demo

format: $(SETUP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(SETUP)  ## write requirements.lock from what is installed in .venv
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock

$(SETUP): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(RAY):  # the tests of the sandbox on Ray run in an environment of their own
	$(PYTHON) -m venv build/ray
	build/ray/bin/python -m pip install --quiet ray==2.60.0 psutil==7.2.2
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
