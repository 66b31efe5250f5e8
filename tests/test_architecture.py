"""The walls of the house: a package imports from those before it, and files stay small."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest
from lib_files import FILES, LIB

from lib.config.params import ROOT

TESTS = ROOT / "tests"
# Each package imports from itself and from those before it.
ORDER = (
    "setup",
    "config",
    "run",
    "data",
    "analysis",
    "display",
    "models",
    "training",
    "serving",
    "judge",
    "traces",
    "em_sets",
    "checks",
    "manual_review",
    "report",
    "planning",
    "packing",
    "ladder",
    "publish",
)
ENTRY_POINTS = {"notebook", "pilot", "pipeline", "review", "score"}  # nothing in lib imports these
# Folders of tests that mirror no package: expected results, what several test files share, and
# notebooks with the entry points, which run all packages together.
OTHER_TESTS = {"golden", "helpers", "notebooks"}
TEST_FILES = [*sorted(TESTS.rglob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))]


def package_of(module: str) -> str:
    """The package below lib that a dotted module belongs to; "" for lib itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imported_packages(source: str) -> set[str]:
    """Packages below lib that a file imports from, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "lib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lib."):
            found.add(package_of(node.module))
        elif isinstance(node, ast.Import):
            found |= {package_of(a.name) for a in node.names if a.name.startswith("lib.")}
    return found


def upward(package: str, source: str) -> set[str]:
    """Packages that a file of `package` must not import from."""
    allowed = ORDER[: ORDER.index(package) + 1] if package in ORDER else ORDER
    return imported_packages(source) - set(allowed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIB)))
def test_a_file_imports_from_its_own_package_and_those_before_it(path: Path):
    parts = path.relative_to(LIB).parts
    if len(parts) == 1 and parts[0] == "__init__.py":
        assert imported_packages(path.read_text(encoding="utf-8")) <= {"setup"}
        return
    package = parts[0].removesuffix(".py")
    assert package in ORDER or package in ENTRY_POINTS, f"{package}: give it a place in ORDER"
    found = upward(package, path.read_text(encoding="utf-8"))
    assert not found, f"imports from {', '.join(sorted(found))}, which come later"


@pytest.mark.parametrize(
    ("package", "source", "expected"),
    [
        ("config", "from lib.run import runs", {"run"}),
        ("analysis", "def f():\n    from lib.judge.llm import rubric", {"judge"}),
        ("judge", "import lib.report.site", {"report"}),
        ("run", "from lib import pilot", {"pilot"}),
        ("report", "from lib.analysis import stats", set()),
    ],
)
def test_an_upward_import_is_found(package, source, expected):
    assert upward(package, source) == expected


def lengths_of(files: list[Path]) -> dict[Path, int]:
    """Lines of each file."""
    return {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}


def unplaced(folders: set[str]) -> set[str]:
    """Folders of tests that are neither a package of lib nor a named exception."""
    return folders - set(ORDER) - OTHER_TESTS


def repeated(names: list[str]) -> set[str]:
    """Names of test files that occur twice; pytest could not tell their modules apart."""
    return {name for name in names if names.count(name) > 1}


def test_tests_mirror_the_packages():
    folders = {path.name for path in TESTS.iterdir() if path.is_dir()} - {"__pycache__"}
    assert unplaced(folders) == set()
    assert repeated([p.name for p in TESTS.rglob("*.py") if p.name != "conftest.py"]) == set()


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ({"judge", "helpers"}, set()),
        ({"judge", "judges"}, {"judges"}),
        ({"pilot", "misc"}, {"pilot", "misc"}),
    ],
)
def test_a_folder_without_a_package_is_found(folders, expected):
    assert unplaced(folders) == expected


def test_a_repeated_name_is_found():
    assert repeated(["test_a.py", "test_b.py", "test_a.py"]) == {"test_a.py"}


def test_test_files_are_small():
    assert {str(path): n for path, n in lengths_of(TEST_FILES).items() if n > 250} == {}


def test_files_are_small():
    lengths = lengths_of(FILES)
    assert {str(p): n for p, n in lengths.items() if n > 250} == {}
    assert statistics.median(n for n in lengths.values() if n > 20) <= 130


def test_functions_are_small_or_say_why():
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            lines = node.end_lineno - node.lineno + 1
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            named = [a.arg for a in arguments if a.arg not in ("self", "cls")]
            too_large = lines > 60 or len(named) > 7
            reason = re.search(r"\b(parameters|lines): ", ast.get_docstring(node) or "")
            if too_large and not reason:
                place = path.relative_to(ROOT)
                found.append(f"{place}: {node.name}, {lines} lines, {len(named)} parameters")
    assert found == []
