# report · sweep · plan · em_set · ladder · score · review · compare · status · publish · pack · unpack
# · test (without the slow tests) · test-all · lint · notebooks · bench · clean · clean-run.
# Each target makes its environment itself.
PROFILE ?= demo
OVERRIDES ?= {}
ifeq ($(origin RUN),undefined)
RUN := $(value PROFILE)
endif
PYTHON ?= python3
SHELL := /bin/bash
quoted = '$(subst ','\'',$(1))'
# A profile that samples with vLLM has its own environment, .venv-gpu.
GIVEN = $(call quoted,$(value PROFILE)) $(call quoted,$(value OVERRIDES))
VENV := $(or $(shell $(PYTHON) -m lib.setup.install venv $(GIVEN) 2>/dev/null),.venv)
# These targets need no GPU. They take .venv-gpu only if it is there already.
LIGHT := plan score review compare status publish pack unpack clean-run
LIGHT_ONLY := $(if $(MAKECMDGOALS),$(if $(filter-out $(LIGHT),$(MAKECMDGOALS)),,yes))
ifeq ($(LIGHT_ONLY)$(wildcard .venv-gpu/.ready),yes)
VENV := .venv
endif
LOCK := $(if $(filter .venv-gpu,$(VENV)),requirements-gpu.lock,requirements.lock)
READY := $(VENV)/.ready
# A home or cache folder that cannot be written is replaced here: Snakemake uses both before it
# reads the Snakefile.
export HOME := $(or $(shell $(PYTHON) -m lib.setup.install folder HOME),$(HOME))
ifneq ($(shell $(PYTHON) -m lib.setup.install folder XDG_CACHE_HOME 2>/dev/null),)
export XDG_CACHE_HOME := $(shell $(PYTHON) -m lib.setup.install folder XDG_CACHE_HOME 2>/dev/null)
endif
export PYTHONUNBUFFERED := 1
# Every stage is a process of its own. If a shell forbids bytecode, each of them would compile torch,
# transformers and the rest again.
export PYTHONDONTWRITEBYTECODE :=
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1
export HF_HUB_DISABLE_PROGRESS_BARS := 1

.PHONY: report sweep plan em_set ladder score review compare status publish pack unpack test test-all
.PHONY: test-long lint notebooks bench clean clean-run gpu-host
.DEFAULT_GOAL := report

# Parameters go to the pipeline as they were typed: nothing expands a $ or reads a name as a number.
# NAME counts only if it was typed: some systems set a variable of that name.
SWEEP := $(if $(filter command,$(firstword $(origin NAME))),$(value NAME))
report plan: override export PROFILE := $(value PROFILE)
report plan: override export RUN := $(value RUN)
report plan: override export OVERRIDES := $(value OVERRIDES)
report sweep plan: override export CLUSTER := $(value CLUSTER)
report: override export SWEEP :=
report: $(READY)
	@exec "$(VENV)/bin/python" -m lib.pipeline

# Several runs together, from params/sweeps/<name>.yaml: make sweep NAME=name
sweep: export SWEEP := $(SWEEP)
sweep: $(READY)
	@test -n "$$SWEEP" || { echo "make sweep: name one of params/sweeps: make sweep NAME=name" >&2; exit 2; }
	@exec "$(VENV)/bin/python" -m lib.pipeline

# What will run and what it will cost, without starting it: make plan PROFILE=name, or NAME=name
plan: export SWEEP := $(SWEEP)
plan: $(READY)
	@exec "$(VENV)/bin/python" -m lib.planning

# The EM set of a run, and the ladder that chooses the dose of Phase 2 (docs/em_sets.md).
em_set ladder: override export PROFILE := $(value PROFILE)
em_set ladder: override export RUN := $(value RUN)
em_set ladder: override export OVERRIDES := $(value OVERRIDES)
em_set: $(READY)
	@exec "$(VENV)/bin/python" -m lib.pipeline em_set
ladder: $(READY)
	@exec "$(VENV)/bin/python" -m lib.pipeline ladder

# One process per core, each with whole files, since the tests of a file share what was made for
# them.
PARALLEL = --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
PYTEST = $(VENV)/bin/python -m pytest $(PARALLEL)

test: $(READY)
	$(PYTEST) -m "not slow and not long"

test-all: $(READY)
	$(PYTEST) -m "not long"

