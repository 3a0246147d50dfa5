"""The compiled function as its user sees it: call it, ask what memory it takes, look at every stage it went through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from sigmagraph.dims import Dim, Size, evaluate
from sigmagraph.errors import DimError, InputError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.plan import Plan
from sigmagraph.options import CompileOptions, Target
from sigmagraph.passes.report import PassReport
from sigmagraph.runtime.runner import Run, Runner
from sigmagraph.runtime.state import Variable


@dataclass(frozen=True, slots=True)
class Source:
    """What a program is made from.

    Attributes:
        graph: as it was captured.
        variables: its parameters, by name.
        options: what changes the code.
    """

    graph: Graph
    variables: Mapping[str, Variable]
    options: CompileOptions


@dataclass(frozen=True, slots=True)
class Origin:
    """How a program came about.

    Attributes:
        source: what it is made from.
        seconds: what it took.
        cached: whether it came from the cache.
        rebuild: builds it again, for another target if there is one, and hands over the name and the text of every
            stage.
        report: runs its passes again and says what they did.
    """

    source: Source
    seconds: float
    cached: bool
    rebuild: Callable[[Callable[[str, str], None], Target | str | None], object]
    report: Callable[[], PassReport]


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Bytes that a program needs; sizes are formulas unless the dims were given.

    Attributes:
        parameters: all that lives in the state: parameters, optimiser memory, counters, by name.
        prepared: what is computed from parameters ahead of calls, and kept.
        arena: scratch space for one call.
        inputs, outputs: arrays that go in and come out.
    """

    parameters: Mapping[str, int]
    prepared: int
    arena: Size
    inputs: Size
    outputs: Size

    @property
    def state(self) -> int:
        """Bytes of all parameters, optimiser memory and counters."""
        return sum(self.parameters.values())

    def __str__(self) -> str:
        rows: list[tuple[str, Size]] = [("state", self.state), ("prepared", self.prepared), ("arena", self.arena)]
        rows += [("inputs", self.inputs), ("outputs", self.outputs)]
        return "\n".join(f"{name:<8} {_bytes(size)}" for name, size in rows)


def _bytes(size: Size) -> str:
    return f"{size} bytes" if isinstance(size, Dim) else f"{size:,} bytes"


