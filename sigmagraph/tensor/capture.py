"""From tensors to the graph of one program: what some outputs and updates need, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigmagraph.errors import DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.graph import Graph, extract
from sigmagraph.ir.graph.node import Output
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.tensor import Parameter, Tensor, located
from sigmagraph.tensor.workspace import here


def capture(
    inputs: Sequence[Tensor],
    outputs: Mapping[str, Tensor],
    updates: Mapping[Tensor, Tensor] | None = None,
    name: str = "main",
) -> tuple[Graph, dict[str, Variable]]:
    """A graph of its own that computes outputs and new values of parameters, and the variables of its parameters.

    Args:
        inputs: placeholders, in the order of the signature; each that is needed must be among them.
        outputs: tensors by the names under which a call returns them.
        updates: the new value of a parameter, which is written after everything is read.
        name: of the graph.

    Raises:
        GraphError: there are no outputs and updates, an input is no placeholder, one is missing or stands twice, or an
            updated tensor is no parameter.
        ShapeError, DTypeError: a new value has another type than its parameter.
    """
    updates = updates or {}
    _check_forms(inputs, outputs, updates)
    if not outputs and not updates:
        raise GraphError("a program without outputs and updates computes nothing", location=here())
    everything = [*inputs, *outputs.values(), *updates, *updates.values()]
    _check(inputs, everything)
    workspace = everything[0].workspace
    for tensor in everything:
        workspace = workspace.join(tensor.workspace)
    results = [Output(key, tensor.resolve()[1]) for key, tensor in outputs.items()]
    for target, value in updates.items():
        key = _check_update(target, value)
        results.append(Output(f"{key}.new" if key in outputs else key, value.resolve()[1], key))
    graph, _ = located(extract, workspace.graph, [t.resolve()[1] for t in inputs], results, name)
    read = [graph.node(v).name for v in graph.params]
    for target in updates:
        if target.name not in read:  # it is written only
            graph.add_param(target.name, target.type, target.location)
    parameters = [graph.node(v).name for v in graph.params]
    return graph, {key: workspace.variables[key] for key in parameters}


def _check_forms(inputs: object, outputs: object, updates: object) -> None:
    if isinstance(inputs, (str, Mapping)) or not isinstance(inputs, Sequence):
        raise GraphError("a program takes a list of inputs", expected="[x, y]", got=repr(inputs), location=here())
    for what, given, form in (("outputs", outputs, "{'y': y}"), ("updates", updates, "{w: w - step}")):
        if not isinstance(given, Mapping):
            raise GraphError(f"a program takes {what} as a dict", expected=form, got=repr(given), location=here())
    for name in outputs if isinstance(outputs, Mapping) else ():
        if not isinstance(name, str):
            raise GraphError("the names of outputs are text", expected="{'y': y}", got=repr(name), location=here())


def _check(inputs: Sequence[Tensor], everything: Sequence[object]) -> None:
    for tensor in everything:
        if not isinstance(tensor, Tensor):
            raise GraphError("this is no tensor of a graph", expected="Tensor", got=repr(tensor), location=here())
    names = [tensor.name for tensor in inputs]
    for name in names:
        if names.count(name) > 1 and name:
            raise GraphError(f"the input '{name}' stands twice among the inputs", location=here())


def _check_update(target: Tensor, value: Tensor) -> str:
    if not isinstance(target, Parameter):
        raise GraphError("only parameters are updated", expected="a parameter", got=repr(target), location=here())
    kind = DTypeError if target.dtype is not value.dtype else ShapeError
    if target.type != value.type:
        raise kind(
            f"the new value of '{target.name}' has another type",
            expected=target.type,
            got=value.type,
            location=value.location,
            hint="x.astype(dtype) converts" if kind is DTypeError else None,
        )
    return target.name
