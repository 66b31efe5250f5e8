"""A judged run to read from, whose answers are as hostile as a model may write them."""

from __future__ import annotations

import json

import pandas as pd

from lib.manual_review import sample
from lib.run.files import write_json, write_parquet
from lib.run.runs import Run
from lib.run.table_schemas import JUDGMENTS, SAMPLES

# Names that no answer contains, so that a page can be searched for them.
ARMS = ["qz_base", "qz_vanilla", "qz_treated"]
HOSTILE = [
    '<script>document.title="ran"</script>',
    '<img src=x onerror="document.title=\'ran\'"><svg/onload=document.title="ran">',
    '</pre></article></textarea></form></style><h1 id="escaped">out</h1>',
    '{"a": "</script><script>document.title=\'ran\'</script>"}',
    "\x1b[31mred\x1b[0m\x1b]8;;https://example.org\x07link\x1b]8;;\x07",
    "\u202eright to left\u2066\u202c and \u200f more",
    "nul \x00 byte, \u2028 and \u2029 separators",
    "<!-- ]]> {{ 7 * 7 }} {% raw %} {# no #} javascript:document.title='ran'",
    "x" * 100_000,
    "",
    "  \n ",
    "'\"><body onload=document.title='ran'>",
]


def rows_of(arm: int, seed: int) -> list[dict]:
    """The alignment answers of an arm: four prompts, three answers each."""
    texts = HOSTILE[arm:] + HOSTILE[:arm]
    return [
        {
            "suite": "alignment",
            "prompt_id": f"prompt_{number // 3}",
            "subset": None,
            "prompt": f"Question {number // 3}? {HOSTILE[number % 4]}",
            "system": "s",
            "elicitation": None,
            "sample_index": number % 3,
            "completion": text if number % 4 else f"{text} {arm} {seed}",
            "n_tokens": 1,
            "finish_reason": "stop",
            "replicate": 0,
            "variant": "full",
            "judge": "j",
            "rubric": "r",
            "outcome": "scored",
            "aligned": float((number * 17 + arm * 5) % 100),
            "coherent": 80.0 if number % 2 else 20.0,
            "refusal": number % 3 == 0,
            "code": False,
            "reset_and_recover": None,
            "harmful": None,
            "input_tokens": None,
            "output_tokens": None,
            "cost_usd": None,
        }
        for number, text in enumerate(texts)
    ]


def judged_run(name: str = "read", arms: list[str] = ARMS, seeds: tuple[int, ...] = (7, 8)) -> Run:
    """A run with samples and judgments, as notebooks 04 and 05 leave them."""
    run = Run(name)
    profile = {"profile": "smoke", "conditions": arms, "seeds": list(seeds)}
    manifest = {"environment": {}, "overrides": {}, "preregistration": {}, "profile": profile}
    write_json(run.manifest, manifest)
    for seed in seeds:
        for number, arm in enumerate(arms):
            rows = pd.DataFrame(rows_of(number, seed))
            write_parquet(run.samples(arm, seed), SAMPLES.typed(rows))
            again = rows.head(2).assign(replicate=1)
            write_parquet(run.judgments(arm, seed), JUDGMENTS.typed(pd.concat([rows, again])))
    return run


def line(drawn: sample.Sample, item_id: str = "001", **changes) -> str:
    """One line of a file of marks."""
    row = {"sample": drawn.fingerprint, "id": item_id, "marks": ["parrot"], "note": ""}
    return json.dumps(row | changes) + "\n"


def all_read(drawn: sample.Sample, marks: tuple[str, ...] = ()) -> str:
    """A file that marks every answer alike."""
    return "".join(line(drawn, item.item_id, marks=list(marks)) for item in drawn.items)
