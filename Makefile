# Everything a developer runs. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The stamp's name holds what is installed and where, so a touched file reinstalls nothing, and a changed file or a moved checkout does.
WANTED := $(shell { cat requirements.lock pyproject.toml; pwd; } | cksum | cut -d' ' -f1)
STAMP  := $(VENV)/.installed-$(WANTED)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-browser check clean

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{ printf "make %-12s  %s\n", $$1, $$2 }'

install: $(STAMP)  ## .venv with the locked, hash-checked dependencies and this package (does nothing when up to date)

# The stamp is written last. An install that was interrupted leaves .incomplete behind, and the next one starts from an empty environment.
$(STAMP):
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo 'make: $(PYTHON) not found: Retouch needs Python 3.11 to 3.14; try make install PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 15) else "make: $(PYTHON) is Python %d.%d: Retouch needs 3.11 to 3.14; try make install PYTHON=python3.12" % v)'
	@{ $(BIN)/python -m pip --version >/dev/null 2>&1 && [ ! -e $(VENV)/.incomplete ]; } || $(PYTHON) -m venv --clear $(VENV)
	@touch $(VENV)/.incomplete
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-* $(VENV)/.incomplete
	@touch $@

demo: install  ## draws faces, trains a small editor on them, scores it, writes runs/demo (minutes on two cores)
	$(BIN)/python -m retouch.demo

test: install  ## the test suite, minutes on two cores
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

# Installs no browser: what is missing is said.
test-browser: install  ## the page of `retouch app` in the system's Chromium, minutes on two cores
	@command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null 2>&1 || { echo 'make: no Chromium or Chrome: install the package chromium (Debian, Ubuntu: apt-get install chromium)' >&2; exit 1; }
	@$(BIN)/python -c 'import playwright' 2>/dev/null || { echo 'make: playwright is not installed: $(BIN)/python -m pip install playwright' >&2; exit 1; }
	$(BIN)/python -m pytest -q -m slow tests/browser

check: install  ## ruff and mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

clean:  ## removes caches and build leftovers; leaves .venv and runs
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find retouch tests -name __pycache__ -type d -prune -exec rm -rf {} +
