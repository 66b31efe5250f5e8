"""Where the base's weights come from: said in card and result.json, beside the digest of them."""

import jsonschema
import pytest

from lib.config import params
from lib.models import chat_models
from lib.report import base_weights, card, result_schema
from lib.report.base_weights import BaseWeights
from lib.run.files import write_json
from lib.run.runs import Run

SAID = "Qwen's official Q4_K_M file, dequantised, sha256 cc324af070c2"
REVISION = "0123abcd"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of weights that a hub model is loaded from."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("SELFCORRECT_MODELS_DIR", str(tmp_path / "models"))
    made = tmp_path / "models" / "Some-Model"
    made.mkdir(parents=True)
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def profile(source="hub", name="Someone/Some-Model"):
    loaded = params.load_profile("smoke")
    changed = {"source": source, "name": name, "revision": REVISION}
    return loaded.model_copy(update={"model": loaded.model.model_copy(update=changed)})


def recorded(of):
    """A run whose notebook 01 used the weights that lie there now."""
    run = Run("r")
    digest = chat_models.base_digest(of.model)
    record = {"seconds": 1.0, "outputs": {}, "facts": {}, "inputs": {"base": digest}}
    write_json(run.dir / "manifests" / "01_build_traces.json", record)
    return run, digest


def fields(run, of):
    return card.build(run, of, params.load_conditions())["fields"]


@pytest.mark.parametrize("source", ["hub", "path"])
def test_the_origin_stands_beside_the_digest_of_the_weights_that_were_used(folder, source):
    (folder / "WEIGHTS.txt").write_text(SAID + "\n", encoding="utf-8")
    of = profile(source, str(folder) if source == "path" else "Someone/Some-Model")
    run, digest = recorded(of)
    assert base_weights.of(run, of) == BaseWeights(digest, SAID)
    made = fields(run, of)
    assert made["base weights sha256"] == digest
    assert made["base model"].endswith(f"Some-Model: {SAID}")
    assert REVISION not in made["base model"] and str(folder.parent) not in made["base model"]


def test_a_folder_that_says_nothing_is_never_named_by_the_hub_revision(folder):
    run, digest = recorded(profile())
    assert base_weights.of(run, profile()) == BaseWeights(digest, None)
    made = card.build(run, profile(), params.load_conditions())
    assert "base model" in made["unknown"] and made["fields"]["base weights sha256"] == digest


def test_without_a_folder_the_hub_revision_names_the_weights(folder, monkeypatch):
    run, _ = recorded(profile())
    monkeypatch.delenv("SELFCORRECT_MODELS_DIR")
    assert fields(run, profile())["base model"] == f"Someone/Some-Model @ {REVISION}"


def test_an_origin_of_other_weights_than_those_that_were_used_does_not_count(folder):
    """Planted: the folder got other weights, with a note of theirs, after the run."""
    run, digest = recorded(profile())
    (folder / "model.safetensors").write_bytes(b"other weights")
    (folder / "WEIGHTS.txt").write_text(SAID, encoding="utf-8")
    assert base_weights.of(run, profile()) == BaseWeights(digest, None)


def test_a_run_without_a_record_has_no_weights(folder):
    assert base_weights.of(Run("empty"), profile()) is None


def test_the_schema_has_the_key():
    schema = result_schema.schema()
    part = {"$defs": schema["$defs"], **schema["properties"]["base_weights"]}
    for value in (None, {"sha256": "d", "origin": None}, {"sha256": "d", "origin": SAID}):
        jsonschema.validate(value, part)
    for value in (SAID, {"origin": SAID}, {"sha256": None, "origin": SAID}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, part)
