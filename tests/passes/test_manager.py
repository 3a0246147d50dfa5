"""The pass manager: order, checks, records; and pipelines in text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
from graph_checks import graph_of

from sigmagraph.errors import PassError, VerifyError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Stage
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import PassContext, Repeat
from sigmagraph.passes.canonicalize import Canonicalize
from sigmagraph.passes.cse import Cse
from sigmagraph.passes.dce import Dce
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.fuse import Fuse
from sigmagraph.passes.manager import PassManager, Step, parse_pipeline
from sigmagraph.passes.pipelines import PASSES, PIPELINES, STANDARD
from sigmagraph.passes.simplify import Simplify

TEXT = """graph @g(%x: input f32[n,3]) -> (y: %y) {
  %a = neg(%x) %b = neg(%a) %c = relu(%b) %d = relu(%b) %y = add(%c, %d)
}"""


@dataclass(frozen=True, slots=True)
class Break:
    """A pass that leaves a graph with a wrong type behind."""

    name: ClassVar[str] = "break"
    requires: ClassVar[Stage] = Stage.CAPTURED
    ensures: ClassVar[Stage | None] = None

    def run(self, graph: Graph, context: PassContext) -> Graph:
        out = graph.copy()
        node = out.nodes()[-1]
        wrong = out.add(node.op, node.inputs, node.attrs, (out.type(out.inputs[0]),) * 2)
        out.replace_uses(node.outputs[0], wrong.outputs[0])
        return out


def test_every_step_is_recorded() -> None:
    seen: list[Step] = []
    manager = PassManager(STANDARD, OPS, verify=True, after=seen.append)
    out = manager.run(graph_of(TEXT))
    assert manager.steps == seen
    assert [s.number for s in seen] == list(range(1, len(seen) + 1))
    assert [s.name for s in seen[:6]] == ["decompose", "canonicalize", "simplify", "fold", "cse", "dce"]
    assert seen[-1].name == "fuse"
    assert seen[-1].graph is out
    assert all(s.seconds >= 0 for s in seen)
    assert {s.name: s.hits for s in seen if s.changed}["decompose"] == {"relu": 2}
    assert next(s for s in seen if s.name == "simplify").hits == {"negative_of_negative": 1}


def test_the_given_graph_stays_as_it_is() -> None:
    graph = graph_of(TEXT)
    text = str(graph)
    PassManager(STANDARD, OPS).run(graph)
    assert str(graph) == text


def test_repeat_ends_when_nothing_changes_or_at_its_limit() -> None:
    graph = graph_of(TEXT)
    manager = PassManager((Repeat((Simplify(), Cse())),), OPS)
    manager.run(graph)
    assert [(s.name, s.changed) for s in manager.steps] == [
        ("simplify", True), ("cse", True), ("simplify", False), ("cse", False),
    ]  # fmt: skip
    manager = PassManager((Repeat((Simplify(), Cse()), limit=1),), OPS)
    manager.run(graph)
    assert [s.name for s in manager.steps] == ["simplify", "cse"]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_stop_after(count: int) -> None:
    manager = PassManager(STANDARD, OPS, stop_after=count)
    out = manager.run(graph_of(TEXT))
    assert len(manager.steps) == count
    assert out.stage is (Stage.PRIMITIVE if count else Stage.CAPTURED)


def test_a_pass_that_needs_primitives_is_preceded_by_decompose() -> None:
    manager = PassManager((Cse(), Fuse()), OPS, verify=True)
    assert manager.run(graph_of(TEXT)).stage is Stage.FUSED
    assert [s.name for s in manager.steps] == ["cse", "decompose", "fuse"]


def test_groups_do_not_survive_a_change() -> None:
    fused = PassManager((Fuse(),), OPS).run(graph_of(TEXT))
    out = PassManager((Cse(),), OPS, verify=True).run(fused)
    assert (out.stage, out.groups) == (Stage.PRIMITIVE, ())
    assert PassManager((Cse(), Fuse()), OPS, verify=True).run(fused).stage is Stage.FUSED


def test_what_breaks_a_graph_is_named() -> None:
    with pytest.raises(VerifyError, match=r"after the pass 'break'.*types of a node"):
        PassManager((Dce(), Break()), OPS, verify=True).run(graph_of(TEXT))


def test_the_graph_is_verified_at_first() -> None:
    broken = Break().run(graph_of(TEXT), PassContext(OPS))
    with pytest.raises(VerifyError, match="types of a node"):
        PassManager((), OPS, verify=True).run(broken)


# ---- pipelines in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cse", (Cse(),)),
        ("canonicalize,simplify{limit=10},cse,fuse", (Canonicalize(), Simplify(limit=10), Cse(), Fuse())),
        (" dce , fuse{ merge = false, recompute = 0 } ", (Dce(), Fuse(merge=False, recompute=0))),
        ("repeat(simplify,dce)", (Repeat((Simplify(), Dce())),)),
        ("repeat{limit=2}(cse),fuse", (Repeat((Cse(),), limit=2), Fuse())),
        ("standard", STANDARD),
        ("dce,clean,fuse", (Dce(), *PIPELINES["clean"], Fuse())),
    ],
)
def test_pipelines_are_read(text: str, expected: object) -> None:
    assert parse_pipeline(text) == expected


@pytest.mark.parametrize(
    ("text", "message", "expected"),
    [
        ("", "unexpected text", "the name of a pass"),
        ("cse,", "unexpected text", "the name of a pass"),
        ("cse fuse", "unexpected text", "','"),
        ("unroll", "there is no such pass", "decompose, canonicalize"),
        ("cse{limit=3}", "there is no such option", "none"),
        ("simplify{depth=3}", "there is no such option", "limit"),
        ("simplify{limit=many}", "unexpected text", "an integer"),
        ("simplify{limit=true}", "unexpected text", "an integer"),
        ("fuse{merge=1}", "unexpected text", "true or false"),
        ("fuse{merge=true", "unexpected text", "','"),
        ("repeat", "unexpected text", "'('"),
        ("repeat(cse", "unexpected text", "','"),
        ("repeat(standard)", "repeat does not nest", "passes"),
        ("cse;fuse", "does not belong here", ""),
    ],
)
def test_wrong_pipelines_are_refused(text: str, message: str, expected: str) -> None:
    with pytest.raises(PassError, match="the pipeline cannot be read") as caught:
        parse_pipeline(text)
    assert message in str(caught.value)
    assert expected in str(caught.value)


def test_every_pass_is_known_by_its_name_and_has_defaults() -> None:
    for name, made in PASSES.items():
        assert made.name == name
        assert parse_pipeline(name) == (made(),)
    assert STANDARD[0] == Decompose()
    assert STANDARD[-1] == Fuse()
