"""Recognises members of a chain that make values of rows and columns, and the products that sum these over columns.

Such values need not lie in memory: a piece of them at a time is made, in registers, and multiplied.

Expressions are widened to f32, as those around a softmax are (see :mod:`sigmagraph.codegen.cuda.softmax`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_in

from sigmagraph.codegen.cuda.from_registers import width
from sigmagraph.codegen.cuda.softmax import WIDENED, inlined, widened
from sigmagraph.codegen.launches import loads_in
from sigmagraph.codegen.templates.factors import Contraction
from sigmagraph.dims import Dim, Size, names
from sigmagraph.dtypes import F32
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.expr import Cast, Expr, Index, Load, Var, replace, walk
from sigmagraph.ir.kernel.kernel import Let, Store


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a chain for the rows of a task.

    Attributes:
        compute: in flat form.
        contraction: it as a contraction, if it is one.
        unmerged: with all axes that it has, if it is elementwise.
    """

    compute: Compute
    contraction: Contraction | None
    unmerged: Compute | None


@dataclass(frozen=True, slots=True)
class Step:
    """Values of all rows and columns.

    Attributes:
        contraction: a product that they are made of, if there is one.
        lets: what they have in common.
        values: they themselves by name, in f32; they speak of the run's row and column.
        reads: how values of former steps are read that they are made of, and the names of these.
    """

    contraction: Contraction | None
    lets: tuple[Let, ...]
    values: tuple[tuple[str, Expr], ...]
    reads: tuple[tuple[Load, str], ...]


@dataclass(frozen=True, slots=True)
class Final:
    """A contraction that sums over columns what certain values, its first factor, are multiplied by."""

    contraction: Contraction
    value: str


@dataclass(frozen=True, slots=True)
class Run:
    """Members of a chain that follow each other.

    Attributes:
        row, column: the axes of values.
        steps: what makes these, in order.
        finals: what sums them.
        count: of members.
    """

    row: Axis
    column: Axis
    steps: tuple[Step, ...]
    finals: tuple[Final, ...]
    count: int


def find_run(members: Sequence[Member], kept: Collection[str]) -> Run | None:
    """The run that members begin with, if there is one.

    Args:
        members: of a chain, from some place on to the end.
        kept: the buffers that members hand on.
    """
    first = members[0].contraction
    if first is None or len(first.left.axes) != 1 or len(first.right.axes) != 1:
        return None
    finder = _Finder(first.left.axes[0], first.right.axes[0], kept)
    count = finder.run(members)
    stored = {store.buffer for member in members[:count] for store in member.compute.stores} - finder.written
    if not count or any(reads(member.compute, stored) for member in members[count:]):
        return None
    return Run(finder.row, finder.column, tuple(finder.steps), tuple(finder.finals), count)


def reads(compute: Compute, buffers: Collection[str]) -> bool:
    """Whether a compute reads one of these buffers."""
    return any(e.buffer in buffers for e in loads_in(compute.expressions()))


def apart(run: Run) -> tuple[Run, ...]:
    """A run for each final: values that several of them need are made again for each."""
    return tuple(replace_in(run, steps=_needed(run.steps, final.value), finals=(final,)) for final in run.finals)


def _needed(steps: Sequence[Step], value: str) -> tuple[Step, ...]:
    """What is left of steps if a value is all that is needed."""
    out: list[Step] = []
    wanted = {value}
    for step in reversed(steps):
        values = tuple((name, expr) for name, expr in step.values if name in wanted)
        if values:
            lets, parts = _used(step.lets, [expr for _, expr in values])
            result = step.contraction.reduction.result if step.contraction else ""
            multiplied = any(isinstance(e, Var) and e.name == result for e in parts)
            reads = tuple((load, name) for load, name in step.reads if load in parts)
            out.append(Step(step.contraction if multiplied else None, lets, values, reads))
            wanted = wanted.difference(name for name, _ in values).union(name for _, name in reads)
    return tuple(reversed(out))


def _used(lets: Sequence[Let], values: Sequence[Expr]) -> tuple[tuple[Let, ...], list[Expr]]:
    """The lets that values need, and all parts of these and of the values."""
    parts = [e for value in values for e in walk(value)]
    used: list[Let] = []
    for item in reversed(lets):
        spoken = {e.name for e in parts if isinstance(e, Var)}
        spoken = spoken.union(n for e in parts for size in own_sizes(e) for n in names(size))
        if item.name in spoken:
            used.append(item)
            parts += walk(item.value)
    return tuple(reversed(used)), parts


def own_sizes(expr: Expr) -> Sequence[Size]:
    """The index expressions of an expression, but for those of its operands."""
    match expr:
        case Load(_, index, _, guard):
            return (*index, *guard)
        case Index(value):
            return (value,)
        case _:
            return ()