# Fifteen kills and two stops of a run, and a real Slurm of one node: hours on a busy machine.
test-long: $(READY)
	$(PYTEST) -m long

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check lib tests benchmarks
	$(VENV)/bin/basedpyright --pythonpath $(VENV)/bin/python
	$(VENV)/bin/python -m lib.setup.audit

notebooks: $(READY)
	$(VENV)/bin/python -m jupytext --sync notebooks/*.py

bench: $(READY)
	for file in benchmarks/*.py; do $(VENV)/bin/python $$file || exit 1; done

# The record of attempts stays: it is part of every later result.
clean:
	find runs -mindepth 1 -maxdepth 1 ! -name attempts.jsonl -exec rm -rf {} + 2>/dev/null || true
	rm -rf reports/*/ .snakemake .pytest_cache .hypothesis

# What one run made: make clean-run RUN=name (no default). Its report and its attempts stay.
clean-run: override export RUN := $(if $(filter file,$(origin RUN)),,$(value RUN))
clean-run: $(READY)
	@exec "$(VENV)/bin/python" -m lib.run.clean

# Judgments made elsewhere:
#   make score JUDGMENTS=DIR [CAPABILITY=DIR] RUN=name [TREATMENT=arm BASELINE=arm]
# Folders are relative to where make is called. RUN has no default here, since a run of this project
# must not be overwritten.
score: export CALLED_FROM := $(or $(PWD),$(CURDIR))
score: override export RUN := $(if $(filter file,$(origin RUN)),,$(value RUN))
score: override export PROFILE := $(value PROFILE)
score: override export JUDGMENTS := $(value JUDGMENTS)
score: override export CAPABILITY := $(value CAPABILITY)
score: override export TREATMENT := $(value TREATMENT)
score: override export BASELINE := $(value BASELINE)
score: $(READY)
	@$(VENV)/bin/python -m lib.score 2> >(grep -v --line-buffered IPKernelApp >&2)

# A short edition of a run's report in docs/results/<run>/: make publish RUN=name (no default).
publish: override export RUN := $(if $(filter file,$(origin RUN)),,$(value RUN))
publish: $(READY)
	@exec "$(VENV)/bin/python" -m lib.publish

# What a person marked on the page of the report: make review RUN=name [FILE=review-name.jsonl]
# Several runs side by side: make compare RUNS="a b c", or those of a sweep: make compare NAME=name
# How far a run is, from its files: make status RUN=name
review compare status: override export PROFILE := $(value PROFILE)
review compare status: override export RUN := $(value RUN)
review: override export FILE := $(value FILE)
review: override export CALLED_FROM := $(or $(value PWD),$(CURDIR))
compare: override export RUNS := $(value RUNS)
compare: export SWEEP := $(SWEEP)
review: $(READY)
	@"$(VENV)/bin/python" -m lib.review 2> >(grep -v --line-buffered IPKernelApp >&2)
compare: $(READY)
	@exec "$(VENV)/bin/python" -m lib.report.compare
status: $(READY)
	@exec "$(VENV)/bin/python" -m lib.report.status

# A run in one file, packs/<run>.tar, and back: make pack RUN=name [WEIGHTS=no]
#   make unpack FILE=name.tar [RUN=name]
pack unpack: override export RUN := $(if $(filter file,$(origin RUN)),,$(value RUN))
pack: override export WEIGHTS := $(value WEIGHTS)
unpack: override export FILE := $(value FILE)
unpack: override export CALLED_FROM := $(or $(value PWD),$(CURDIR))
pack unpack: $(READY)
	@exec "$(VENV)/bin/python" -m lib.packing $@

# Made, or continued after an interruption, by lib/setup/install.py, which writes .ready last.
$(READY): $(LOCK) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: $(PYTHON) is missing; name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m lib.setup.install install $(VENV)

# The host is not checked for a target that needs no GPU, or if a cluster runs the stages and the
# environment is there.
ON_CLUSTER := $(if $(filter-out local,$(value CLUSTER)),$(wildcard .venv-gpu/.ready))
ifeq ($(VENV)$(LIGHT_ONLY)$(ON_CLUSTER),.venv-gpu)
$(READY): | gpu-host
endif

# What this machine is missing for the profile, in words, before anything is downloaded.
gpu-host:
	@$(PYTHON) -m lib.setup.install host $(VENV) $(GIVEN)
