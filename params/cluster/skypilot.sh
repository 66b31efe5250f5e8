#!/usr/bin/env bash
# PROFILE=qwen7b RUN=mine params/cluster/skypilot.sh: make report on one H100 of a cloud, the run back as
# packs/<run>.tar, and the machine down. If a step fails the machine only stops, so that its disk keeps the run.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${PROFILE:=qwen7b}" "${RUN:=$PROFILE}" "${OVERRIDES:={\}}" "${MACHINE:=selfcorrect}"
: "${ANTHROPIC_API_KEY:?is not set; the judge of the profile needs it}"
export ANTHROPIC_API_KEY
trap 'sky stop --yes "$MACHINE"' ERR INT TERM
sky launch --yes -c "$MACHINE" params/cluster/skypilot.yaml --secret ANTHROPIC_API_KEY \
  --env PROFILE="$PROFILE" --env RUN="$RUN" --env OVERRIDES="$OVERRIDES"
mkdir -p packs
rsync -az "$MACHINE:sky_workdir/packs/$RUN.tar" packs/
rsync -az "$MACHINE:sky_workdir/reports/$RUN/" "reports/$RUN/"
trap - ERR INT TERM
sky down --yes "$MACHINE"
make unpack FILE="packs/$RUN.tar"
