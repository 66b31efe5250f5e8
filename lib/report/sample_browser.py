"""The sample browser: a page with every completion of a run, opened from a file, without a network.

A file that is opened as file:// may not be read by a script. So the data come as scripts of one
call each: base64 of gzipped JSON, which cannot close a script element or be read as anything else.
lib/display/templates/samples*.js unpack them and show completions as text only.
"""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib.config.params import load_conditions
from lib.display import html
from lib.report import arm_words, page, read_result, sample_tables
from lib.report.page import ExtraPage, Link, Navigation
from lib.run.runs import Run

PAGE = "samples/index.html"
STYLE = "samples.css"
SCRIPTS = (  # in their order; they share one scope
    "samples.js",
    "samples_data.js",
    "samples_choose.js",
    "samples_show.js",
    "samples_controls.js",
)
CHUNK = 1_000_000  # characters of completions in one file, or one longer completion


def write(run: Run, site: Path, navigation: Navigation) -> None:
    """Write the browser's page, its script, its stylesheet and its data into the site's folder."""
    tables = sample_tables.read(run, load_conditions().openings)
    folder = site / "samples"
    folder.mkdir()
    for asset in (STYLE, *SCRIPTS):
        shutil.copyfile(html.TEMPLATES / asset, folder / asset)
    chunks = [tables.index, *_divided(tables.texts)]
    names = [f"{number:03}.js" for number in range(len(chunks))]
    for number, (name, chunk) in enumerate(zip(names, chunks, strict=True)):
        (folder / name).write_text(_script(number, chunk), encoding="ascii")
    prompts = {prompt["id"]: prompt["text"] for prompt in tables.index["prompts"]}
    body = html.render(
        "samples",
        choices=tables.choices,
        words=_words(run),
        prompt_labels={name: f"{name} · {text}" for name, text in prompts.items()},
        total=len(tables.texts),
    )
    head = html.render("samples_head", scripts=[*SCRIPTS, *names])
    text = page.render(navigation, PAGE, "Samples", body, head=head)
    (site / PAGE).write_text(text, encoding="utf-8")


def _words(run: Run) -> dict[str, str]:
    """The part of each arm in a word; none before there is a result."""
    return arm_words.parts_of(read_result.load(run.result)) if run.result.exists() else {}


def _with_samples(run: Run) -> Run | None:
    return run if sample_tables.has_samples(run) else None


BROWSER = ExtraPage(Link("Samples", PAGE), read=_with_samples, write=write)


def _divided(texts: list[str]) -> Iterator[list[str]]:
    """The completions in order, in lists of about CHUNK characters."""
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size >= CHUNK:
            yield chunk
            chunk = []
            size = 0
    if chunk:
        yield chunk


def _script(number: int, chunk: Any) -> str:
    """A data file: one call with a number and base64, the same for the same data."""
    text = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return f'samplesChunk({number}, "{packed}");\n'
