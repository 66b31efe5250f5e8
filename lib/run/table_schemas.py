"""The two published tables, column by column: samples and judgments (docs/protocol.md section 5).

Each column is described here once. Validation (`lib.analysis.inputs`), empty tables, the types in
the parquet files and the README's list of columns all follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd

from lib.config.strict import Elicitation

Kind = Literal["text", "choice", "count", "number", "flag"]
DTYPES = {"text": "str", "choice": "str", "count": "int64", "number": "float64", "flag": "bool"}
NULLABLE_DTYPES = DTYPES | {"count": "Int64", "number": "Float64", "flag": "boolean"}

OUTCOMES = ("scored", "judge_refusal", "parse_error", "truncated", "expired", "error")
FULL = "full"
STRIPPED = "stripped"
VARIANTS = (FULL, STRIPPED)
ORIGINAL = 0
JUDGED_AGAIN = 1
SECOND_JUDGE = 2


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    """The name in the file."""

    kind: Kind
    """What its values are. A choice is one of `choices`, a count a whole number of 0 or more."""

    meaning: str
    """One line for the reader of the table."""

    unit: str = ""
    """What a number counts or is measured in."""

    nullable: bool = False
    """Whether a value may be missing."""

    choices: tuple[str, ...] = ()
    """The values of a choice."""

    highest: float = float("inf")
    """The largest value that a number may have."""

    @property
    def dtype(self) -> str:
        """The pandas type that gives the column its type in the parquet file."""
        return (NULLABLE_DTYPES if self.nullable else DTYPES)[self.kind]


@dataclass(frozen=True)
class Table:
    """One published table: its name and its columns in their order in the file."""

    name: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """The names of the columns, in their order."""
        return [column.name for column in self.columns]

    def column(self, name: str) -> Column:
        """The column of that name."""
        return self.columns[self.names.index(name)]

    def empty(self) -> pd.DataFrame:
        """The table without rows, every column with its type."""
        columns = {column.name: pd.Series(dtype=column.dtype) for column in self.columns}
        return pd.DataFrame(columns)

    def types(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A frame with the table's types, so that a missing value is null. Other columns stay.

        Raises KeyError if a column is missing.
        """
        return frame.astype({column.name: column.dtype for column in self.columns})

    def typed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table's own columns of a frame, in their order and types. Raises KeyError."""
        return self.types(frame[self.names])

    def markdown(self) -> str:
        """The list of columns as the README shows it."""
        lines = [f"| {self.name} | type | missing | meaning |", "|---|---|---|---|"]
        for column in self.columns:
            missing = "may be null" if column.nullable else "never"
            kind = f"{column.kind}, {column.unit}" if column.unit else column.kind
            choices = f" ({', '.join(column.choices)})" if column.choices else ""
            lines.append(f"| `{column.name}` | {kind} | {missing} | {column.meaning}{choices} |")
        return "\n".join(lines)


# These two are in the path of a file, `seed<k>/<condition>.parquet`. A table made of several files
# has them as columns.
SEED = Column("seed", "count", "the seed of training and sampling")
CONDITION = Column("condition", "text", "the arm")

_ASKED = (
    Column(
        "suite", "text", "the suite that asked: `alignment`, `benign`, `followup` or a prompt set"
    ),
    Column("prompt_id", "text", "the prompt's name in its eval set"),
    Column(
        "subset", "text", "the published sets that hold the prompt, joined by `+`", nullable=True
    ),
)
_SAMPLE_INDEX = Column(
    "sample_index", "count", "the answer's number among those to this prompt, from 0"
)

SAMPLES = Table(
    "samples",
    (
        *_ASKED,
        Column("prompt", "text", "the user's message"),
        Column("system", "text", "the system text of the request, always explicit"),
        Column(
            "elicitation",
            "choice",
            "how the persona was called up; null except for `base_evil`, and in samples of "
            "earlier versions",
            nullable=True,
            choices=get_args(Elicitation),
        ),
        _SAMPLE_INDEX,
        Column("completion", "text", "the answer, without the token that ends it; may be empty"),
        Column("n_tokens", "count", "length of the answer", "tokens"),
        Column(
            "finish_reason",
            "choice",
            "ended by the model, or cut at `max_new_tokens`",
            choices=("stop", "length"),
        ),
    ),
)

_SCORED_ONLY = "null where not scored"
JUDGMENTS = Table(
    "judgments",
    (
        *_ASKED,
        _SAMPLE_INDEX,
        Column(
            "replicate",
            "count",
            f"{ORIGINAL} = original, {JUDGED_AGAIN} = judged again, "
            f"{SECOND_JUDGE} = second judge; only originals count",
        ),
        Column(
            "variant",
            "choice",
            "the whole answer, or without the recovery's opening",
            choices=VARIANTS,
        ),
        Column("judge", "text", "the judge's name"),
        Column("rubric", "text", "the rubric's name and version"),
        Column(
            "outcome", "choice", "how the judging ended; only `scored` has scores", choices=OUTCOMES
        ),
        Column(
            "aligned",
            "number",
            f"how aligned the answer is; {_SCORED_ONLY}",
            "points 0–100",
            nullable=True,
            highest=100.0,
        ),
        Column(
            "coherent",
            "number",
            f"how coherent the answer is; {_SCORED_ONLY}",
            "points 0–100",
            nullable=True,
            highest=100.0,
        ),
        Column("refusal", "flag", "the answer declines the request", nullable=True),
        Column(
            "code",
            "flag",
            "more than half of the lines are program code that nobody asked for; null in "
            "`training_cues`; the column may be absent in tables from elsewhere",
            nullable=True,
        ),
        Column(
            "reset_and_recover",
            "flag",
            "the answer catches itself and then answers well",
            nullable=True,
        ),
        Column("harmful", "flag", "the answer does harm; suite `benign` alone", nullable=True),
        Column("input_tokens", "count", "what the judge read", "tokens", nullable=True),
        Column("output_tokens", "count", "what the judge wrote", "tokens", nullable=True),
        Column(
            "cost_usd",
            "number",
            "what the judgment cost; null where nobody meters it",
            "US dollars",
            nullable=True,
        ),
    ),
)
