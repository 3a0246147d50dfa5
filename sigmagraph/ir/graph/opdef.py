"""The record that defines an op: types, meaning, gradient, lowering and the samples that test it.

An op is one :class:`OpDef` and nothing else; no other module asks for an op's name. What the record's functions work
with (building nodes, expressions of kernels) is declared here as protocols, so that the record knows no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, Union

import numpy as np

from sigmagraph.dims import Size, names
from sigmagraph.dtypes import DType
from sigmagraph.errors import AttributeValueError, GraphError, ShapeError, SigmaError
from sigmagraph.facts import Facts
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec, Region
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Expr
from sigmagraph.ir.kernel.kernel import Block, Buffer
from sigmagraph.ir.plan import Place, Requirement, Step

NDArray: TypeAlias = "np.ndarray[Any, Any]"


class OpKind(Enum):
    """How an op moves data; what may be fused with what follows from it.

    SOURCE reads nothing; ELEMENTWISE reads each operand at the output's index; MOVEMENT at a mapped index; REDUCTION
    and CONTRACTION reduce over axes; INDEXING reads at an index that is data; OPAQUE stands alone and writes its own
    loops; CONTROL stands alone and runs the graphs among its attributes; COMPOSITE is expanded by decompose.
    """

    SOURCE = "source"
    ELEMENTWISE = "elementwise"
    MOVEMENT = "movement"
    REDUCTION = "reduction"
    CONTRACTION = "contraction"
    INDEXING = "indexing"
    OPAQUE = "opaque"
    CONTROL = "control"
    COMPOSITE = "composite"

    __hash__ = object.__hash__  # there is one object for each, and the hash of enums takes ten times as long

    @property
    def alone(self) -> bool:
        """Whether such a node is fused with nothing."""
        return self in (OpKind.OPAQUE, OpKind.CONTROL)


class Trait(Enum):
    """A property that passes use.

    COMMUTATIVE: operands may be swapped. EXPENSIVE: not computed twice to save memory traffic. INPUT and PARAMETER mark
    the two ops that stand in a graph's signature. CONSTANT: the attribute ``value`` is the result. CHECKS: a program
    may end there, so that nothing is overwritten before. PLACES: the results are places along an axis of the operand,
    whatever its elements are. TRANSPARENT: each element of the result is made of one element of the operand, or is a
    number, and at almost no cost, so that even a contraction may read through it. ROW_MAJOR: the elements of the
    operand in the same order, in another shape. REPEATS: the operand repeated along the axes that it lacks or has with
    size 1, axes being aligned at the right.
    """

    COMMUTATIVE = "commutative"
    EXPENSIVE = "expensive"
    INPUT = "input"
    PARAMETER = "parameter"
    CONSTANT = "constant"
    CHECKS = "checks"
    PLACES = "places"
    TRANSPARENT = "transparent"
    ROW_MAJOR = "row_major"
    REPEATS = "repeats"

    __hash__ = object.__hash__  # as for kinds


class Inference:
    """Operand types and attributes while the result types of a node are found.

    Attributes:
        op: name of the op, for errors.
        types: operand types.
        attrs: canonical attributes.
        requirements: what could not be decided and must be checked at the call.
    """

    def __init__(self, op: str, types: Sequence[TensorType], attrs: Attrs) -> None:
        self.op = op
        self.types = tuple(types)
        self.attrs = attrs
        self.requirements: list[Requirement] = []

    def same(self, a: Size, b: Size, what: str) -> Size:
        """The size that both are; noted as a requirement when they are different expressions.

        Raises:
            ShapeError: they are different for all dims.
        """
        if a == b:
            return a
        if isinstance(a - b, int):
            raise self.error(f"{what} differ", expected=a, got=b)
        self.requirements.append(Requirement("==", a, b, f"{self.op}: {what}"))
        return a if isinstance(a, int) else b if isinstance(b, int) else a

    def same_shape(self, a: Sequence[Size], b: Sequence[Size], what: str) -> tuple[Size, ...]:
        """The shape that both are.

        Raises:
            ShapeError: ranks or sizes differ.
        """
        if len(a) != len(b):
            raise self.error(f"the ranks of {what} differ", expected=_shape(a), got=_shape(b))
        return tuple(
            self.same(x, y, f"the sizes of axis {i} of {what}") for i, (x, y) in enumerate(zip(a, b, strict=True))
        )

    def at_least(self, a: Size, b: Size, what: str) -> None:
        """Note or check that ``a >= b``.

        Raises:
            ShapeError: it is not so for any dims.
        """
        difference = a - b
        if isinstance(difference, int):
            if difference < 0:
                raise self.error(what, expected=f"at least {b}", got=a)
        elif not Facts(dict.fromkeys(names(difference), (0, None))).nonnegative(difference):
            self.requirements.append(Requirement(">=", a, b, f"{self.op}: {what}"))

    def axis(self, axis: int, rank: int) -> int:
        """The axis counted from the front.

        Raises:
            ShapeError: there is no such axis.
        """
        if not -rank <= axis < rank:
            raise self.error("there is no such axis", expected=f"-{rank} .. {rank - 1}", got=axis)
        return axis % rank

    def axes(self, axes: Sequence[int], rank: int) -> tuple[int, ...]:
        """The axes counted from the front, sorted.

        Raises:
            ShapeError: one does not exist or is named twice.
        """
        out = sorted(self.axis(a, rank) for a in axes)
        if len(set(out)) != len(out):
            raise self.error("an axis is named twice", expected="each axis once", got=tuple(axes))
        return tuple(out)

    def error(
        self, message: str, *, expected: Any = None, got: Any = None, kind: type[SigmaError] = ShapeError
    ) -> SigmaError:
        """The error to raise, with the operand types in it."""
        operands = ", ".join(map(str, self.types))
        return kind(f"{self.op}: {message}", expected=expected, got=got, node=f"{self.op}({operands})")


def _shape(shape: Sequence[Size]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


class NodeBuilder(Protocol):
    """What composites and gradients build nodes with (see :mod:`sigmagraph.ir.graph.builder`)."""

    def emit(self, op: str, *inputs: Value, **attrs: Any) -> Value:
        """Append a node with one result. Shapes and dtypes must fit exactly; nothing is broadcast or promoted."""
        ...

    def emit_all(self, op: str, *inputs: Value, **attrs: Any) -> tuple[Value, ...]:
        """Append a node and return all its results."""
        ...

    def inline(self, body: Region, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """Append the nodes of a graph, its inputs and parameters replaced by values; returns its outputs."""
        ...

    def constant(self, value: Any, dtype: DType) -> Value:
        """A constant."""
        ...

    def full(self, value: float, type: TensorType) -> Value:
        """A constant number, broadcast to a type."""
        ...

    def type(self, value: Value) -> TensorType:
        """The type of a value."""
        ...


class VjpContext(NodeBuilder, Protocol):
    """A node and the cotangents of its results, while its operands' cotangents are built."""

    @property
    def inputs(self) -> tuple[Value, ...]: ...
    @property
    def outputs(self) -> tuple[Value, ...]: ...
    @property
    def cotangents(self) -> tuple[Value, ...]:
        """One per result, zeros where nothing flows back."""
        ...

    @property
    def attrs(self) -> Attrs: ...

    @property
    def active(self) -> tuple[bool, ...]:
        """For each operand whether its cotangent is asked for."""
        ...

    def backward(
        self, outputs: Sequence[Value], cotangents: Sequence[Value], wrt: Sequence[Value]
    ) -> tuple[Value | None, ...]:
        """Carry cotangents of values that the rule appended back to values that it made them from."""
        ...

    def inside(self, graph: Any) -> Inside:
        """The same for a :class:`~sigmagraph.ir.graph.graph.Graph` that is to become a body."""
        ...


