"""What the runtime executes: ports, memory slots, requirements and steps, as plain data that goes to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigmagraph.dims import Dim, Func, Size, evaluate, func, product, total
from sigmagraph.dtypes import DType, as_dtype
from sigmagraph.errors import DimError, DTypeError, FileFormatError

FORMAT = 1
ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something about dims that could not be decided when the graph was built and is checked once at the call.

    Attributes:
        relation: ``==`` or ``>=``.
        left, right: the two sides.
        what: which node asks for it, in words, for the error.
    """

    relation: str
    left: Size
    right: Size
    what: str

    def check(self, dims: Mapping[str, int]) -> None:
        """Raises DimError unless it holds for these dims."""
        left, right = evaluate(self.left, dims), evaluate(self.right, dims)
        if not (left == right if self.relation == "==" else left >= right):
            used = ", ".join(f"{name}={value}" for name, value in dims.items())
            raise DimError(
                f"the dims of this call do not fit: {self.what}",
                expected=f"{self.left} {self.relation} {self.right}",
                got=f"{left} and {right} ({used})",
            )


@dataclass(frozen=True, slots=True)
class Port:
    """An input, an output or a parameter of a program."""

    name: str
    dtype: DType
    shape: tuple[Size, ...]

    @property
    def bytes(self) -> Size:
        return product(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Place:
    """Where a buffer lies: in entry ``index`` of ``space``: ``input``, ``output``, ``param``, ``slot`` or ``constant``.

    Attributes:
        space, index: the whole buffer.
        offset: bytes from there on, an expression of dims and of the turns of the loops around.
    """

    space: str
    index: int
    offset: Size = 0

    def at(self, offset: Size) -> Place:
        """The place some bytes further on."""
        return Place(self.space, self.index, self.offset + offset)

    def __str__(self) -> str:
        return f"{self.space}[{self.index}]" + (f" + {self.offset}" if self.offset != 0 else "")


@dataclass(frozen=True, slots=True)
class Launch:
    """Run a kernel on buffers; ``dims`` names the program's dims that it takes."""

    kernel: str
    places: tuple[Place, ...]
    dims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy a whole buffer of ``bytes`` bytes."""

    source: Place
    target: Place
    bytes: Size


@dataclass(frozen=True, slots=True)
class Loop:
    """Carry out steps for every ``turn`` (a name that starts with ``%``) in ``0 .. extent - 1``."""

    turn: str
    extent: Size
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """Carry out ``then`` where the bool at a place holds, else ``orelse``."""

    condition: Place
    then: tuple[Step, ...]
    orelse: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """Go on only where the bool at a place holds; else the program ends and says the number of the check, from 1."""

    condition: Place
    message: str


Step = Launch | Copy | Loop | Branch | Check


def flat_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps, outer first, in order."""
    for step in steps:
        yield step
        match step:
            case Loop(_, _, inner):
                yield from flat_steps(inner)
            case Branch(_, then, orelse):
                yield from flat_steps((*then, *orelse))
            case _:
                pass


@dataclass(frozen=True, slots=True)
class Plan:
    """A program: everything but the code of its kernels.

    Attributes:
        name: of the program.
        dims: names of the symbolic dims, in the order of the entry point's table.
        inputs, outputs, params: ports in the order of the entry point's tables.
        slots: size in bytes of each arena slot, as expressions of the dims.
        scratch: bytes of scratch memory per thread, at the arena's end.
        constants: bytes of each embedded constant.
        requirements: checked once at a call.
        updates: names of the parameters that it writes.
        steps: in order.
    """

    name: str
    dims: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    params: tuple[Port, ...]
    updates: tuple[str, ...]
    slots: tuple[Size, ...]
    scratch: Size
    constants: tuple[int, ...]
    requirements: tuple[Requirement, ...]
    steps: tuple[Step, ...]

    def offsets(self) -> tuple[Size, ...]:
        """Byte offset of every slot, and last the offset behind them all; each is a multiple of ALIGNMENT."""
        out: list[Size] = [0]
        for size in self.slots:
            out.append(out[-1] + align(size))
        return tuple(out)

    def arena_bytes(self, threads: int) -> Size:
        """Bytes of the arena for a number of threads, as an expression of the dims."""
        return self.offsets()[-1] + align(self.scratch) * threads

    @property
    def checks(self) -> tuple[str, ...]:
        """What is wrong when the program ends with status 1, 2, ..."""
        return tuple(step.message for step in flat_steps(self.steps) if isinstance(step, Check))

    @property
    def param_bytes(self) -> int:
        """Bytes of all parameters, optimiser memory and counters."""
        return sum(evaluate(p.bytes, {}) for p in self.params)


def first_user(plan: Plan, slot: int) -> str:
    """The name of the first kernel that uses a slot; that of the plan if none does."""
    for step in flat_steps(plan.steps):
        if isinstance(step, Launch) and any(p.space == "slot" and p.index == slot for p in step.places):
            return step.kernel
    return plan.name


@dataclass(frozen=True, slots=True)
class Program:
    """What is compiled together.

    Attributes:
        main: what a call runs.
        ahead: has no inputs, and writes parameters of ``main`` that are nobody else's; it is run before a call if one
            of the parameters that it reads may have changed. None where there is nothing to be done ahead.
    """

    main: Plan
    ahead: Plan | None

    @property
    def kept(self) -> tuple[Port, ...]:
        """The parameters that ``ahead`` writes."""
        return tuple(p for p in self.ahead.params if p.name in self.ahead.updates) if self.ahead else ()

    @property
    def params(self) -> tuple[Port, ...]:
        """The parameters of both that are the user's."""
        ports = {p.name: p for plan in (self.main, self.ahead) if plan for p in plan.params}
        return tuple(p for p in ports.values() if p not in self.kept)


def pretty(plan: Plan) -> str:
    """The plan for readers: JSON with sizes as formulas."""
    ports = {
        kind: {p.name: f"{p.dtype}[{','.join(map(str, p.shape))}]" for p in getattr(plan, kind)}
        for kind in ("inputs", "outputs", "params")
    }
    text = {
        "name": plan.name,
        "dims": plan.dims,
        **ports,
        "updates": plan.updates,
        "slots": [str(s) for s in plan.slots],
        "offsets": [str(o) for o in plan.offsets()],
        "scratch per thread": str(plan.scratch),
        "constants": plan.constants,
        "requirements": [f"{r.left} {r.relation} {r.right}: {r.what}" for r in plan.requirements],
        "steps": _readable(plan.steps),
    }
    return json.dumps(text, indent=2) + "\n"


def _readable(steps: Sequence[Step]) -> list[Any]:
    """Steps as lines, those inside others as lists."""
    out: list[Any] = []
    for step in steps:
        match step:
            case Launch(kernel, places, _):
                out.append(f"{kernel}({', '.join(map(str, places))})")
            case Copy(source, target, size):
                out.append(f"copy({source} -> {target}, {size} bytes)")
            case Loop(turn, extent, inner):
                out.append({f"for {turn} in {extent}": _readable(inner)})
            case Check(condition, message):
                out.append(f"check {condition}: {message}")
            case Branch(condition, then, orelse):
                out.append({f"if {condition}": _readable(then), "else": _readable(orelse)})
    return out


def align(size: Size) -> Size:
    """The next multiple of ALIGNMENT."""
    return (size + (ALIGNMENT - 1)) // ALIGNMENT * ALIGNMENT


def to_json(program: Program) -> dict[str, Any]:
    """The program as JSON-able data."""
    return {"format": FORMAT, "program": _encode(program)}


def from_json(data: Any) -> Program:
    """The program from :func:`to_json`'s data.

    Raises:
        FileFormatError: the data is not a program of this format.
    """
    try:
        if data["format"] != FORMAT:
            raise FileFormatError("the program has another format", expected=FORMAT, got=data["format"])
        program = _decode(data["program"])
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, DTypeError, DimError) as error:
        raise FileFormatError("the data is not a program", got=repr(error)) from error
    if not isinstance(program, Program):
        raise FileFormatError("the data is not a program", got=type(program).__name__)
    return program


