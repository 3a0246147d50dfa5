"""From the arrays of a batch to the arguments of a program: which array goes to which input."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from sigmagraph.data.dataset import Batch
from sigmagraph.errors import InputError
from sigmagraph.program import CompiledFunction

NDArray = np.ndarray[Any, Any]


def feed(
    batch: Batch, records: Sequence[str], targets: Sequence[str], columns: Collection[str] = ()
) -> dict[str, NDArray]:
    """The arrays of a batch by the names of a program's inputs.

    Args:
        batch: inputs and targets, each one array or several by name. One array of inputs goes to the one input, one
            array of targets to all targets.
        records: names of the inputs that records are handed in by.
        targets: names of the inputs that targets are handed in by.
        columns: those of them that take ``[batch, 1]``; targets ``[batch]`` mean the same.

    Raises:
        InputError: an array is missing, or nothing takes it.
    """
    if not isinstance(batch.inputs, Mapping) and len(records) != 1:
        raise InputError(
            "the network has several inputs and the dataset one array of them",
            expected=f"a dict with {', '.join(records) or 'nothing'}",
            got="an array",
        )
    wanted = _named(batch.targets, targets, "targets")
    for name in columns:
        if np.ndim(wanted[name]) == 1:
            wanted[name] = wanted[name][:, None]
    return _named(batch.inputs, records, "inputs") | wanted


def columns_of(program: CompiledFunction, targets: Collection[str]) -> tuple[str, ...]:
    """Those of a program's targets that have one number for each record, in a column."""
    return tuple(p.name for p in program.plan.inputs if p.name in targets and p.shape[1:] == (1,))


def rows(batch: Batch) -> int:
    """How many records a batch has."""
    first = next(iter(batch.inputs.values())) if isinstance(batch.inputs, Mapping) else batch.inputs
    return len(first)


def _named(arrays: Any, names: Sequence[str], what: str) -> dict[str, NDArray]:
    if not isinstance(arrays, Mapping):
        return dict.fromkeys(names, arrays)
    if set(arrays) != set(names):
        raise InputError(
            f"the {what} of the dataset are not those of the network",
            expected=", ".join(names) or "none",
            got=", ".join(arrays) or "none",
        )
    return dict(arrays)