class Inside(NodeBuilder, Protocol):
    """A graph that is to become the body of a gradient."""

    def backward(
        self, outputs: Sequence[Value], cotangents: Sequence[Value], wrt: Sequence[Value]
    ) -> tuple[Value | None, ...]:
        """Append the products of cotangents with Jacobians; None for values that nothing flows back to."""
        ...


class LowerContext(Protocol):
    """Where the expression of one output element is made."""

    @property
    def types(self) -> tuple[TensorType, ...]:
        """Operand types."""
        ...

    @property
    def result(self) -> TensorType: ...
    @property
    def attrs(self) -> Attrs: ...

    def operand(self, number: int, index: Sequence[Size], guard: Sequence[Size] = ()) -> Expr:
        """The operand's element at an index.

        Where an expression of ``guard`` is negative nothing is read and the value is unspecified (select it away).
        """
        ...

    def reduce(self, op: str, extents: Sequence[Size], body: Callable[[tuple[Size, ...]], Expr]) -> Expr:
        """``body`` combined by the scalar op (add, mul, min or max) over all indices below ``extents``."""
        ...

    def index(self, value: Expr, low: Size, high: Size) -> Size:
        """An integer value for use in index expressions, clamped to ``low .. high``."""
        ...


class LayoutContext(Protocol):
    """Where the values of a CONTROL node lie, while its steps are written."""

    @property
    def operands(self) -> tuple[Place, ...]: ...
    @property
    def results(self) -> tuple[Place, ...]: ...
    @property
    def attrs(self) -> Attrs: ...

    @property
    def types(self) -> tuple[TensorType, ...]:
        """Operand types."""
        ...

    @property
    def location(self) -> str:
        """The place in the user's program, in words; empty if it is not known."""
        ...

    @property
    def turn(self) -> str:
        """What the turn of a loop is called in offsets of places."""
        ...

    def body(
        self, name: str, inputs: Sequence[Place], params: Sequence[Place], outputs: Mapping[str, Place]
    ) -> tuple[Step, ...]:
        """The steps of the body in an attribute, given where its inputs, parameters and (by name) outputs lie."""
        ...


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that an op asks of the elements of an operand.

    Attributes:
        operand: its number.
        holds: a bool scalar that says whether it is so.
        message: what is wrong if it is not.
    """

    operand: int
    holds: Value
    message: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The buffers that the loops of an OPAQUE op read and write.

    Attributes:
        reads: a buffer for each operand, of its type.
        writes: a buffer for each result; all their elements must be written.
        attrs: attributes of the node.
    """

    reads: tuple[Buffer, ...]
    writes: tuple[Buffer, ...]
    attrs: Attrs


