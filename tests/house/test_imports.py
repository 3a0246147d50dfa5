"""Imports only go down the house, and third parties stay where they belong; imports inside functions count."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

# Who may import a library that is not for everybody: packages or modules, each with all that is under it.
CONFINED = {
    "llvmlite": ("sigmagraph.codegen.llvm",),
    "networkx": (
        "sigmagraph.ir.graph",
        "sigmagraph.passes",
        "sigmagraph.codegen.partition",
        "sigmagraph.codegen.remake",
    ),
    "PIL": ("sigmagraph.data", "sigmagraph.training"),
    "matplotlib": ("sigmagraph.training",),
    "platformdirs": ("sigmagraph.loader", "sigmagraph.data", "sigmagraph.training"),
    "pyarrow": ("sigmagraph.data",),
    "pycuda": ("sigmagraph.codegen.cuda.nvcc", "sigmagraph.runtime.cuda"),
    "rich": ("sigmagraph.cli", "sigmagraph.cli_runs", "sigmagraph.training"),
    "safetensors": ("sigmagraph.training", "sigmagraph.artifact"),
    "tensorboardX": ("sigmagraph.training",),
    "typer": ("sigmagraph.cli", "sigmagraph.cli_build", "sigmagraph.cli_runs"),
}
FREE = ("numpy", "ml_dtypes", "sigmagraph")


def under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def contracts(root: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """The layers contracts of pyproject.toml: container, and rows of siblings from the top."""
    config: Any = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    for contract in config["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            rows = [[name.strip(" ()") for name in row.split("|")] for row in contract["layers"]]
            yield contract["containers"][0], rows


def test_imports_only_go_down(root: Path, imports: dict[str, list[str]]) -> None:
    broken = []
    for container, rows in contracts(root):
        place = {f"{container}.{name}": (level, name) for level, row in enumerate(rows) for name in row}

        def where(module: str, place: dict[str, tuple[int, str]] = place) -> tuple[int, str] | None:
            return next((at for package, at in place.items() if under(module, package)), None)

        for module, names in imports.items():
            if not module.startswith(container + "."):
                continue
            here = where(module)
            assert here is not None or module == container, f"{module} has no row in the contract"
            for name in names:
                there = where(name)
                if here and there and there != here and there[0] <= here[0]:
                    broken.append(f"{module} -> {name}")
    assert broken == []


def test_no_modules_import_each_other_in_a_circle(imports_at_run_time: dict[str, list[str]]) -> None:
    graph = nx.DiGraph((module, name) for module, names in imports_at_run_time.items() for name in names)
    circles = [sorted(found) for found in nx.strongly_connected_components(graph) if len(found) > 1]
    assert circles == []


def test_nobody_inside_imports_the_public_names(imports: dict[str, list[str]]) -> None:
    assert [m for m, names in imports.items() if "sigmagraph" in names and m != "sigmagraph"] == []


def test_third_parties_are_confined(imports: dict[str, list[str]]) -> None:
    broken = []
    for module, names in imports.items():
        for name in names:
            top = name.split(".")[0]
            allowed = top in FREE or top in sys.stdlib_module_names
            if not allowed and not any(under(module, place) for place in CONFINED.get(top, ())):
                broken.append(f"{module} -> {top}")
    assert broken == []


def test_the_runtime_sees_only_the_ground_floor_and_the_plan(imports: dict[str, list[str]]) -> None:
    seen = ("errors", "dtypes", "dims", "location", "options", "ir.plan", "ir.bind", "ir.launch", "runtime")
    broken = [
        f"{module} -> {name}"
        for module, names in imports.items()
        if under(module, "sigmagraph.runtime")
        for name in names
        if under(name, "sigmagraph") and not any(under(name, f"sigmagraph.{s}") for s in seen)
    ]
    assert broken == []


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import sigmagraph", ("llvmlite", "networkx", "onnx", "pycuda", "rich", "safetensors", "typer")),
        ("import sigmagraph.ir.plan, sigmagraph.runtime.state", ("llvmlite", "networkx", "pycuda", "rich")),
        ("from sigmagraph import Tensor, layers, optimisers", ("llvmlite", "pycuda", "rich", "typer")),
    ],
)
def test_imports_are_light(statement: str, absent: tuple[str, ...]) -> None:
    program = f"import sys; {statement}; print(*(m for m in {absent!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_importing_opens_no_connection_and_starts_no_thread() -> None:
    program = """
import sys, threading
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith("socket.") else None)
import sigmagraph
for name in sigmagraph.__all__:
    getattr(sigmagraph, name)
print(seen, threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 1"
