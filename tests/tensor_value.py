"""What a tensor is worth: its graph run by the interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor

Program = tuple[Graph, dict[str, Variable]]


def run(program: Program, inputs: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The outputs of a captured graph by name; new values of parameters are written to their variables."""
    graph, variables = program
    results = interpret(graph, inputs, {name: variable.value for name, variable in variables.items()})
    for output in graph.outputs:
        if output.updates is not None:
            variables[output.updates].assign(results.pop(output.name))
    return results


def value(tensor: Tensor, inputs: Mapping[Tensor, Any] | None = None) -> np.ndarray[Any, Any]:
    """The value of a tensor for arrays in place of placeholders."""
    inputs = inputs or {}
    return run(capture(list(inputs), {"out": tensor}), {t.name: a for t, a in inputs.items()})["out"]
