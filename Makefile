# Works with GNU Make 3.81. Each target is one line; Python decides what there is to do.

PYTHON = python3
RUN_PYTHON = .venv/bin/python -m digit_recognizer

# Variables count only where they stand on make's own command line: a DATA that the shell
# happens to export must not hijack a run. Values are quoted, so spaces and quotes survive.
given = $(if $(filter command,$(origin $(1))),$(2) '$(subst ','\'',$(value $(1)))')
switch = $(if $(filter command,$(origin $(1))),$(if $(filter 1 yes true,$(value $(1))),$(2)))
ARGUMENTS = $(if $(filter command,$(origin ARGS)),$(value ARGS))

.DEFAULT_GOAL := help
.PHONY: help setup download train compare blend runs coverage cv report predict play notebook submit scores doctor kernel bench lint types test test-slow clean

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: .venv/.ready ## build or repair .venv

.venv/.ready: pyproject.toml constraints.lock
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null || { echo "$(PYTHON) is missing, has no venv module, or is not Python 3.11 to 3.14: give PYTHON=/path/to/python3.12" >&2; exit 1; }
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.lock --editable '.[dev]'
	@touch $@

download: setup ## fetch a dataset: SOURCE=kaggle (default), mnist, sample, or a zip or folder
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) download $(call given,SOURCE,--source) $(call given,MNIST_URL,--mnist-url) $(ARGUMENTS)

train: setup ## train, ensemble, write submission.csv and the CV report: RECIPE= RUN= DATA= ARGS="--epochs 3"
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) train $(call given,DATA,--data) $(call given,RECIPE,--recipe) $(call given,RUN,--run) $(ARGUMENTS)

compare: setup ## train recipes on the same folds, as far as missing, and table them: RECIPES="mlp default" DATA=
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) compare $(call given,RECIPES,--recipes) $(call given,DATA,--data) $(ARGUMENTS)

blend: setup ## average finished runs into a new one: RUNS="a b c" RUN=d
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) blend $(call given,RUNS,--runs) $(call given,RUN,--run) $(ARGUMENTS)

runs: setup ## list all runs, finished or not
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) runs $(ARGUMENTS)

coverage: setup ## count how often scores lie in their expected interval: RUNS="a b c" RECIPE= DATA=
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) coverage $(call given,RUNS,--runs) $(call given,DATA,--data) $(call given,RECIPE,--recipe) $(ARGUMENTS)

cv: setup ## print the CV report of a finished run again: RUN=
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) cv $(call given,RUN,--run) $(ARGUMENTS)

report: setup ## draw a run's page, submissions/<run>/report.html, anew: RUN=
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) report $(call given,RUN,--run) $(ARGUMENTS)

predict: setup ## read digits from FILE= (PNG, JPEG, a folder of them, or a CSV of pixel rows)
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) predict $(call given,FILE,--file) $(call given,RUN,--run) $(ARGUMENTS)

play: setup ## draw a digit in the browser and see what a run's networks make of it: RUN= ARGS="--port 8000"
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) play $(call given,RUN,--run) $(ARGUMENTS)

notebook: setup ## run the whole workflow as a notebook, on the sample: submissions/walkthrough.ipynb
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) notebook $(ARGUMENTS)

submit: setup ## check a run's submission, upload it, bring the score back: RUN= MESSAGE= YES=1
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) submit $(call given,RUN,--run) $(call given,FILE,--file) $(call given,MESSAGE,--message) $(call switch,YES,--yes) $(call switch,FORCE,--force) $(ARGUMENTS)

scores: setup ## fetch public scores into the ledger and compare all runs
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) scores $(ARGUMENTS)

kernel: setup ## train on Kaggle's own GPU and bring the run back: RECIPE= RUN= FORCE=1
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) kernel $(call given,RECIPE,--recipe) $(call given,RUN,--run) $(call switch,FORCE,--force) $(ARGUMENTS)

doctor: setup ## check what download, train and submit need, and say what to do
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) doctor $(ARGUMENTS)

bench: setup ## measure training beside a plain PyTorch loop and Deotte's networks (under 15 minutes): DATA=
	@DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON) bench $(call given,DATA,--data) $(ARGUMENTS)

lint: setup ## check style and the direction of imports
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/lint-imports

types: setup ## check types
	@.venv/bin/mypy

test: setup ## run the tests (under 5 minutes on 2 cores, no network)
	@.venv/bin/python -m pytest -n 2 --dist loadfile $(ARGUMENTS)

test-slow: setup ## run the long tests
	@.venv/bin/python -m pytest -m slow $(ARGUMENTS)

clean: ## remove caches; never data, runs or submissions
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build src/*.egg-info
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -f data/*/.arrays-*.npz
