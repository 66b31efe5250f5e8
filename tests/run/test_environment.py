"""What a run records of its machine. What is unknown is recorded as unknown."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from lib.checks.check import PASSED, Check
from lib.config import params
from lib.report.notes import notes
from lib.run import environment
from lib.run.environment import commit

ROOT = Path(__file__).resolve().parents[2]


def git(folder, *arguments):
    own = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *own, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A project of its own with one commit."""
    made = tmp_path / "project"
    made.mkdir()
    (made / "file").write_text("x")
    git(made, "init")
    git(made, "add", "file")
    git(made, "commit", "-m", "first")
    monkeypatch.setattr(environment, "ROOT", made)
    return made


def test_the_commit_of_the_projects_own_checkout(checkout):
    head = git(checkout, "rev-parse", "HEAD")
    assert commit() == head
    (checkout / "file").write_text("y")
    assert commit() == head + "+changes"


def test_a_linked_worktree_is_the_projects_own_checkout(checkout, tmp_path, monkeypatch):
    git(checkout, "worktree", "add", "-b", "other", str(tmp_path / "linked"))
    monkeypatch.setattr(environment, "ROOT", tmp_path / "linked")
    assert commit() == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("below", ["archive", "deep/archive"])
def test_an_archive_inside_another_checkout_has_no_commit(checkout, monkeypatch, below):
    inside = checkout / below
    inside.mkdir(parents=True)
    monkeypatch.setattr(environment, "ROOT", inside)
    assert commit() is None


@pytest.mark.parametrize("names", [("GIT_DIR",), ("GIT_DIR", "GIT_WORK_TREE")])
def test_another_repository_named_in_the_environment_is_ignored(
    checkout, tmp_path, monkeypatch, names
):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init")
    git(other, "commit", "--allow-empty", "-m", "another project")
    for name in names:
        monkeypatch.setenv(name, str({"GIT_DIR": other / ".git", "GIT_WORK_TREE": other}[name]))
    assert commit() == git(checkout, "rev-parse", "HEAD")


def test_an_archive_ignores_another_repositorys_folder_in_the_environment(
    checkout, tmp_path, monkeypatch
):
    archive = tmp_path / "archive"
    archive.mkdir()
    monkeypatch.setattr(environment, "ROOT", archive)
    monkeypatch.setenv("GIT_DIR", str(checkout / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(archive))
    assert commit() is None


def commit_or_error():
    """What the manifest would hold, with an error as text, so that a crash fails by comparison."""
    try:
        return commit()
    except Exception as error:
        return type(error).__name__


def test_without_git_the_commit_is_unknown(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert commit_or_error() is None


def test_a_git_that_cannot_be_executed_is_unknown(checkout, tmp_path, monkeypatch):
    (tmp_path / "git").write_text("no program")
    (tmp_path / "git").chmod(stat.S_IRUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_or_error() is None


@pytest.mark.parametrize(
    "raised", [subprocess.TimeoutExpired("git", 1), PermissionError(13, "denied")]
)
def test_a_git_that_hangs_or_is_denied_is_unknown(checkout, monkeypatch, raised):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr(environment.subprocess, "run", fail)
    assert commit_or_error() is None


def test_a_git_that_refuses_the_status_does_not_claim_a_clean_tree(checkout, tmp_path, monkeypatch):
    real = subprocess.run(
        ["which", "git"], capture_output=True, text=True, check=True
    ).stdout.strip()
    stub = tmp_path / "bin" / "git"
    stub.parent.mkdir()
    stub.write_text(
        "#!/bin/sh\n"
        'case "$*" in *status*) echo "dubious ownership" >&2; exit 128;; esac\n'
        f'exec {real} "$@"\n'
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    assert commit() is None


def test_a_package_that_is_not_installed_is_unknown_in_the_manifest(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("torch", "no-such-package"))
    try:
        packages = environment.environment()["packages"]
    except environment.metadata.PackageNotFoundError as error:
        packages = {"error": str(error)}
    assert packages.get("no-such-package", "missing") is None and packages["torch"]


def test_a_version_that_is_not_the_locks_is_a_line_of_the_headline():
    planted = "torch 2.13.0 is installed, the lock says 2.12.0"
    card = {
        "complete": True,
        "unknown": [],
        "lock_differences": [planted, *(f"p{i} differs" for i in range(9))],
    }
    given = {
        "profile": params.load_profile("qwen7b"),
        "thresholds": params.load_gates(),
        "changed": {},
        "elsewhere": False,
        "judge": {"validity": {"auroc": 0.95}},
        "checks": [Check("loss mask", PASSED, "")],
    }
    others = notes(card=card | {"lock_differences": []}, **given)
    lines = [line for line in notes(card=card, **given) if line not in others]
    assert len(lines) == 1 and planted in lines[0] and "5 more" in lines[0]
    assert not any("the lock says" in line for line in others)
