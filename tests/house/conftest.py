"""The package's source, parsed once for all house tests."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sigmagraph"


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name; ``sigmagraph`` is the package's own ``__init__``."""
    trees = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text("utf-8"), str(path))
    return trees


@pytest.fixture(scope="session")
def imports(sources: dict[str, ast.Module]) -> dict[str, list[str]]:
    """What every module imports, wherever the statement stands: our modules in full, others by their root."""
    return {name: _imports(ast.walk(tree), sources) for name, tree in sources.items()}


@pytest.fixture(scope="session")
def imports_at_run_time(sources: dict[str, ast.Module]) -> dict[str, list[str]]:
    """The same without what only type checkers import."""
    return {name: _imports(_run_time(tree), sources) for name, tree in sources.items()}


def _run_time(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield child
            yield from _run_time(child)


def _imports(nodes: Iterable[ast.AST], sources: dict[str, ast.Module]) -> list[str]:
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "relative imports are not used here"
            assert node.level == 0, "relative imports are not used here"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if name in sources else node.module for name in inner]
    return [name if name.split(".")[0] == "sigmagraph" else name.split(".")[0] for name in found]
