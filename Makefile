# Every target installs its dependencies into .venv and changes nothing else on the machine.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install run demo test test-long lint format bench lock clean
.DEFAULT_GOAL := install

install: $(STAMP)

$(STAMP): requirements-dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

run: install
	$(BIN)/aftertone dev $(ARGS)

demo: install
	$(BIN)/aftertone dev --demo $(ARGS)

# Four workers, each with its own servers: many tests wait, so this is faster even on two cores. Files
# run in the order of the folders. Short ones are last, so that all workers end at about the same time.
# A failed run ends with the names of what failed: `grep -E '^(FAILED|ERROR) '`.
test: lint
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: lint
	$(BIN)/pytest -m "long or not long" --timeout 3600 $(ARGS)

check = @echo '$(1)'; $(1) || { echo 'FAILED lint: $(1)'; exit 1; }

lint: install
	$(call check,$(BIN)/ruff format --check .)
	$(call check,$(BIN)/ruff check .)
	$(call check,$(BIN)/mypy)
	$(call check,$(BIN)/lint-imports)
	$(call check,$(BIN)/squawk migrations/*.sql)
	$(call check,$(BIN)/python -m tests.deploy.dependency_audit)

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python -m tests.benchmarks $(ARGS)

# Updates the lock files, with hashes and without the URL of an index. The last one contains the build
# backend of the image and the program that writes its SBOM.
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url
lock:
	$(COMPILE) pyproject.toml --extra audio --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra dev --output-file requirements-dev.txt
	$(COMPILE) --constraint requirements-dev.txt pyproject.toml --extra transcription \
		--output-file deploy/requirements-transcription.txt
	printf 'hatchling\ncyclonedx-bom\n' | $(COMPILE) --constraint requirements-dev.txt - --output-file deploy/requirements-build.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