def size_to_json(size: Size) -> Any:
    """A size as JSON-able data."""
    return _encode(size)


def size_from_json(data: Any) -> Size:
    """The size from :func:`size_to_json`'s data."""
    size: Size = _decode(data)
    return size


_RECORDS: dict[str, Any] = {
    c.__name__: c for c in (Requirement, Port, Place, Launch, Copy, Loop, Branch, Check, Plan, Program)
}


def _encode(value: Any) -> Any:
    if isinstance(value, (str, int, type(None))):
        return value
    if isinstance(value, Dim):
        return {"dim": [[[_encode_atom(a) for a in m], c] for m, c in value.terms]}
    if isinstance(value, DType):
        return {"dtype": str(value)}
    if isinstance(value, tuple):
        return [_encode(v) for v in value]
    return {"record": type(value).__name__} | {f: _encode(getattr(value, f)) for f in value.__dataclass_fields__}


def _encode_atom(atom: str | Func) -> Any:
    return atom if isinstance(atom, str) else [atom.kind, [_encode(a) for a in atom.args]]


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(v) for v in value)
    if not isinstance(value, dict):
        return value
    if "record" in value:  # first, because a record may have fields called like the two below
        record = _RECORDS[value["record"]]
        return record(**{k: _decode(v) for k, v in value.items() if k != "record"})
    if "dim" in value:
        return total(_term(m, c) for m, c in value["dim"])
    return as_dtype(value["dtype"])


def _term(monomial: list[Any], coefficient: int) -> Size:
    return coefficient * product(
        Dim(a) if isinstance(a, str) else func(a[0], [_decode(x) for x in a[1]]) for a in monomial
    )
