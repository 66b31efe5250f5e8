"""The walls of the house: a package imports from those before it, and files stay small."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

from lib.config.params import ROOT

LIB = ROOT / "lib"
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
    "report",
    "ladder",
)
ENTRY_POINTS = {"notebook", "pilot", "pipeline", "score"}  # nothing in lib imports these
FILES = sorted(LIB.rglob("*.py"))


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


def test_files_are_small():
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
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
