"""Runs a compiled program: binds shapes once, has arrays compared and passed on by native code, and counts."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from sigmagraph.dims import evaluate
from sigmagraph.errors import IndexRangeError
from sigmagraph.ir.bind import bind_dims
from sigmagraph.ir.plan import Plan, Port
from sigmagraph.runtime.arrays import as_input
from sigmagraph.runtime.frame import IS_KNOWN, WELL_BEHAVED, CallerCode, Frame
from sigmagraph.runtime.preparation import Preparation
from sigmagraph.runtime.profile import counters
from sigmagraph.runtime.recycle import LARGE, Blocks
from sigmagraph.runtime.runner import Run
from sigmagraph.runtime.state import ALIGNMENT, Variable, address_of, aligned_bytes, newer_values
from sigmagraph.runtime.threads import Pool

NDArray = np.ndarray[Any, Any]
_Shapes = tuple[tuple[int, ...], ...]
_SHAPE = attrgetter("shape")
_BINDINGS = 256  # different combinations of input shapes that are remembered

_ENTRY = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


@dataclass(frozen=True, slots=True)
class Binding:
    """A program at one combination of input shapes."""

    dims: Mapping[str, int]
    table: ctypes.Array[ctypes.c_int64]
    table_at: int
    arena_bytes: int
    outputs: tuple[tuple[tuple[int, ...], np.dtype[Any], int], ...]  # the last is 0 for small ones, else bytes


class Executor:
    """A program that can be called.

    Args:
        plan: what it is.
        entry: address of its entry point.
        variables: its parameters, in the plan's order.
        pool: threads to run on, or None.
        keep: whatever must live as long as the program, such as the loaded code.
        caller: calls the entry point with what is as it was at the last call.
        preparation: what is to be done ahead of calls.
    """

    def __init__(
        self,
        plan: Plan,
        entry: int,
        variables: Sequence[Variable],
        pool: Pool | None,
        keep: object = None,
        caller: CallerCode | None = None,
        preparation: Preparation | None = None,
    ) -> None:
        self.plan = plan
        self.variables = tuple(variables)
        self.pool = pool
        self._counters = counters()
        self._keep = keep
        self._entry = _ENTRY(entry)
        self.preparation = preparation
        self._updated = tuple(v for v in self.variables if v.name in plan.updates)
        self._params = (ctypes.c_void_p * len(self.variables))(*(v.address for v in self.variables))
        self._state = state_ranges(self.variables)
        self._inputs = (ctypes.c_void_p * len(plan.inputs))()
        self._outputs = (ctypes.c_void_p * len(plan.outputs))()
        self._params_at, self._inputs_at, self._outputs_at = map(
            ctypes.addressof, (self._params, self._inputs, self._outputs)
        )
        self._dtypes = tuple(port.dtype.numpy for port in plan.inputs)
        self._bindings: dict[_Shapes, Binding] = {}
        self._blocks = Blocks(len(plan.outputs))
        self._arena = aligned_bytes(0)
        self._arena_at = 0
        self._lock = threading.Lock()
        self._frame: Frame | None = None
        if caller is not None and IS_KNOWN:
            self._frame = Frame(caller, entry, self._params_at, self._inputs, self._outputs, self._state)
        self._last: Binding | None = None  # what the frame expects
        self._pool_at = 0
        self._names = tuple(port.name for port in plan.outputs)
        self._newer = newer_values()
        self._settled = self._newer.count  # taking their addresses has settled all variables

    def run(self, arrays: list[Any]) -> dict[str, NDArray]:
        """Run the program on arrays in the order of its inputs; fresh arrays come out.

        Raises:
            InputError: an array has another dtype or shape than the input takes.
            DimError: two arrays disagree about a dim, or a dim breaks a requirement.
            IndexRangeError: an index in an array is out of range; parameters are as they were.
        """
        with self._lock:
            if self._newer.count != self._settled:
                self._settle()
            results = self._run_again(arrays)
        return self._run_any(arrays) if results is None else results

    def begin(self, arrays: list[Any]) -> Run:
        """Run the program; there is nobody else who could."""
        return Run(self.run(arrays))

    def upload(self, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        """Inputs are where they are needed."""
        return arrays

    def _run_again(self, arrays: list[Any]) -> dict[str, NDArray] | None:
        """Run it on arrays like those of the last call; None if they are not."""
        frame, binding = self._frame, self._last
        if frame is None or binding is None:
            return None
        if self.preparation is not None:
            self.preparation.refresh()
        if self.pool is not None and self.pool.address != self._pool_at:
            self._pool_at = frame.fields.pool = self.pool.address
        results = self._results(binding)
        status = frame.call(frame.address, arrays, results)
        if status < 0:
            return None
        self._finish(status)
        return dict(zip(self._names, results))  # noqa: B905  # strict costs a microsecond's tenth

    def _settle(self) -> None:
        """Have the values here that programs on devices have written."""
        self._settled = self._newer.count
        for variable in self.variables:
            variable.settle()

    def _results(self, binding: Binding) -> list[NDArray]:
        return [
            self._blocks.array(shape, dtype, size) if size else np.empty(shape, dtype)
            for shape, dtype, size in binding.outputs
        ]

    def _finish(self, status: int) -> None:
        """Count a call."""
        for variable in self._updated:
            variable.version += 1
        self._counters.runs += 1
        if status:
            raise IndexRangeError(self.plan.checks[status - 1], hint="the parameters are as they were")

    def _run_any(self, arrays: Sequence[Any]) -> dict[str, NDArray]:
        """Run it on arrays that may have to be converted, of shapes that may be new."""
        ready = [
            a
            if type(a) is np.ndarray and a.dtype is d and a.flags.num & WELL_BEHAVED == WELL_BEHAVED
            else as_input(a, p)
            for a, d, p in zip(arrays, self._dtypes, self.plan.inputs, strict=True)
        ]
        shapes = tuple(map(_SHAPE, ready))
        binding = self._bindings.get(shapes) or self._bind(shapes, ready)
        with self._lock:
            if self.preparation is not None:
                self.preparation.refresh()
            results = self._results(binding)
            for number, array in enumerate(ready):
                at = address_of(array)
                if any(low <= at < high for low, high in self._state):
                    # A view of a parameter, perhaps one that is overwritten in this call.
                    ready[number] = array = array.copy()
                    at = address_of(array)
                self._inputs[number] = at
            for number, array in enumerate(results):
                self._outputs[number] = address_of(array)
            if binding.arena_bytes > self._arena.size:
                self._allocate(binding.arena_bytes)
            pool = self.pool.address if self.pool is not None else 0
            status = self._entry(
                self._arena_at, self._params_at, binding.table_at, self._inputs_at, self._outputs_at, pool
            )
            # What has to be converted is not expected again.
            same = all(a is b for a, b in zip(arrays, ready, strict=True))
            self._last = self._expected(binding, ready, pool) if same else None
            self._finish(status)
        return dict(zip(self._names, results, strict=True))

    def _expected(self, binding: Binding, arrays: Sequence[NDArray], pool: int) -> Binding | None:
        """Have the frame expect such a call again."""
        if self._frame is None:
            return None
        self._frame.fields.arena, self._frame.fields.pool = self._arena_at, pool
        self._frame.expect(binding.table_at, arrays)
        self._pool_at = pool
        return binding

    def arena_bytes(self, dims: Mapping[str, int]) -> int:
        """Bytes of the arena for given dims."""
        return evaluate(self.plan.arena_bytes(self.threads), dims)

    @property
    def threads(self) -> int:
        """How many threads take part."""
        return self.pool.threads if self.pool is not None else 1

    def _bind(self, shapes: _Shapes, arrays: Sequence[NDArray]) -> Binding:
        dims = bind_dims(self.plan.inputs, arrays)
        for requirement in self.plan.requirements:
            requirement.check(dims)
        outputs = tuple(_output(port, dims) for port in self.plan.outputs)
        table = (ctypes.c_int64 * len(self.plan.dims))(*(dims[d] for d in self.plan.dims))
        binding = Binding(dims, table, ctypes.addressof(table), self.arena_bytes(dims), outputs)
        if len(self._bindings) >= _BINDINGS:
            self._bindings.clear()
        self._bindings[shapes] = binding
        return binding

    def _allocate(self, size: int) -> None:
        self._arena = aligned_bytes(size)
        self._arena_at = address_of(self._arena)
        counters().arena_allocations += 1


def state_ranges(variables: Sequence[Variable]) -> tuple[tuple[int, int], ...]:
    """Where variables lie: pieces of memory, from the first to behind the last byte."""
    out: list[tuple[int, int]] = []
    for low, high in sorted((v.address, v.address + v.bytes) for v in variables if v.bytes):
        if out and low - out[-1][1] < ALIGNMENT:
            low = out.pop()[0]
        out.append((low, high))
    return tuple(out)


def _output(port: Port, dims: Mapping[str, int]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    shape = tuple(evaluate(size, dims) for size in port.shape)
    size = math.prod(shape) * port.dtype.itemsize
    return shape, port.dtype.numpy, size if size >= LARGE else 0
