"""What users see: the lazy names, their types and their documentation agree."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sigmagraph

NAMES = [name for name in sigmagraph.__all__ if not name.startswith("__")]


def test_the_stub_declares_what_the_package_offers(root: Path) -> None:
    stub = ast.parse((root / "sigmagraph" / "__init__.pyi").read_text("utf-8"))
    declared = {
        alias.name: node.module
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    homes = {**sigmagraph._MODULES, **sigmagraph._HOME}
    assert declared == {name: homes[name] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_public_names_are_documented(name: str) -> None:
    offered = getattr(sigmagraph, name)
    members = _members(offered) if isinstance(offered, ModuleType) else {name: offered}
    assert members
    assert [path for path, member in members.items() for path in _undocumented(path, member)] == []


def _members(module: ModuleType) -> dict[str, Any]:
    """What a public module offers of its own."""
    names = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
    found = {name: getattr(module, name) for name in names}
    own = {n: m for n, m in found.items() if getattr(m, "__module__", "").startswith(module.__name__)}
    return own | {n: m for n, m in found.items() if isinstance(m, ModuleType)}


def _undocumented(path: str, member: Any) -> list[str]:
    missing = [] if inspect.getdoc(member) else [path]
    if inspect.isclass(member):
        for name, part in vars(member).items():
            if not name.startswith("_") and (inspect.isroutine(part) or isinstance(part, property)):
                missing += [] if inspect.getdoc(part) else [f"{path}.{name}"]
    return missing


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sigmagraph.nonsense


def test_the_package_lists_its_names() -> None:
    assert set(dir(sigmagraph)) == set(sigmagraph.__all__)
    assert "Tensor" in dir(sigmagraph)
