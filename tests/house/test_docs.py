"""What the documentation shows runs, what it points at exists, and its lists are complete.

``python tests/house/test_docs.py`` writes the list of ops anew.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sparse import some

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


@pytest.mark.parametrize("page", some({p.name: p for p in PAGES if blocks(p, "python")}, ("README.md", "cuda.md")))
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


def test_tests_that_pages_name_exist() -> None:
    named = [found for page in PAGES for found in re.findall(r"`([\w/]+\.py)::(\w+)`", page.read_text("utf-8"))]
    assert len(named) > 40
    texts = {file: (ROOT / "tests" / file).read_text("utf-8") for file in dict.fromkeys(file for file, _ in named)}
    assert [f"{file}::{test}" for file, test in named if f"\ndef {test}(" not in texts[file]] == []


def test_every_hook_and_criterion_is_in_the_list() -> None:
    words = set(re.findall(r"\w+", (ROOT / "docs" / "hooks.md").read_text("utf-8")))
    assert [name for name in sg.hooks.__all__ if name not in words] == []


def test_arguments_of_hooks_are_those_in_the_list() -> None:
    """All but those that every hook has."""
    rows = re.findall(r"^\| `(\w+)\((.*?)\)`", (ROOT / "docs" / "hooks.md").read_text("utf-8"), re.MULTILINE)
    listed = {name: arguments for name, arguments in rows if issubclass(getattr(sg.hooks, name), sg.hooks.Hook)}
    assert len(listed) > 20
    common = {"every", "on", "priority", "scope", "background"}
    for name, text in listed.items():
        (function,) = ast.parse(f"def f({text}): ...").body
        assert isinstance(function, ast.FunctionDef)
        a = function.args
        said = [arg.arg for arg in (*a.args, a.vararg, *a.kwonlyargs, a.kwarg) if arg is not None]
        real = [p for p in inspect.signature(getattr(sg.hooks, name)).parameters if p not in common]
        assert sorted(said) == sorted(real), name


def test_everything_in_the_registry_of_a_trainer_is_in_the_contract() -> None:
    contract = (ROOT / "docs" / "hooks.md").read_text("utf-8").split("## The contract")[1].split("### Patterns")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", contract, re.MULTILINE)
    forms = [re.escape(form) for row in rows for form in re.findall(r"`([\w.<>-]+)`", row)]
    forms = [form.replace("<dataset>", "validation") for form in forms]
    deep = [re.sub("<parameter>|<name>", ".+", form) for form in forms]  # names of parameters have dots in them
    known = re.compile("|".join(re.sub(r"<\w+>", "[^.]+", form) for form in deep))
    digits = sg.data.datasets.digits()
    network = sg.Network("all", sg.layers.Input(8, 8) + sg.layers.Dense(10) + sg.layers.SoftmaxCrossEntropy())
    trainer = sg.Trainer(network, sg.optimisers.Adam(), digits.batches(100), digits)
    names = trainer.registry.names("**")
    assert len(names) > 40
    assert [name for name in names if not known.fullmatch(name)] == []


def test_every_public_function_is_in_the_list() -> None:
    pages = ("tensors", "environments", "checkpoints", "artifact")
    words = {w for page in pages for w in re.findall(r"\w+", (ROOT / "docs" / f"{page}.md").read_text("utf-8"))}
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


def test_pycuda_is_built_by_the_commands_of_its_page() -> None:
    """`.ci/pycuda` takes them from there, and those only."""
    found = re.search(
        r"^(awk '.*') \"\$here/docs/cuda.md\"", (ROOT / ".ci" / "pycuda").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found
    command = ["bash", "-c", f"{found[1]} {ROOT / 'docs' / 'cuda.md'}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert sum("pip wheel" in line for line in lines) == 1
    assert not [line for line in lines if "```" in line or "rented" in line or line == "mkdir wheels"]
