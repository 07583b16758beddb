# Works with GNU Make 3.81. Each target is one line; Python decides what there is to do.

VARIABLES = ARGS DATA FILE FORCE MESSAGE MNIST_URL OUT PYTHON RECIPE RECIPES RUN RUNS RUN_PYTHON SOURCE TORCH YES

# By itself, make exports what is given on its command line, and expands $(...) in it for that.
unexport $(VARIABLES)
MAKEOVERRIDES =

is_given = $(filter command,$(origin $(1)))
unknown := $(strip $(foreach name,$(.VARIABLES),$(if $(call is_given,$(name)),$(filter-out $(VARIABLES),$(name)))))
ifneq ($(unknown),)
$(error unknown variable $(unknown): there are $(filter-out RUN_PYTHON,$(VARIABLES)))
endif

# Variables count only where they stand on make's own command line: a DATA that the shell happens
# to export must not hijack a run. Values are quoted, so quotes and spaces
# survive, all but leading spaces, which make strips: ARGS="--message '  a'" has them.
define newline


endef
checked = $(if $(findstring environment,$(origin $(1))),$(error $(1) is in the environment, where it does not count: put it after make, or unset it))$(if $(findstring $(newline),$(value $(1))),$(error $(1) holds a line break))
quoted = '$(subst ','\'',$(value $(1)))'
given = $(call checked,$(1))$(if $(call is_given,$(1)),$(2) $(call quoted,$(1)))
switch = $(call checked,$(1))$(if $(call is_given,$(1)),$(if $(filter 1 yes true,$(value $(1))),$(2)))
ARGUMENTS = $(call checked,ARGS)$(if $(call is_given,ARGS),$(value ARGS))

RUN_PYTHON = .venv/bin/python -m digit_recognizer
# The variable makes messages name commands as make's users type them.
PROGRAM = DIGIT_RECOGNIZER_MAKE=1 $(RUN_PYTHON)

