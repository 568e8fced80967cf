# Every target installs what it needs into .venv first; nothing else on the machine is touched.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install run test test-long lint format bench lock clean
.DEFAULT_GOAL := install

install: $(STAMP)

$(STAMP): requirements-dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

run: install
	$(BIN)/aftertone dev $(ARGS)

# Three workers, each with servers of its own: on two cores too, since many tests wait. The tests of a
# file stay together. In the order of the folders: the quick ones come last, so that no worker waits
# long for the others.
test: lint
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: lint
	$(BIN)/pytest -m "long or not long" --timeout 3600 $(ARGS)

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/squawk migrations/*.sql

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python -m tests.benchmarks $(ARGS)

# Writes the lock files again, with hashes and without the address of any index. The last one holds
# what builds our own package into the image.
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url
lock:
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra dev --output-file requirements-dev.txt
	echo hatchling | $(COMPILE) --constraint requirements-dev.txt - --output-file deploy/requirements-build.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
