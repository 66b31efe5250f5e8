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
    "checks",
    "report",
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


def unannotated(source: str) -> list[str]:
    """Functions of a file that leave a parameter or what they return without a type.

    Functions whose name begins with an underscore are left out.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        given = node.args
        named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        parameters = [a for a in named if a is not None and a.arg not in ("self", "cls")]
        typed = node.returns is not None and all(a.annotation for a in parameters)
        if not node.name.startswith("_") and not typed:
            found.append(node.name)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIB)))
def test_every_public_function_is_annotated(path: Path):
    assert unannotated(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "def f(x: int): ...",
        "def f(x, *, y: int) -> int: ...",
        "class A:\n    def f(self, *rest) -> None: ...",
    ],
)
def test_a_missing_annotation_is_found(source):
    assert unannotated(source) == ["f"]


def names_defined(source: str) -> set[str]:
    """Names that a file defines at its top level. What it only imports is not among them."""
    defined = set()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
            defined |= {n.id for n in names if isinstance(n.ctx, ast.Store)}
    return defined


DEFINED = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): names_defined(
        path.read_text(encoding="utf-8")
    )
    for path in FILES
}


def borrowed(source: str) -> list[str]:
    """Names that a file imports from a module of lib which does not define them, or privately."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom) or node.module not in DEFINED:
            continue
        for alias in node.names:
            own = alias.name in DEFINED[node.module] or f"{node.module}.{alias.name}" in DEFINED
            package = (ROOT / node.module.replace(".", "/") / alias.name).is_dir()
            if alias.name.startswith("_") or not (own or package):
                found.append(f"{node.module}.{alias.name}")
    return found


CALLERS = [
    *FILES,
    *(ROOT / "tests").rglob("*.py"),
    *(ROOT / "benchmarks").glob("*.py"),
    *(ROOT / "notebooks").glob("*.py"),
]


@pytest.mark.parametrize("path", CALLERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_are_imported_from_the_module_that_defines_them(path: Path):
    assert borrowed(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "name",
    ["lib.run.runs.sha256", "lib.config.params.ParamsError", "lib.training.phases._save"],
)
def test_a_name_imported_from_elsewhere_is_found(name):
    module, _, last = name.rpartition(".")
    assert borrowed(f"from {module} import {last}") == [name]
