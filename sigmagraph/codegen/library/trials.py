"""What a library computes to test itself, and the tables of words from which the routines for self-tests do it.

See :mod:`sigmagraph.codegen.llvm.native.selftest` for the routines and for what entries of the tables mean.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.codegen.llvm.native.selftest import NUMBERS
from sigmagraph.dims import evaluate
from sigmagraph.dtypes import DType
from sigmagraph.ir.interface import Function, Interface
from sigmagraph.ir.plan import Port

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_SAMPLES = 32  # that are compared of an array
_ROOM = 64  # what places of arrays are multiples of
_ROUNDING = {DType.F16: 2.0**-11, DType.BF16: 2.0**-8, DType.F32: 2.0**-24, DType.F64: 2.0**-53}


@dataclass(frozen=True, slots=True)
class Made:
    """Numbers made up: between two bounds, by a seed."""

    seed: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One call of a function.

    Attributes:
        dims: at which sizes.
        inputs: what it is handed, by name.
        outputs: what it should give, by name; what is not compared is missing.
        updates: what stored values should become, likewise.
    """

    dims: Mapping[str, int]
    inputs: Mapping[str, Made]
    outputs: Mapping[str, NDArray]
    updates: Mapping[str, NDArray]


@dataclass(frozen=True, slots=True)
class Trials:
    """The calls of a self-test.

    Attributes:
        state: the stored values before each call, by name.
        calls: by function; what cannot be tried is missing.
    """

    state: Mapping[str, Made]
    calls: Mapping[str, Trial]


@dataclass(slots=True)
class Tables:
    """A trial as tables.

    Attributes:
        places: where each input and output lies in the memory of the test, by name.
        end: where what is behind them begins.
        inputs: entries for ``fill_values``, one for each input that is filled.
        outputs: entries for ``all_equal``.
        updates: entries for ``all_moved``.
        wanted: the samples that these two compare with.
    """

    places: dict[str, int]
    end: int
    inputs: list[list[int]] = field(default_factory=list)
    outputs: list[list[int]] = field(default_factory=list)
    updates: list[list[int]] = field(default_factory=list)
    wanted: list[float] = field(default_factory=list)


def state_entries(interface: Interface, trials: Trials) -> list[list[int]]:
    """Entries for ``fill_values``, one for each stored value."""
    return [
        _filling(s.offset, int(np.prod(s.shape, dtype=np.int64)), s.dtype, trials.state[s.name])
        for s in interface.stored
    ]


def trial_tables(
    interface: Interface, function: Function, trial: Trial, start: int, *, scalars: bool = False
) -> Tables:
    """The tables of a function's trial.

    Args:
        interface: has the function.
        function: what is called.
        trial: how.
        start: where its inputs and outputs begin, which lie one behind the other.
        scalars: whether inputs without axes are filled like others.
    """
    places: dict[str, int] = {}
    at = start
    for port in (*function.inputs, *function.outputs):
        places[port.name] = at
        at += max(_ROOM, -(-evaluate(port.bytes, trial.dims) // _ROOM) * _ROOM)
    tables = Tables(places, at)
    for port in function.inputs:
        if port.shape or scalars:
            count = _elements(port, trial)
            tables.inputs.append(_filling(places[port.name], count, port.dtype, trial.inputs[port.name]))
    for port in function.outputs:
        if port.name in trial.outputs:
            entry = _sampled(places[port.name], port.dtype, trial.outputs[port.name], tables.wanted)
            tables.outputs.append(entry)
    stored = {s.name: s for s in interface.stored}
    for key, value in trial.updates.items():
        tables.updates.append(_sampled(stored[key].offset, stored[key].dtype, value, tables.wanted))
    return tables


def _elements(port: Port, trial: Trial) -> int:
    return evaluate(port.bytes, trial.dims) // port.dtype.itemsize


def _filling(place: int, count: int, dtype: DType, made: Made) -> list[int]:
    return [place, count, NUMBERS[dtype], made.seed, _bits(made.low), _bits(made.high)]


def _sampled(place: int, dtype: DType, array: NDArray, wanted: list[float]) -> list[int]:
    """An entry of a table; the samples go to the end of those that are there."""
    flat = array.ravel()
    samples = min(_SAMPLES, flat.size)
    step = flat.size // samples if samples else 1
    at = len(wanted)
    wanted += [float(v) for v in flat[: step * samples : step]]
    return [place, step, samples, NUMBERS[dtype], at, _bits(_ROUNDING.get(dtype, 0.0))]


def _bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def flat_words(entries: Sequence[Sequence[int]]) -> list[int]:
    """All words of entries, one behind the other."""
    return [word for entry in entries for word in entry]
