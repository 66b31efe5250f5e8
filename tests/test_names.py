"""Public functions have types, and a name is imported from the module that defines it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from lib_files import FILES, LIB

from lib.config.params import ROOT


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
            private = alias.name.startswith("_") and alias.name != "__main__"
            if private or not (own or package):
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