.DEFAULT_GOAL := help
.PHONY: help setup download train compare blend runs coverage cv report predict play notebook submit scores doctor kernel bench lint types test test-slow clean anew

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# .venv is made with uv where that is there, which takes a fifth of the time, else with pip.
uv := $(shell command -v uv 2>/dev/null)
python = $(if $(call is_given,PYTHON),$(call quoted,PYTHON),python3)
version = -c 'import sys; print(sys.version)' 2>/dev/null
anew := $(if $(call is_given,PYTHON),$(shell [ "$$($(python) $(version))" = "$$(.venv/bin/python $(version) || echo none)" ] || echo anew))
ifneq ($(call is_given,TORCH),)
ifneq ($(value TORCH),cpu)
$(error TORCH may only be cpu: without it, pip chooses the build)
endif
anew := $(if $(wildcard .venv/.cpu),$(anew),anew)
endif
cpu := $(call is_given,TORCH)$(wildcard .venv/.cpu)
ifneq ($(uv),)
check_python = $(if $(call is_given,PYTHON),$(python_is_good),:)
venv_is_good = .venv/bin/python -c ''
needed = sys
make_venv = uv venv --quiet --clear $(if $(call is_given,PYTHON),--python "$$(command -v $(python))") .venv
install = uv pip install --python .venv/bin/python $(if $(cpu),--torch-backend cpu) --constraint constraints.lock
newer_pip = :
else
check_python = $(python_is_good)
venv_is_good = .venv/bin/python -m pip --version
needed = sys, venv, ensurepip
make_venv = $(python) -m venv --clear .venv
install = .venv/bin/python -m pip install --disable-pip-version-check $(if $(cpu),--extra-index-url https://download.pytorch.org/whl/cpu) --constraint constraints.lock
newer_pip = .venv/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1' # knows dependency groups
endif
python_is_good = $(python) -c 'import $(needed); sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null || { printf '%s %s\n' $(python) 'is missing, has no venv module, or is not Python 3.11 to 3.14: give PYTHON=/path/to/python3.12' >&2; exit 1; }

setup: .venv/.ready ## build .venv, anew where it is broken or out of date: TORCH=cpu takes PyTorch's CPU build, PYTHON= another Python

.venv/.ready: pyproject.toml constraints.lock $(anew)
	@$(call checked,PYTHON)$(call checked,TORCH)$(check_python)
	@$(if $(anew),false,$(venv_is_good) >/dev/null 2>&1) || $(make_venv)
	@echo "installing into .venv, in a minute or two$(if $(cpu),, (on Linux without an NVIDIA GPU, 'make setup TORCH=cpu' saves several GB))"
	$(install) --editable .
	@$(if $(cpu),touch .venv/.cpu)
	@touch $@

.venv/.notebook: .venv/.ready
	$(install) --editable '.[notebook]'
	@touch $@

.venv/.dev: .venv/.ready
	@$(newer_pip)
	$(install) --editable '.[notebook]' --group dev
	@touch $@

.venv/.cluster: .venv/.dev
	$(install) --editable '.[cluster]'
	@touch $@

download: setup ## fetch a dataset: SOURCE=kaggle (default), mnist, sample, or a zip or folder
	@$(PROGRAM) download $(call given,SOURCE,--source) $(call given,MNIST_URL,--mnist-url) $(ARGUMENTS)

train: setup ## train, ensemble, write submission.csv and the CV report: RECIPE= RUN= DATA= ARGS="--epochs 3"
	@$(PROGRAM) train $(call given,DATA,--data) $(call given,RECIPE,--recipe) $(call given,RUN,--run) $(ARGUMENTS)

compare: setup ## compare recipes on the same folds, training those that are missing: RECIPES="mlp default" DATA=
	@$(PROGRAM) compare $(call given,RECIPES,--recipes) $(call given,DATA,--data) $(ARGUMENTS)

blend: setup ## average finished runs into a new one: RUNS="a b c" RUN=d
	@$(PROGRAM) blend $(call given,RUNS,--runs) $(call given,RUN,--run) $(ARGUMENTS)

runs: setup ## list all runs, finished or not
	@$(PROGRAM) runs $(ARGUMENTS)

coverage: setup ## count how often scores lie in their prediction interval: RUNS="a b c" RECIPE= DATA=
	@$(PROGRAM) coverage $(call given,RUNS,--runs) $(call given,DATA,--data) $(call given,RECIPE,--recipe) $(ARGUMENTS)

cv: setup ## print the CV report of a finished run again: RUN=
	@$(PROGRAM) cv $(call given,RUN,--run) $(ARGUMENTS)

report: setup ## draw a run's page, submissions/<run>/report.html, anew: RUN=
	@$(PROGRAM) report $(call given,RUN,--run) $(ARGUMENTS)

predict: setup ## read digits from FILE= (a picture, a folder, '*.png', test.csv or train.csv): RUN= OUT=
	@$(PROGRAM) predict $(call given,FILE,--file) $(call given,RUN,--run) $(call given,OUT,--out) $(ARGUMENTS)

play: setup ## draw a digit in the browser and see what a run's networks make of it: RUN= ARGS="--port 8000"
	@$(PROGRAM) play $(call given,RUN,--run) $(ARGUMENTS)

notebook: .venv/.notebook ## run the whole workflow as a notebook, on the sample: submissions/walkthrough.html and .ipynb
	@$(PROGRAM) notebook $(ARGUMENTS)

submit: setup ## check a run's submission, upload it, bring the score back: RUN= MESSAGE= YES=1
	@$(PROGRAM) submit $(call given,RUN,--run) $(call given,FILE,--file) $(call given,MESSAGE,--message) $(call switch,YES,--yes) $(call switch,FORCE,--force) $(ARGUMENTS)

scores: setup ## fetch public scores into the ledger and compare all runs
	@$(PROGRAM) scores $(ARGUMENTS)

kernel: setup ## train on Kaggle's own GPU and bring the run back: RECIPE= RUN= FORCE=1
	@$(PROGRAM) kernel $(call given,RECIPE,--recipe) $(call given,RUN,--run) $(call switch,FORCE,--force) $(ARGUMENTS)

doctor: setup ## check what download, train and submit need, and say what to do
	@$(PROGRAM) doctor $(ARGUMENTS)

bench: setup ## measure training beside a plain PyTorch loop, Deotte's and other networks (seven minutes): DATA=
	@$(PROGRAM) bench $(call given,DATA,--data) $(ARGUMENTS)

lint: .venv/.dev ## check style and the direction of imports
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/lint-imports

types: .venv/.dev ## check types
	@.venv/bin/mypy

test: .venv/.dev ## run the tests (under 5 minutes on 2 cores, no network)
	@.venv/bin/python -m pytest -n 2 --dist loadfile $(ARGUMENTS)

test-slow: .venv/.cluster ## run the long tests
	@.venv/bin/python -m pytest -m slow $(ARGUMENTS)

clean: ## remove caches; never data, runs or submissions
	@rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist src/*.egg-info
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -f data/*/.arrays-*.npz
