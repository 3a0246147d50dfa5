"""What the functions of an artifact should give for numbers made up, by the meaning of their graphs.

Some values are nothing but rounding, which differs between machines: the gradient of a bias before a batch norm is, and
Adam divides it by its own size. Everything is computed a second time from inputs that differ in their last bits, and
what is another value then is not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.codegen.library.trials import Made, Trial, Trials
from sigmagraph.codegen.llvm.native.selftest import filled
from sigmagraph.dims import evaluate
from sigmagraph.errors import DimError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.interface import Function, Interface, Stored
from sigmagraph.ir.plan import Port

NDArray: TypeAlias = "np.ndarray[Any, Any]"

# What dims may be, the first that fits. With two records the gradient behind a batch norm is nothing but rounding.
_SIZES = (5, 6, 8, 4, 3, 2, 1, 7, 9, 10, 12, 16, 24, 32, 48, 64)
_SCALAR = 0.0625  # of arguments that nothing is known of
_WHOLE = 1 << 30
_NUDGE = 4
FIRM = 1e-4  # a tenth of what the self-test allows


def golden(
    interface: Interface,
    graphs: Mapping[str, Graph],
    stored: Mapping[str, Mapping[str, str]],
    values: Mapping[str, NDArray],
    scalars: Mapping[str, float],
) -> Trials:
    """A call of every function whose dims can be chosen.

    Args:
        interface: the functions.
        graphs: what they compute, by function.
        stored: by function, the stored name of each parameter of its graph.
        values: the stored values at export; those of a test are of the same kind.
        scalars: values of inputs without axes, by name.
    """
    state = {s.name: _like(number, values[s.name]) for number, s in enumerate(interface.stored)}
    before = {s.name: _made(state[s.name], s, {}) for s in interface.stored}
    calls: dict[str, Trial] = {}
    for function in interface.functions:
        dims = _dims(function)
        if dims is not None:
            graph, names = graphs[function.name], stored[function.name]
            calls[function.name] = _trial(function, graph, names, dims, before, scalars)
    return Trials(state, calls)


def _trial(
    function: Function,
    graph: Graph,
    names: Mapping[str, str],
    dims: Mapping[str, int],
    before: Mapping[str, NDArray],
    scalars: Mapping[str, float],
) -> Trial:
    made: dict[str, Made] = {}
    arrays: dict[str, NDArray] = {}
    for number, node in enumerate(graph.node(v) for v in graph.inputs):
        port = Port(node.name, node.types[0].dtype, node.types[0].shape)
        made[port.name] = _input(number, port, scalars)
        arrays[port.name] = _made(made[port.name], port, dims)
    old = {key: before[name] for key, name in names.items()}
    nudged = {key: _nudged(array) for key, array in arrays.items()}
    with np.errstate(all="ignore"):
        results, others = (interpret(graph, inputs, old, dims) for inputs in (arrays, nudged))
    updates = {
        names[str(o.updates)]: results[o.name]
        for o in graph.outputs
        if o.updates is not None and _is_firm(results[o.name], others[o.name], before[names[str(o.updates)]])
    }
    outputs = {
        port.name: results[port.name]
        for port in function.outputs
        if _is_firm(results[port.name], others[port.name], np.zeros_like(results[port.name]))
    }
    return Trial(dims, {port.name: made[port.name] for port in function.inputs}, outputs, updates)


def _nudged(array: NDArray) -> NDArray:
    """The numbers, each by a few units of its last place larger or smaller."""
    if not np.issubdtype(array.dtype, np.floating):
        return array
    signs = np.where(np.arange(array.size).reshape(array.shape) % 2, _NUDGE, -_NUDGE)
    nudged: NDArray = (array * (1 + signs * np.finfo(array.dtype).eps)).astype(array.dtype)
    return nudged


def _is_firm(one: NDArray, other: NDArray, old: NDArray) -> bool:
    """Whether two results of one computation are as far from what was there before."""
    first, second, before = (x.astype(np.float64) for x in (one, other, old))
    if not np.isfinite(first).all() or not np.isfinite(second).all():
        return False
    rounding = np.finfo(np.float32).eps * (np.abs(first).sum() + np.abs(before).sum())
    return bool(np.abs(first - second).sum() <= FIRM * np.abs(first - before).sum() + rounding)


def _input(number: int, port: Port, scalars: Mapping[str, float]) -> Made:
    if not port.shape and port.dtype.is_float:
        value = scalars.get(port.name, _SCALAR)
        return Made(number, value, value)
    return (
        Made(1000 + number, -1.0, 1.0) if port.dtype.is_float else Made(1000 + number, 0.0, 2.0 if port.shape else 1.0)
    )


def _like(number: int, value: NDArray) -> Made:
    """Numbers like those of an array: within its range, not far from its mean; whole numbers are all the same."""
    numbers = value.astype(np.float64)
    if not numbers.size or not np.isfinite(numbers).all():
        return Made(number, 0.0, 0.0)
    least, most = float(numbers.min()), float(numbers.max())
    if not np.issubdtype(value.dtype, np.integer) and value.dtype != np.bool_:
        mean, deviation = float(numbers.mean()), float(numbers.std())
        return Made(number, max(least, mean - deviation), min(most, mean + deviation))
    whole = float(np.clip(least, -_WHOLE, _WHOLE))
    return Made(number, whole, whole)


def _made(made: Made, what: Port | Stored, dims: Mapping[str, int]) -> NDArray:
    return filled([evaluate(size, dims) for size in what.shape], what.dtype, made.seed, made.low, made.high)


def _dims(function: Function) -> dict[str, int] | None:
    """The same size for all dims with which all requirements hold; None where there is none."""
    for size in _SIZES:
        dims = dict.fromkeys(function.dims, size)
        if _fits(function, dims):
            return dims
    return None


def _fits(function: Function, dims: Mapping[str, int]) -> bool:
    try:
        for requirement in function.requirements:
            requirement.check(dims)
    except DimError:
        return False
    return True
