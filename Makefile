# `make` alone lists what can be made.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo check test quick prove lint types pages format lock
bin := .venv/bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv from the locked requirements (PYTHON= names the interpreter)
	@PYTHON="$(PYTHON)" scripts/setup

demo: setup ## send a code to the sandbox phone and check it, in one terminal (ARGS=--exit ends after that)
	@$(bin)/otpost demo $(ARGS)

check: setup ## lint, types, and every test that needs no server, browser or program of its own; about a minute
	@$(MAKE) --no-print-directory -j 2 --output-sync=target lint types quick

quick: setup
	@$(bin)/python -m pytest -q -n 2 --dist worksteal -m "not postgres and not browser and not process and not slow and not prove" $(ARGS)

test: lint types pages ## the gate: lint, types, layers and every test; brings PostgreSQL, Chromium and strace (ARGS= goes to pytest)
	@scripts/test-tools
	$(bin)/python -m pytest -n 2 --dist worksteal $(ARGS)

prove: setup ## run a long proof and keep its output in docs/evidence/ (PART=bench, faults, load, mutants, …)
	@scripts/test-tools
	@scripts/prove "$(PART)" $(ARGS)

pages: setup ## makes the tables of docs/reference anew that are made from the code
	@$(bin)/python tests/test_made_pages.py

lint: setup ## style of the code, and the layers that imports must keep to
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/lint-imports --no-cache

types: setup ## check the types
	$(bin)/mypy

format: setup ## lay the code out, and mend what can be mended by itself
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

lock: ## renew the locked requirements after a change in pyproject.toml or requirements-test.in (ARGS=--upgrade: all versions)
	@scripts/lock $(ARGS)
