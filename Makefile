# The commands of Mooring. `make demo` and `make test` each work alone on a machine with Python 3.11+ and make.

PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.14; do \
	command -v $$name >/dev/null 2>&1 && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$name && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install demo test clients soak check lock bench clean

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml model_server/pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed, and none was found on PATH" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (a minute or so the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e ./model_server -e .
	@touch $@

demo: install
	@$(BIN)/python scripts/demo.py $(if $(KEEP),--keep)

test: install
	@$(BIN)/python -m pytest $(or $(ARGS),-n 2 --dist loadfile)

# Real clients and kinds of models in environments of their own, and faults for minutes. PAGE=1 writes the results down.
clients soak: install
	@$(BIN)/python -m pytest -m $@ --junitxml build/$@.xml $(ARGS); status=$$?; \
	$(BIN)/python scripts/last_results.py build/$@.xml $(if $(PAGE),--write docs/$@.md); exit $$status

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(BIN)/uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --python-version 3.11 --all-extras --group dev \
		pyproject.toml -o requirements.lock --no-emit-package mooring --no-emit-package mooring-model-server

bench: install
	$(BIN)/python bench/gateway.py --quick

clean:
	rm -rf .venv .demo build dist
