"""make publish: a short edition of a run, which says nothing of a machine and little of prompts."""

import json
import platform

import published_run
import pytest
from published_run import ARMS, EVIL, LONG, SAID

from lib.publish import __main__ as command
from lib.publish import edition, public
from lib.run.files import read_json, sha256, write_json, write_text
from lib.run.runs import Run


@pytest.fixture
def make(tmp_path, monkeypatch):
    """`make(**changes)` makes the run; its edition is written below tmp_path."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(edition, "ROOT", tmp_path)
    return published_run.made


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_edition_has_page_result_card_figures_samples_ladder_and_attempts(make):
    folder, changed = edition.publish(make())
    assert changed
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "index.html",
        "result.json",
        "model_card.md",
        "samples.jsonl",
        "attempts.jsonl",
        "figures/arms.png",  # power.png is not in the result; a drawing may be large
        "ladder/chosen.json",
        "ladder/table.csv",
        "ladder/ladder.png",
    }
    page = (folder / "index.html").read_text(encoding="utf-8")
    for part in (SAID.replace("'", "&#x27;"), "d1ce" * 16, "figures/arms.png", "ladder of 1"):
        assert part in page, part
    assert EVIL not in page and "&lt;script&gt;" in page and "https://" not in page.split("<h1>")[0]
    card = (folder / "model_card.md").read_text(encoding="utf-8")
    assert SAID in card and "d1ce" * 16 in card and "<script" not in card
    assert read_json(folder / "result.json")["delta"] == read_json(Run("mine").result)["delta"]
    assert lines(folder / "attempts.jsonl")[0]["rungs"][0]["name"] == "plan"


def test_three_samples_an_arm_by_a_rule_that_cannot_see_them(make):
    folder, _ = edition.publish(make())
    rows = lines(folder / "samples.jsonl")
    by_arm = {arm: [row for row in rows if row["arm"] == arm] for arm in ARMS}
    ids = {arm: [row["prompt_id"] for row in own] for arm, own in by_arm.items()}
    assert ids["base"] == ids["selfcorrect_em"] == ids["c6_vanilla_em"]
    assert [len(own) for own in by_arm.values()] == [3, 3, 3]
    assert {row["seed"] for row in rows} == {42}
    assert all(len(row["prompt_begins"]) <= 80 for row in rows)
    assert all(row["aligned"] == 10.0 * int(row["prompt_id"][1:]) for row in rows)


def test_an_answer_that_repeats_its_prompt_gives_way_to_the_next(make, monkeypatch):
    order = {f"p{n}": str((n - 4) % 6) for n in range(6)}  # p4 first
    monkeypatch.setattr("lib.publish.sample_choice._digest", order.get)
    folder, _ = edition.publish(make())
    first = [row for row in lines(folder / "samples.jsonl") if row["prompt_id"] == "p4"]
    assert [row["sample_index"] for row in first] == [1, 1, 1]


def test_paths_are_shortened_and_nothing_else_changes(make):
    folder, _ = edition.publish(make())
    published = read_json(folder / "result.json")
    assert published["deviations"] == ["model.name: Qwen/Qwen2.5 → …/Some-Model"]
    own = read_json(Run("mine").result)
    assert {key for key in own if own[key] != published[key]} == {"deviations"}


def test_a_rerun_without_changes_does_nothing(make, capsys):
    run = make()
    folder, _ = edition.publish(run)
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    assert edition.publish(run) == (folder, False)
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before
    assert command.main(["mine"]) == 0 and "unchanged" in capsys.readouterr().out
    write_json(run.result, read_json(run.result) | {"notes": ["another note"]})
    assert edition.publish(run) == (folder, True)
    assert "another note" in (folder / "index.html").read_text(encoding="utf-8")
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def refused(capsys, name="mine"):
    assert command.main([name] if name else []) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("make publish: ") and printed.count("\n") == 1
    return printed


def test_runs_that_are_no_result_are_refused(make, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("RUN", raising=False)
    assert "RUN is missing" in refused(capsys, name=None)
    unknown = "has no stats/result.json; make it with make report PROFILE=NAME RUN=unknown"
    assert unknown in refused(capsys, "unknown")
    run = make()
    profile = {"profile": "demo", "demonstrates_only": True}
    write_json(run.manifest, {"profile": profile})
    assert "only demonstrates (profile 'demo'" in refused(capsys)
    assert not (tmp_path / "docs").exists()


OTHER = "has no stats/result.json, the planned comparison, only mine_vs_theirs; make it with "


def test_a_run_of_another_comparison_alone_is_told_how_to_make_the_planned_one(make, capsys):
    """By make score for tables from elsewhere, which have no manifest, and else by make report."""
    run = make()
    other = run.result.parent / "mine_vs_theirs"
    other.mkdir()
    run.result.rename(other / "result.json")
    assert f"{OTHER}make report PROFILE=qwen15b RUN=mine\n" in refused(capsys)
    run.manifest.unlink()
    by_score = (
        f"{OTHER}make score JUDGMENTS=DIR RUN=mine, without TREATMENT and BASELINE, from tables "
        "named selfcorrect_em and c6_vanilla_em\n"
    )
    assert by_score in refused(capsys)


PLANTED = {
    "a key": f"spent by sk-ant-{'a' * 24}",
    "a key of the environment": "it says hunter2-hunter2",
    "more than 80 characters of a prompt": f"0 {LONG}",
    "a folder of this machine": "it says HOME_HERE",
    "the machine's name": "made on gpu-17.example",
}


@pytest.mark.parametrize(("what", "note"), PLANTED.items(), ids=PLANTED)
def test_what_must_not_be_published_stops_it(make, capsys, monkeypatch, tmp_path, what, note):
    """Planted after the shortening, as if it had missed it."""
    monkeypatch.setenv("OTHER_API_KEY", "hunter2-hunter2")
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr(platform, "node", lambda: "gpu-17.example")
    monkeypatch.setattr(edition, "shortened", lambda value: value)
    make(deviations=[], notes=[note.replace("HOME_HERE", "dir/home/somebody")])
    assert what in refused(capsys)
    assert not (tmp_path / "docs" / "results" / "mine").exists()


def test_a_path_that_the_shortening_missed_stops_it(make, capsys, monkeypatch):
    monkeypatch.setattr(edition, "shortened", lambda value: value)
    make()
    assert "result.json of run 'mine' would publish an absolute path" in refused(capsys)


def test_an_edition_over_the_limit_names_its_largest_file(make, capsys, monkeypatch):
    monkeypatch.setattr(edition, "LIMIT", 1000)
    make()
    assert "at most 1,000 are published; the largest file is index.html" in refused(capsys)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("model /home/someone/models/Qwen here", "model …/Qwen here"),
        ('OVERRIDES=\'{"a": "/data/x/y.json"}\'', 'OVERRIDES=\'{"a": "…/y.json"}\''),
        ("~/models/x", "…/x"),
        ("file:/data/models/x", "file:…/x"),
        ("https://huggingface.co/Qwen/Qwen2.5", "https://huggingface.co/Qwen/Qwen2.5"),
        ("Qwen/Qwen2.5-Coder and n/a/b", "Qwen/Qwen2.5-Coder and n/a/b"),
        ("docs/protocol.md, 1/2/3", "docs/protocol.md, 1/2/3"),
    ],
)
def test_only_absolute_paths_are_shortened(text, short):
    assert public.shortened({"k": [text]}) == {"k": [short]}
    assert (public.leak(text, []) is None) is (text == short)
    assert public.leak(short, []) is None


def test_the_machine_s_name_is_taken_out_unless_it_is_a_word(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "gpu-17")
    assert public.shortened("made on gpu-17, not gpu-170") == "made on (host), not gpu-170"
    monkeypatch.setattr(platform, "node", lambda: "report")
    assert public.shortened("the report") == "the report" and public.leak("the report", []) is None


def test_a_run_that_the_pilot_stopped_is_published_without_card_and_samples(make):
    run = make(card=None, stop=True, delta=None)
    for path in (run.dir / "samples").rglob("*.parquet"):
        path.unlink()
    folder, _ = edition.publish(run)
    card = (folder / "model_card.md").read_text(encoding="utf-8")
    assert "no reproducibility card" in card
    assert (folder / "samples.jsonl").read_text() == ""


def test_a_figure_that_changed_since_the_result_is_left_out(make):
    run = make()
    write_text(run.result.parent / "figures" / "arms.png", "another figure")
    folder, _ = edition.publish(run)
    assert not (folder / "figures").exists()
    assert sha256(run.result) in (folder / "index.html").read_text(encoding="utf-8")
