"""What the documentation shows runs, what it points at exists, and the list of ops is that of the registry.

``python tests/house/test_docs.py`` writes the list of ops anew.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sigmagraph as sg
from sigmagraph.ir.graph.opdef import OpDef, OpKind
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ir.kernel.parser import parse_kernels
from sigmagraph.ops.registry import OPS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
OPS_PAGE = ROOT / "docs" / "ops.md"


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_programs_in_the_documentation_run(page: Path, tmp_path: Path) -> None:
    program = "\n".join(blocks(page, "python"))
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_texts_in_the_documentation_parse() -> None:
    texts = [text for page in PAGES for text in blocks(page, "") if "\ngraph @" in text or "\nkernel @" in text]
    assert len(texts) >= 3
    for text in texts:
        source = text[text.index("sigmagraph 1") : text.rindex("}") + 1]
        if "\nkernel @" in source:
            assert parse_kernels(source)
        else:
            graph = parse_graph(source, OPS)
            assert print_graph(graph).startswith("sigmagraph 1")


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_every_public_function_is_in_the_list() -> None:
    words = set(re.findall(r"\w+", (ROOT / "docs" / "tensors.md").read_text("utf-8")))
    functions = [name for name in sg.__all__ if name[0].islower() and callable(getattr(sg, name))]
    assert [name for name in functions if name not in words] == []
    layers = set(re.findall(r"\w+", (ROOT / "docs" / "layers.md").read_text("utf-8")))
    assert [name for name in sg.layers.__all__ if name not in layers] == []


def ops_page() -> str:
    """The list of ops as it should stand in the documentation."""
    lines = ["# Ops", "", "Operands have equal dtypes, and equal shapes unless said otherwise; nothing is broadcast."]
    for kind in OpKind:
        rows = [_row(op) for op in OPS.values() if op.kind is kind]
        heading = ["", f"## {kind.value.capitalize()}", "", "| op | operands | attributes | result |"]
        lines += [*heading, "| --- | --- | --- | --- |", *rows] if rows else []
    return "\n".join(lines) + "\n"


def _row(op: OpDef) -> str:
    attrs = ", ".join(f"`{a.name}`: {a.kind}" + ("" if a.required else f" = {a.default}") for a in op.attrs)
    doc = " ".join(op.doc.split()).replace("|", "\\|")
    return f"| `{op.name}` | {'any' if op.arity is None else op.arity} | {attrs} | {doc} |".replace("  ", " ")


def test_the_list_of_ops_is_that_of_the_registry() -> None:
    assert OPS_PAGE.read_text("utf-8") == ops_page()


if __name__ == "__main__":
    OPS_PAGE.write_text(ops_page(), "utf-8")
