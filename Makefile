# make demo    say what will be installed, install it, then run three small trainings one after another
# make test    install, then run the tests, without those marked as slow
# make check   run ruff, mypy and all tests, as CI does
# make docs    build the site of docs/ into build/site; warnings are errors
# make mutants change the code a little, again and again, and say what no test notices; hours: see bench/README.md
# make clean   remove the virtual environment, build files and caches
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: help setup demo test check docs mutants clean
.DEFAULT_GOAL := help

help:
	@grep '^# make' Makefile | cut -c3-

setup: $(VENV)/.installed $(VENV)/.installed-dev

$(VENV)/.installed: requirements.txt
	@echo "Installing into $(VENV)/: torch and the other packages of requirements.txt, once. With the CPU build of torch this"
	@echo "is about 0.4 GB to download and 1.6 GB on the disk; the build for NVIDIA GPUs, which pip takes on Linux, is several"
	@echo "GB. It takes from one to about ten minutes, by the connection. docs/dependencies.md shows how to get the CPU build."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.installed
	@echo "Three trainings, about a minute each on two idle CPU cores; the first line of a training comes within seconds."
	$(BIN)/python run_experiments.py --configs "config/quickstart/*.py" --report

test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow and not browser and not slurm"

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

mutants: $(VENV)/.installed-dev
	$(BIN)/python bench/mutants.py $(MUTANTS)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