class _Finder:
    """Looks at members one by one.

    Attributes:
        known: how the values that steps have stored in buffers are read, and their names.
        steps, finals: what has been found.
    """

    def __init__(self, row: Axis, column: Axis, kept: Collection[str]) -> None:
        self.row, self.column, self.kept = row, column, kept
        self.known: dict[str, tuple[Load, str]] = {}
        self.steps: list[Step] = []
        self.finals: list[Final] = []

    def run(self, members: Sequence[Member]) -> int:
        """How many of the members belong to the run, the last of which is a final; 0 if there is none.

        Finals are carried out behind all steps: no step may read what they store.
        """
        count = steps = 0
        for number, member in enumerate(members):
            if self._final(member.contraction):
                count, steps = number + 1, len(self.steps)
            elif not self._step(member):
                break
        del self.steps[steps:]
        return count

    # ---- values

    def _step(self, member: Member) -> bool:
        """Whether a member makes values of rows and columns; if so, it is one of the steps."""
        contraction, compute = member.contraction, member.unmerged
        if contraction:
            compute = contraction.compute
            sides = contraction.left.axes, contraction.right.axes
            if contraction.reduction.dtype is not F32 or contraction.batch or list(map(len, sides)) != [1, 1]:
                return False
            axes: Sequence[Axis] = (*sides[0], *sides[1])
            if self._speaks(e for f in (contraction.left, contraction.right) for e in f.expressions()):
                return False
        elif compute:
            axes = compute.axes
        else:
            return False
        place = self._place(axes)
        if place is None or not all(map(self._is_handed_on, compute.stores)) or reads(member.compute, self.written):
            return False
        lets = tuple(Let(item.name, widened(replace(item.value, place))) for item in compute.lets)
        called = {s.buffer: f"{s.buffer}.{len(self.steps)}" for s in compute.stores}
        values = tuple((called[s.buffer], widened(replace(s.value, place))) for s in compute.stores)
        stored = {s.buffer: replace(Load(s.buffer, s.index, s.value.dtype), place) for s in compute.stores}
        read = self._reads((*(item.value for item in lets), *(value for _, value in values)))
        if read is None or len(stored) < len(values):
            return False
        self.steps.append(Step(contraction, lets, values, read))
        self.known |= {name: (load, called[name]) for name, load in stored.items() if isinstance(load, Load)}
        return True

    def _is_handed_on(self, store: Store) -> bool:
        return store.buffer in self.kept and not store.guard and store.value.dtype in WIDENED

    def _place(self, axes: Sequence[Axis]) -> dict[str, Size] | None:
        """What two axes are called, if they are those of values."""
        own = self.row, self.column
        if len(axes) != 2 or any(a.extent != b.extent for a, b in zip(axes, own, strict=True)):
            return None
        return {a.var: Dim(b.var) for a, b in zip(axes, own, strict=True)}

    def _reads(self, expressions: Iterable[Expr]) -> tuple[tuple[Load, str], ...] | None:
        """The values of former steps that expressions read; None if they do so in another place than their own."""
        loads = tuple(dict.fromkeys(e for e in loads_in(expressions) if e.buffer in self.known))
        found = tuple(self.known[load.buffer] for load in loads)
        return found if all(load == known for load, (known, _) in zip(loads, found, strict=True)) else None

    def _speaks(self, expressions: Iterable[Expr]) -> bool:
        """Whether expressions read what has been handed on, which does not lie in memory."""
        return any(e.buffer in self.known for e in loads_in(expressions))

    @property
    def written(self) -> set[str]:
        """The buffers that finals store to."""
        return {s.buffer for final in self.finals for s in final.contraction.compute.stores}

    # ---- products of values

    def _final(self, contraction: Contraction | None) -> bool:
        """Whether a contraction sums values over columns; if so, it is one of the finals."""
        if contraction is None or contraction.batch or contraction.reduction.dtype is not F32:
            return False
        left, right, compute = contraction.left, contraction.right, contraction.compute
        place = self._place((*left.axes, *contraction.reduction.axes))
        others = (*right.expressions(), *(x.value for x in compute.lets), *(s.value for s in compute.stores))
        if place is None or width(right.extent) is None or self._speaks(others) or reads(compute, self.written):
            return False
        lets = tuple(Let(item.name, widened(replace(item.value, place))) for item in left.lets)
        value = widened(replace(left.value, place))
        read = self._reads((*(item.value for item in lets), value))
        if not read:
            return False
        buffer = _uncast(inlined(value, {item.name: item.value for item in lets}))
        name = self.known[buffer][1] if buffer in self.known else f"%factor.{len(self.steps)}"
        if buffer not in self.known:  # something is left to be done with what it reads
            self.steps.append(Step(None, lets, ((name, value),), read))
        self.finals.append(Final(contraction, name))
        return True


def _uncast(expr: Expr) -> str:
    """The buffer that an expression reads, perhaps as a wider type; empty if it is something else."""
    while isinstance(expr, Cast):
        expr = expr.value
    return expr.buffer if isinstance(expr, Load) else ""
