"""docs/result.schema.json follows the types, and every result obeys it."""

from __future__ import annotations

import copy
import json

import jsonschema
import pytest
from golden_cases import FOLDER
from outside import save, score, spaced, whole  # noqa: F401 (score is a fixture)

from lib.report import result_schema

VALIDATOR = jsonschema.Draft202012Validator(result_schema.schema())
WHOLE = ("elsewhere", "pilot_stops")  # the other golden files hold analysis and decision alone


def faults(document):
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def golden(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def test_the_file_is_what_the_types_say():
    jsonschema.Draft202012Validator.check_schema(result_schema.schema())
    written = result_schema.PATH.read_text(encoding="utf-8")
    assert written == result_schema.text(), "run python -m lib.report.result_schema"


@pytest.mark.parametrize("name", WHOLE)
def test_a_result_obeys(name):
    assert faults(golden(name)) == []


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_analysis_and_decision_obeys(path):
    assert faults(golden("elsewhere") | golden(path.stem)) == []


def test_a_result_without_a_pair_obeys(score, tmp_path):  # noqa: F811
    arms = whole(75, 50)
    save(tmp_path, arms | {"selfcorrect_em": spaced(arms["selfcorrect_em"])})
    assert faults(score()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda result: result.pop("verdict"), "'verdict' is a required property"),
        (lambda result: result.update(extra=1), "'extra' was unexpected"),
        (lambda result: result.update(delta="20"), "$.delta"),
        (lambda result: result["gates"][3].pop("margin"), "'margin' is a required property"),
        (lambda result: result["arms"]["base"].update(aligned=True), "$.arms.base.aligned"),
        (lambda result: result["beside"]["refusal"].update(more=None), "'more' was unexpected"),
    ],
)
def test_what_breaks_it_is_found(change, words):
    result = copy.deepcopy(golden("elsewhere"))
    change(result)
    (fault,) = faults(result)
    assert words in fault


def test_every_type_and_field_is_described():
    schema = result_schema.schema()
    types = schema["$defs"] | {"result": schema}
    assert all(described["description"] for described in types.values())
    bare = {
        name: [key for key, field in described["properties"].items() if "description" not in field]
        for name, described in types.items()
    }
    assert not any(bare.values()), bare
