"""Runs a pipeline over a graph, checks and records every step; reads pipelines from text."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sigmagraph.errors import ParseError, PassError, SigmaError
from sigmagraph.ir.graph.body import count_nodes, with_bodies
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Stage
from sigmagraph.ir.graph.opdef import OpDef
from sigmagraph.ir.graph.verify import verify_graph
from sigmagraph.ir.text.lexer import TokenStream
from sigmagraph.passes.base import Pass, PassContext, Pipeline, Repeat
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.pipelines import PASSES, PIPELINES

_STAGES = tuple(Stage)


@dataclass(frozen=True, slots=True)
class Step:
    """A pass that was run.

    Attributes:
        number: from 1, in the order of running.
        name: of the pass.
        seconds: what it took.
        changed: whether it returned another graph than it got.
        hits: how often each of its rules was applied, in bodies too.
        before: number of nodes that it got, those of bodies included.
        graph: its result.
    """

    number: int
    name: str
    seconds: float
    changed: bool
    hits: Mapping[str, int]
    before: int
    graph: Graph

    @property
    def nodes(self) -> int:
        """Number of nodes of the result, those of bodies included."""
        return count_nodes(self.graph)


@dataclass(slots=True)
class PassManager:
    """Runs a pipeline.

    Attributes:
        pipeline: what to run.
        registry: the ops that passes may build nodes with.
        verify: whether the graph is verified at first and after every pass that changed it.
        after: called with every step when it is done, to dump or print it.
        stop_after: number of passes after which to stop (0: none is run), to find the one that goes wrong.
        steps: what was run, filled in by :meth:`run`.
    """

    pipeline: Pipeline
    registry: Mapping[str, OpDef]
    verify: bool = False
    after: Callable[[Step], None] | None = None
    stop_after: int | None = None
    steps: list[Step] = field(default_factory=list)
    _sound: set[tuple[object, ...]] = field(default_factory=set, init=False, repr=False)

    def run(self, graph: Graph) -> Graph:
        """The graph after all passes; the given one stays as it is.

        Raises:
            PassError: a pass does not come to an end.
            VerifyError: the graph, or what a pass made of it, breaks the rules of graphs.
        """
        self.steps = []
        if self.verify:
            verify_graph(graph, self._sound)
        for item in self.pipeline:
            graph = self._repeat(item, graph) if isinstance(item, Repeat) else self._run(item, graph)
        return graph

    def _repeat(self, item: Repeat, graph: Graph) -> Graph:
        for _ in range(item.limit):
            before = graph
            for inner in item.passes:
                graph = self._run(inner, graph)
            if graph is before:
                break
        return graph

    def _run(self, item: Pass, graph: Graph) -> Graph:
        if item.requires is not Stage.CAPTURED and graph.stage is Stage.CAPTURED:
            graph = self._run(Decompose(), graph)
        if self.stop_after is not None and len(self.steps) >= self.stop_after:
            return graph
        context = PassContext(self.registry)
        start = time.perf_counter()
        new = self._everywhere(item, graph, context)
        seconds = time.perf_counter() - start
        if self.verify and new is not graph:
            self._verify(item, new)
        hits = dict(sorted(context.hits.items()))
        step = Step(len(self.steps) + 1, item.name, seconds, new is not graph, hits, count_nodes(graph), new)
        self.steps.append(step)
        if self.after is not None:
            self.after(step)
        return new

    def _everywhere(self, item: Pass, graph: Graph, context: PassContext) -> Graph:
        """The pass on a graph, and then on the bodies in what it made of it."""
        return with_bodies(item.run(graph, context), lambda body: self._everywhere(item, body, context))

    def _verify(self, item: Pass, graph: Graph) -> None:
        try:
            verify_graph(graph, self._sound)
            if item.ensures is not None and _STAGES.index(graph.stage) < _STAGES.index(item.ensures):
                raise PassError("the stage is not reached", expected=item.ensures.value, got=graph.stage.value)
        except SigmaError as error:
            error.message = f"after the pass '{item.name}': {error.message}"
            raise


def parse_pipeline(
    text: str, passes: Mapping[str, type[Pass]] = PASSES, pipelines: Mapping[str, Pipeline] = PIPELINES
) -> Pipeline:
    """A pipeline from its text: ``decompose,repeat{limit=4}(simplify,dce),fuse{recompute=0}``.

    Args:
        text: names of passes with their options, ``repeat(...)``, and names of whole pipelines, between commas.
        passes: what names of passes mean.
        pipelines: what names of pipelines mean.

    Raises:
        PassError: the text is no pipeline, a name is unknown, or a pass does not take an option or its value.
    """
    try:
        reader = _PipelineReader(TokenStream(text, "<pipeline>"), passes, pipelines)
        return reader.items("end")
    except ParseError as error:
        raise PassError(f"the pipeline cannot be read\n{error}") from None


@dataclass(frozen=True, slots=True)
class _PipelineReader:
    tokens: TokenStream
    passes: Mapping[str, type[Pass]]
    pipelines: Mapping[str, Pipeline]

    def items(self, end: str) -> Pipeline:
        """Items between commas up to the closing bracket or the end."""
        out: list[Pass | Repeat] = []
        while True:
            out += self._item()
            if self.tokens.next.kind == end or self.tokens.accept(end):
                return tuple(out)
            self.tokens.expect(",")

    def _item(self) -> Pipeline:
        tokens = self.tokens
        name = tokens.expect_kind("name", "the name of a pass")
        if name.text in self.pipelines:
            return self.pipelines[name.text]
        if name.text == "repeat":
            return (self._repeat(),)
        if name.text not in self.passes:
            raise tokens.error(
                "there is no such pass", name, expected=", ".join((*self.passes, "repeat", *self.pipelines))
            )
        made = self.passes[name.text]
        return (made(**self._options(made)),)

    def _repeat(self) -> Repeat:
        options = self._options(Repeat)
        start = self.tokens.expect("(")
        inner = self.items(")")
        flat = tuple(i for i in inner if not isinstance(i, Repeat))
        if len(flat) < len(inner):
            raise self.tokens.error("repeat does not nest", start, expected="passes")
        return Repeat(flat, **options)

    def _options(self, owner: Any) -> dict[str, Any]:
        """``{name=value,...}``; an option's type is that of its default."""
        tokens = self.tokens
        known = {f.name: f.default for f in fields(owner) if isinstance(f.default, (bool, int))}
        out: dict[str, Any] = {}
        if not tokens.accept("{"):
            return out
        while True:
            name = tokens.expect_kind("name", "the name of an option")
            if name.text not in known:
                raise tokens.error("there is no such option", name, expected=", ".join(known) or "none")
            tokens.expect("=")
            out[name.text] = self._value(known[name.text])
            if tokens.accept("}"):
                return out
            tokens.expect(",")

    def _value(self, default: bool | int) -> bool | int:
        if not isinstance(default, bool):
            return self.tokens.integer()
        token = self.tokens.take()
        if token.text not in ("true", "false"):
            raise self.tokens.error("unexpected text", token, expected="true or false")
        return token.text == "true"