class CompiledFunction:
    """A native function. Call it with arrays, by position or by name; it returns its outputs by name.

    Attributes:
        graph: the captured graph.
        executor: runs it, and counts.
    """

    def __init__(self, executor: Runner, origin: Origin) -> None:
        self.graph = origin.source.graph
        self.executor = executor
        self._origin = origin
        self._names = tuple(port.name for port in executor.plan.inputs)

    @property
    def name(self) -> str:
        """Name of the program, in dumps and errors."""
        return self.graph.name

    @property
    def source(self) -> Source:
        """What it was made from."""
        return self._origin.source

    @property
    def plan(self) -> Plan:
        """Buffers, slots and launches."""
        return self.executor.plan

    @property
    def compile_seconds(self) -> float:
        """What it took from the captured graph to the loaded code."""
        return self._origin.seconds

    @property
    def cached(self) -> bool:
        """Whether the code came from the cache."""
        return self._origin.cached

    def __call__(self, *positional: Any, **arrays: Any) -> dict[str, np.ndarray[Any, Any]]:
        """Run the program.

        Raises:
            InputError: an input is missing, unknown, or has another dtype or shape.
            DimError: two inputs disagree about a symbolic dim.
        """
        return self.executor.run(self._ordered(positional, arrays))

    def begin(self, *positional: Any, **arrays: Any) -> Run:
        """Begin to run the program: on a device it goes on by itself until :meth:`Run.result` is asked for.

        Arguments and errors are those of a call; what goes wrong on the device is told with the results.
        """
        return self.executor.begin(self._ordered(positional, arrays))

    def upload(self, **arrays: Any) -> Mapping[str, Any]:
        """Begin to bring inputs to where the program runs, while a run may go on there.

        What comes out stands for them, by name, in one call of this program, or of another one on the same device. On
        the processor it is the arrays themselves.

        Raises:
            InputError: there is no such input, or an array has another dtype than it takes.
        """
        return self.executor.upload(arrays)

    def _ordered(self, positional: tuple[Any, ...], arrays: Mapping[str, Any]) -> list[Any]:
        if positional:
            arrays = self._named(positional, arrays)
        if len(arrays) != len(self._names):
            raise self._mismatch(arrays)
        try:
            return [arrays[name] for name in self._names]
        except KeyError:
            raise self._mismatch(arrays) from None

    def _named(self, positional: tuple[Any, ...], arrays: Mapping[str, Any]) -> dict[str, Any]:
        if len(positional) > len(self._names):
            raise InputError(f"'{self.name}' takes fewer inputs", expected=len(self._names), got=len(positional))
        named = dict(zip(self._names, positional, strict=False))
        for name in named.keys() & arrays.keys():
            raise InputError(f"the input '{name}' is given twice")
        return {**named, **arrays}

    def _mismatch(self, arrays: Mapping[str, Any]) -> InputError:
        missing = [n for n in self._names if n not in arrays]
        unknown = [n for n in arrays if n not in self._names]
        problem = f"the input '{missing[0]}' is missing" if missing else f"there is no input '{unknown[0]}'"
        return InputError(
            f"'{self.name}': {problem}", expected=", ".join(self._names) or "none", got=", ".join(arrays) or "none"
        )

    def memory(self, **dims: int) -> MemoryReport:
        """Bytes of state, arena, inputs and outputs: numbers for given dims, formulas without.

        Raises:
            DimError: a dim is unknown, missing or negative.
        """
        plan, preparation = self.plan, self.executor.preparation
        for name, value in dims.items():
            if name not in plan.dims or value < 0:
                raise DimError(f"'{self.name}' has no such dim", expected=", ".join(plan.dims), got=f"{name}={value}")
        sources, kept = (preparation.sources, preparation.kept) if preparation else ((), ())
        state = {v.name: v.bytes for v in (*self.executor.variables, *sources) if v not in kept}
        sizes: list[Size] = [plan.arena_bytes(self.executor.threads), 0, 0]
        for port in plan.inputs:
            sizes[1] = sizes[1] + port.bytes
        for port in plan.outputs:
            sizes[2] = sizes[2] + port.bytes
        if dims or not plan.dims:
            sizes = [evaluate(size, dims) for size in sizes]
        return MemoryReport(state, sum(v.bytes for v in kept), *sizes)

    def passes(self) -> PassReport:
        """What the passes do to the graph: times, numbers of nodes, rules; they are run again to find out."""
        return self._origin.report()

    def dump(self, folder: str | Path, target: Target | str | None = None) -> Path:
        """Write every stage of the program into a folder: graphs, kernels, plan, code as text, and an index.

        Code for processors is LLVM IR and assembly; for GPUs CUDA C, PTX, and a table of what each kernel takes.

        Args:
            folder: where the files go.
            target: for what; the program's own if there is none. It need not be on this machine: ``cuda:sm_80``.

        Raises:
            InputError: the folder cannot be written to.
            OptionError: the text is no target.
            TargetError: nothing can be compiled for the target.
            CompileError: there is no compiler for the target's code.
        """
        path = Path(folder)
        files: dict[str, str] = {}
        self._origin.rebuild(files.__setitem__, target)
        files["index.html"] = _index(self.name, files)
        try:
            path.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (path / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path} cannot be written", got=error.strerror) from error
        return path


def _index(title: str, files: Mapping[str, str]) -> str:
    """A page that shows every stage, one below the other."""
    sections = []
    for name, text in files.items():
        sections.append(
            f"<details><summary>{escape(name)} <small>{len(text.splitlines())} lines</small></summary>"
            f"<pre>{escape(text)}</pre></details>"
        )
    style = "body{font-family:sans-serif;margin:2em}pre{background:#f4f4f4;padding:1em;overflow:auto}"
    return (
        f"<!doctype html><meta charset='utf-8'><title>{escape(title)}</title><style>{style}</style>"
        f"<h1>{escape(title)}</h1>{''.join(sections)}\n"
    )
