# The few commands of this project. Each builds the environment it needs first; nothing has to be activated.
#
#   make demo [DATA=DIR]   a running demo shop, its address printed
#   make test              the database contracts on PostgreSQL, where one can be had, then every test on SQLite;
#                          with npm, the tracker's build and tests too
#   make lint              formatting, types, import contracts
#   make docs              the documentation as a site in site/
#   make venv              only the environment

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# Add `train` for PyTorch: make venv EXTRAS=dev,train
EXTRAS ?= dev
# Two processes hold the suite's time down on two cores; -n 0 shows output as it comes.
PYTEST ?= -n 2 --dist loadfile

STAMP := $(VENV)/.installed-$(shell { echo "$(EXTRAS)"; cat pyproject.toml constraints.txt; } | sha256sum | cut -c1-16)

.PHONY: help venv demo test lint docs

help:
	@sed -n 's/^#   //p' Makefile

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	    "Python 3.11 or newer is needed, this is %d.%d: make venv PYTHON=/path/to/python3.11" % v[:2])'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@# torch alone and first: resolved together with others, pip may take a build for another platform.
	case ",$(EXTRAS)," in (*,train,*|*,all,*) $(PY) -m pip install -q "$$(grep '^torch==' constraints.txt)";; esac
	$(PY) -m pip install -q -c constraints.txt -e '.[$(EXTRAS)]'
	rm -f $(VENV)/.installed-*
	touch $(STAMP)

demo: venv
	$(PY) example/demo.py $(if $(DATA),--data $(DATA))

# The tracker's tools. Without npm, or where it cannot download, the tests that need them skip and say so.
frontend/node_modules/.installed: $(wildcard frontend/package-lock.json)
	@if test -n "$^" && command -v npm >/dev/null && npm ci --prefix frontend --no-audit --no-fund; then touch $@; \
	    else echo "The tracker's tools are not installed: its build and tests are skipped."; fi

test: venv frontend/node_modules/.installed
	$(PY) -m tests.on_postgres
	$(PY) -m pytest $(PYTEST)

lint: venv
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

docs: venv
	$(PY) docs/settings_page.py
	$(PY) -m mkdocs build --strict
