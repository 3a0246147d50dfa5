"""Finds where a training step went astray: the first node that made NaN or infinity of finite numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.errors import NotFiniteError, TrainingStateError
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import OpKind
from sigmagraph.program import CompiledFunction
from sigmagraph.runtime.state import Variable
from sigmagraph.training.operators.crew import Crew, Outcome

NDArray: TypeAlias = "np.ndarray[Any, Any]"


class FiniteCheck:
    """Looks at what every iteration makes; where it is not finite, values are put back, and the node is found.

    Everything that an iteration may change is copied before it, which takes time and memory: it is for finding faults.

    Args:
        crew: one worker.

    Raises:
        TrainingStateError: there are several.
    """

    def __init__(self, crew: Crew) -> None:
        if crew.size > 1:
            raise TrainingStateError("steps of several workers cannot be looked into", expected="operator='cpu'")
        self._crew = crew
        self._before: dict[str, NDArray] = {}

    def remember(self) -> None:
        """Keep all values as they are before an iteration."""
        self._before = {name: variable.read().copy() for name, variable in self._variables().items()}

    def check(self, batches: Sequence[Any], outcome: Outcome) -> None:
        """Look at the results.

        Raises:
            NotFiniteError: a number is not finite; parameters, optimiser and random numbers are as before.
        """
        variables = self._variables()
        if _is_finite(outcome.values["cost"]) and all(_is_finite(v.read()) for v in variables.values()):
            return
        for name, array in self._before.items():
            variables[name].assign(array)
        program, arrays = self._crew.call(batches[0])
        raise find(program, arrays, self._before)

    def _variables(self) -> dict[str, Variable]:
        memory = {name: parameter.variable for name, parameter in self._crew.memory.items()}
        return {**self._crew.task.network.variables, **memory}


def find(program: CompiledFunction, inputs: Mapping[str, Any], parameters: Mapping[str, NDArray]) -> NotFiniteError:
    """The error that says which node of a program is the first to make NaN, or else infinity, of finite numbers.

    The graph is interpreted with NumPy, node by node.

    Args:
        program: what was run.
        inputs: its inputs, by name.
        parameters: values of its parameters, by name, and perhaps of others.
    """
    found: dict[str, NotFiniteError] = {}

    def watch(node: Node, operands: Sequence[NDArray], results: Sequence[NDArray]) -> None:
        for what, made in (("NaN", np.isnan), ("infinity", np.isinf)):
            guilty = what not in found and node.op.kind is not OpKind.SOURCE
            if guilty and any(_any(made, r) for r in results) and not any(_any(made, o) for o in operands):
                found[what] = _blame(node, operands, results, what)

    graph = program.graph
    names = [graph.node(value).name for value in graph.params]
    with np.errstate(all="ignore"):
        interpret(graph, inputs, {name: parameters[name] for name in names}, watch=watch)
    # Infinities may be meant, as where a mask leaves positions out; NaN never is.
    return found.get("NaN") or found.get("infinity") or _unexplained()


def _blame(node: Node, operands: Sequence[NDArray], results: Sequence[NDArray], what: str) -> NotFiniteError:
    ranges = ", ".join(_range(operand) for operand in operands)
    bad = sum(int(np.count_nonzero(~np.isfinite(r))) for r in results if r.dtype.kind not in "biu")
    total = sum(r.size for r in results)
    return NotFiniteError(
        f"'{node.op.name}' makes {what} of finite numbers",
        expected="finite numbers",
        got=f"{bad} of {total} elements, from operands {ranges}",
        node=f"{node.op.name} : {', '.join(map(str, node.types))}",
        location=node.location or None,
        hint="parameters and optimiser are as they were before the iteration",
    )


def _unexplained() -> NotFiniteError:
    return NotFiniteError(
        "a number of the training step is not finite, and in NumPy all are",
        hint="a sum that overflows in one order may not in another",
    )


def _range(array: NDArray) -> str:
    if not array.size or array.dtype.kind not in "fiu":
        return f"{array.dtype}{list(array.shape)}"
    wide = array.astype(np.float64)
    return f"{array.dtype}{list(array.shape)} in [{wide.min():.3g}, {wide.max():.3g}]"


def _any(made: np.ufunc, array: NDArray) -> bool:
    return array.dtype.kind not in "biu" and bool(made(array).any())


def _is_finite(array: NDArray) -> bool:
    return array.dtype.kind in "biu" or bool(np.isfinite(array).all())
