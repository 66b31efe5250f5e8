# report · test (without the slow tests) · test-all · notebooks · bench · clean; each makes its environment itself.
PROFILE ?= demo
RUN ?= $(PROFILE)
OVERRIDES ?= {}
PYTHON ?= python3
SHELL := /bin/bash
quoted = '$(subst ','\'',$(1))'
# A profile that samples with vLLM has an environment of its own, .venv-gpu.
VENV := $(or $(shell $(PYTHON) -m lib.install venv $(call quoted,$(PROFILE)) $(call quoted,$(OVERRIDES)) 2>/dev/null),.venv)
LOCK := $(if $(filter .venv-gpu,$(VENV)),requirements-gpu.lock,requirements.lock)
READY := $(VENV)/.ready
# A home or cache folder that cannot be written is replaced here: Snakemake uses both before it reads the Snakefile.
export HOME := $(or $(shell $(PYTHON) -m lib.install folder HOME),$(HOME))
ifneq ($(shell $(PYTHON) -m lib.install folder XDG_CACHE_HOME 2>/dev/null),)
export XDG_CACHE_HOME := $(shell $(PYTHON) -m lib.install folder XDG_CACHE_HOME 2>/dev/null)
endif
export OVERRIDES
export PYTHONUNBUFFERED := 1
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1
export HF_HUB_DISABLE_PROGRESS_BARS := 1

.PHONY: report test test-all notebooks bench clean gpu-host
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
	$(VENV)/bin/python -m pytest -m "not slow"

test-all: $(READY)
	$(VENV)/bin/python -m pytest

notebooks: $(READY)
	$(VENV)/bin/python -m jupytext --sync notebooks/*.py

bench: $(READY)
	for file in benchmarks/*.py; do $(VENV)/bin/python $$file || exit 1; done

clean:
	rm -rf runs reports/*/ .snakemake .pytest_cache .hypothesis

# Made, or continued after an interruption, by lib/install.py, which writes .ready last.
$(READY): $(LOCK) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing; name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m lib.install install $(VENV)

ifeq ($(VENV),.venv-gpu)
$(READY): | gpu-host
endif

# What this machine is missing for the profile, in words, before anything is downloaded.
gpu-host:
	@$(PYTHON) -m lib.install host $(VENV) $(call quoted,$(PROFILE)) $(call quoted,$(OVERRIDES))