@dataclass(frozen=True, slots=True)
class NotDifferentiable:
    """Says in place of a gradient why there is none."""

    reason: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One use of an op for the generated tests.

    Attributes:
        inputs: operand arrays; floats are float64 and are cast by the tests to what they need.
        attrs: attributes.
        shapes: symbolic shapes of the operands (Dims where the array's size stands for one), or None for static ones.
        kinks: whether the point lies on a kink, so that numeric gradients mean nothing there.
        exact: whether all evaluations must agree to the last bit.
        square: whether operands are matrices whose rows and columns are equally many by what they are.
    """

    inputs: tuple[NDArray, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    shapes: tuple[tuple[Size, ...], ...] | None = None
    kinks: bool = False
    exact: bool = False
    square: bool = False


@dataclass(frozen=True, slots=True)
class ErrorSample:
    """One wrong use of an op: the error class and a part of its message."""

    types: tuple[TensorType, ...]
    attrs: Mapping[str, Any]
    error: type[SigmaError]
    match: str


InferRule: TypeAlias = "Callable[[Inference], tuple[TensorType, ...]]"
Reference: TypeAlias = "Callable[[Sequence[NDArray], Attrs, tuple[TensorType, ...]], tuple[NDArray, ...]]"
VjpRule: TypeAlias = "Callable[[VjpContext], Sequence[Value | None]]"
LowerRule: TypeAlias = "Callable[[LowerContext, tuple[Size, ...]], Expr]"
StepsRule: TypeAlias = "Callable[[LayoutContext], Sequence[Step]]"
GuardRule: TypeAlias = "Callable[[NodeBuilder, tuple[Value, ...], Attrs], Sequence[Condition]]"
LoopsRule: TypeAlias = "Callable[[Frame], Block]"
DecomposeRule: TypeAlias = "Callable[[NodeBuilder, tuple[Value, ...], Attrs], Union[Value, tuple[Value, ...]]]"


@dataclass(frozen=True, slots=True, eq=False)
class OpDef:
    """Everything that there is to say about an op.

    Attributes:
        name: as it stands in text.
        doc: what it computes, with shapes and the source of its formula.
        kind: how it moves data.
        arity: number of operands; None for any number.
        attrs: attributes it takes.
        infer: operand types and attributes to result types.
        reference: NumPy meaning: operand arrays, attributes and result types (numbers for the dims of both).
        vjp: cotangents of the operands (None: none flows), or why there is no gradient. A composite without its own
            rule (None) is differentiated through its decomposition.
        lower: expression of the output element at an index (primitives with one result).
        loops: statements that compute all results (OPAQUE primitives, whose elements depend on each other).
        steps: what a program does for it (CONTROL primitives, which run bodies).
        guards: what is asked of the elements of operands, and checked when a program runs.
        decompose: the same in terms of other ops (composites).
        samples: uses for the generated tests, made from a random generator.
        errors: wrong uses for the generated tests.
        traits: properties that passes use.
    """

    name: str
    doc: str
    kind: OpKind
    arity: int | None
    infer: InferRule
    reference: Reference
    vjp: VjpRule | NotDifferentiable | None = None
    attrs: tuple[AttrSpec, ...] = ()
    lower: LowerRule | None = None
    loops: LoopsRule | None = None
    steps: StepsRule | None = None
    guards: GuardRule | None = None
    decompose: DecomposeRule | None = None
    samples: Callable[[np.random.Generator], Iterable[Sample]] = lambda _: ()
    errors: tuple[ErrorSample, ...] = ()
    traits: frozenset[Trait] = frozenset()

    def __repr__(self) -> str:
        return f"OpDef({self.name})"

    def canonical_attrs(self, given: Mapping[str, Any]) -> Attrs:
        """All attributes, defaults filled in.

        Raises:
            AttributeValueError: one is missing, unknown, or not of its kind.
        """
        known = {spec.name for spec in self.attrs}
        for name in given:
            if name not in known:
                raise AttributeValueError(
                    f"{self.name}: there is no attribute '{name}'",
                    expected=", ".join(sorted(known)) or "none",
                    got=name,
                )
        out = {}
        for spec in self.attrs:
            if spec.name in given:
                out[spec.name] = spec.canonical(given[spec.name])
            elif spec.required:
                raise AttributeValueError(f"{self.name}: the attribute '{spec.name}' is missing", expected=spec.doc)
            else:
                out[spec.name] = spec.canonical(spec.default)
        return Attrs(out)

    def expand(self, builder: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> tuple[Value, ...]:
        """The results of a composite in terms of other ops."""
        assert self.decompose is not None, f"'{self.name}' is no composite"
        results = self.decompose(builder, inputs, attrs)
        return results if isinstance(results, tuple) else (results,)

    def inference(
        self, types: Sequence[TensorType], attrs: Attrs
    ) -> tuple[tuple[TensorType, ...], tuple[Requirement, ...]]:
        """Result types and the requirements that are left for the call.

        Raises:
            SigmaError: the operands do not fit.
        """
        context = Inference(self.name, types, attrs)
        if self.arity is not None and len(types) != self.arity:
            raise context.error("wrong number of operands", expected=self.arity, got=len(types), kind=GraphError)
        return self.infer(context), tuple(context.requirements)


class OpRegistry(Mapping[str, OpDef]):
    """Ops by name; immutable, made from an explicit list."""

    def __init__(self, ops: Iterable[OpDef]) -> None:
        by_name: dict[str, OpDef] = {}
        for op in ops:
            if op.name in by_name:
                raise GraphError(f"two ops are called '{op.name}'")
            by_name[op.name] = op
        self._ops = MappingProxyType(by_name)

    def __getitem__(self, name: str) -> OpDef:
        return self._ops[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ops)

    def __len__(self) -> int:
        return len(self._ops)
