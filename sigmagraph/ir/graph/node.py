"""What a graph is made of: nodes, outputs, groups, and the two ops of a signature."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import Inference, NotDifferentiable, OpDef, OpKind, Trait
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.location import UNKNOWN, Location


@dataclass(frozen=True, slots=True)
class Node:
    """An op applied to values.

    Attributes:
        id: number, unique in its graph; ids only grow.
        op: the op's record.
        inputs: operands.
        attrs: attributes.
        types: result types.
        name: hint for readers; the port's name for inputs and parameters.
        location: where it comes from.
    """

    id: int
    op: OpDef
    inputs: tuple[Value, ...]
    attrs: Attrs
    types: tuple[TensorType, ...]
    name: str = ""
    location: Location = UNKNOWN

    @property
    def outputs(self) -> tuple[Value, ...]:
        return (Value(self.id),) if len(self.types) == 1 else tuple(Value(self.id, i) for i in range(len(self.types)))


@dataclass(frozen=True, slots=True)
class Output:
    """A result of the graph; ``updates`` names the parameter whose new value it is."""

    name: str
    value: Value
    updates: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that become one kernel, in topological order; filled in by the fuse pass."""

    name: str
    nodes: tuple[int, ...]


class Stage(Enum):
    """How far a graph has come."""

    CAPTURED = "captured"
    PRIMITIVE = "primitive"
    FUSED = "fused"


def _port_type(context: Inference) -> tuple[TensorType, ...]:
    return (TensorType(context.attrs["dtype"], context.attrs["shape"]),)


def _port(name: str, trait: Trait, doc: str) -> OpDef:
    return OpDef(
        name=name,
        doc=doc,
        kind=OpKind.SOURCE,
        arity=0,
        attrs=(AttrSpec("dtype", "dtype"), AttrSpec("shape", "shape")),
        infer=_port_type,
        reference=lambda *_: (),
        vjp=NotDifferentiable("it has no operands"),
        traits=frozenset({trait}),
    )


INPUT = _port("input", Trait.INPUT, "A value handed in at every call.")
PARAMETER = _port("param", Trait.PARAMETER, "A value that lives in the program's state.")
