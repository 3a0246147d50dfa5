"""Runs a compiled program on a device: binds shapes once, and has lists of launches done again and again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.dims import evaluate, names
from sigmagraph.errors import DeviceError, DeviceMemoryError, IndexRangeError
from sigmagraph.ir.bind import bind_dims
from sigmagraph.ir.launch import BRANCH, CHECK, COPY, COPY_THREADS, RUNNING, Launches
from sigmagraph.ir.plan import Check, Plan, flat_steps
from sigmagraph.runtime.arrays import as_input
from sigmagraph.runtime.device_arrays import DeviceArray, Foreign, Results, foreign
from sigmagraph.runtime.device_driver import INT, LONG, POINTER, Driver, Function, Graph, Image, Memory, NDArray
from sigmagraph.runtime.device_plan import Action, Call, Move, Unrolling, check_sizes, flow_words, largest
from sigmagraph.runtime.mirrors import APART, Device
from sigmagraph.runtime.preparation import Preparation
from sigmagraph.runtime.profile import counters
from sigmagraph.runtime.recycle import LARGE, Blocks
from sigmagraph.runtime.state import Variable

_BINDINGS = 64  # different combinations of input shapes that are remembered
_FLOW = POINTER + INT  # what functions of a controlled program take last
_FIXED = (
    (COPY, POINTER + POINTER + LONG, COPY_THREADS),
    (CHECK, POINTER + INT, 1),
    (BRANCH, POINTER + INT + INT, 1),
)
_Output: TypeAlias = "tuple[tuple[int, ...], np.dtype[Any], int]"


@dataclass(slots=True)
class Binding:
    """A program at one combination of input shapes.

    Attributes:
        dims: by name.
        arena_bytes: of the arena.
        inputs, outputs: where they begin behind the arena's first byte.
        size: bytes of all of that.
        results: shape, dtype and bytes of each output.
        actions: what a run does, while the memory lies at ``base``.
        base: an address, or -1.
        graph: the same, captured.
        runs: how often the actions were done, 0, 1 or 2.
    """

    dims: Mapping[str, int]
    arena_bytes: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    size: int
    results: tuple[_Output, ...]
    actions: list[Action] = field(default_factory=list)
    base: int = -1
    graph: Graph | None = None
    runs: int = 0


class Accelerator:
    """A program on a device that can be called (:class:`~sigmagraph.runtime.runner.Runner`).

    Args:
        plan: what it is.
        launches: how its kernels are launched.
        image: the code.
        variables: its parameters, in the plan's order.
        device: where it runs.
        preparation: what is to be done ahead of calls.

    Raises:
        DeviceError: the code lacks a function, or the device cannot run one.
        DeviceMemoryError: there is not enough for parameters and constants.
    """

    threads = 1

    def __init__(
        self,
        plan: Plan,
        launches: Launches,
        image: Image,
        variables: Sequence[Variable],
        device: Device,
        preparation: Preparation | None = None,
    ) -> None:
        self.plan = plan
        self.variables = tuple(variables)
        self.preparation = preparation
        self._launches = launches
        self._device = device
        self._updated = [n for n, v in enumerate(self.variables) if v.name in plan.updates]
        self._checked = any(isinstance(step, Check) for step in flat_steps(plan.steps))
        self._bindings: dict[tuple[tuple[int, ...], ...], Binding] = {}
        self._blocks = Blocks(len(plan.outputs))
        self._results = Results(device, len(plan.outputs))
        self._block: Memory | None = None
        with device.active() as driver:
            self._functions = _functions(image, launches)
            self._mirrors = device.mirrors(self.variables, f"the parameters of '{plan.name}'")
            self._fixed, self._constants, self._flow = self._upload_fixed(driver)

    def _upload_fixed(self, driver: Driver) -> tuple[Memory, list[int], int]:
        """Memory for constants and for the flow, where they lie, and the flow's start right behind the flow."""
        offsets, size = _apart(map(len, self._launches.constants), 0)
        words = flow_words(self.plan)
        memory = driver.allocate(size + 8 * words, f"the constants of '{self.plan.name}'")
        addresses = [memory.address + offset for offset in offsets]
        for address, constant in zip(addresses, self._launches.constants, strict=True):
            driver.upload(address, np.frombuffer(constant, np.uint8))
        start = np.zeros(words, np.int32)
        start[RUNNING] = 1
        flow = memory.address + size
        driver.upload(flow + start.nbytes, start)
        return memory, addresses, flow

    def run(self, arrays: list[Any]) -> dict[str, NDArray]:
        """Run the program on arrays in the order of its inputs; fresh arrays come out.

        Inputs with a CUDA array interface are taken from the device.

        Raises:
            InputError: an array has another dtype or shape than the input takes.
            DimError: two arrays disagree about a dim, a dim breaks a requirement, or a buffer is too large.
            IndexRangeError: an index in an array is out of range; parameters are as they were.
            DeviceMemoryError: the device has not enough memory.
            DeviceError: a kernel failed.
        """
        ready = self._ready(arrays)
        with self._device.active() as driver:
            binding = self._start(driver, ready)
            results = [
                self._blocks.array(shape, dtype, size) if size >= LARGE else np.empty(shape, dtype)
                for shape, dtype, size in binding.results
            ]
            at = [binding.base + offset for offset in binding.outputs]
            self._finish(driver, list(zip(results, at, strict=True)))
        return {port.name: array for port, array in zip(self.plan.outputs, results, strict=True)}

    def run_on_device(self, arrays: list[Any]) -> dict[str, DeviceArray]:
        """Like :meth:`run`, but results stay on the device and come when they are asked for.

        Nothing is waited for, unless the program checks indices: then its end is.
        """
        ready = self._ready(arrays)
        with self._device.active() as driver:
            binding = self._start(driver, ready)
            out = {}
            for port, (shape, dtype, size), offset in zip(
                self.plan.outputs, binding.results, binding.outputs, strict=True
            ):
                out[port.name] = self._results.array(shape, dtype, f"the result '{port.name}' of '{self.plan.name}'")
                if size:
                    driver.copy(out[port.name].address, binding.base + offset, size)
            self._finish(driver, [])
        return out

    def arena_bytes(self, dims: Mapping[str, int]) -> int:
        """Bytes of the arena for given dims."""
        return evaluate(self.plan.arena_bytes(1), dims)

    def _ready(self, arrays: Sequence[Any]) -> list[NDArray | Foreign]:
        return [
            foreign(a, port) if hasattr(a, "__cuda_array_interface__") else as_input(a, port)
            for a, port in zip(arrays, self.plan.inputs, strict=True)
        ]

    def _start(self, driver: Driver, arrays: Sequence[NDArray | Foreign]) -> Binding:
        """Have everything done but the way back."""
        shapes = tuple(array.shape for array in arrays)
        binding = self._bindings.get(shapes) or self._bind(shapes, arrays)
        if self.preparation is not None:
            self.preparation.refresh()
        for mirror, variable in zip(self._mirrors, self.variables, strict=True):
            mirror.refresh(variable)
        block = self._block
        if block is None or block.size < binding.size:
            block = self._block = self._grown(driver, binding)
        if binding.base != block.address:
            self._unroll(binding, block.address)
        for array, offset in zip(arrays, binding.inputs, strict=True):
            _bring(driver, array, block.address + offset)
        self._execute(driver, binding)
        return binding

    def _finish(self, driver: Driver, parts: list[tuple[NDArray, int]]) -> None:
        """Take notice of a run, wait for what has to come to the host, and see how the program ended."""
        for number in self._updated:
            parts += self._mirrors[number].written(self.variables[number])
        counters().runs += 1
        status = np.zeros(1, np.int32)
        if self._checked:
            parts.append((status, self._flow))
        if parts:
            try:
                driver.download(parts)
            except DeviceError as error:
                raise self._failed("in or before this program", error) from error
        if status[0]:
            raise IndexRangeError(self.plan.checks[status[0] - 1], hint="the parameters are as they were")

    def _execute(self, driver: Driver, binding: Binding) -> None:
        """Do the actions: first one by one, so that a kernel that fails is known, then captured."""
        if binding.runs == 0 or self._device.careful:
            self._one_by_one(driver, binding)
            binding.runs = max(binding.runs, 1)
            return
        everything = partial(self._all, driver, binding)
        if binding.runs == 1:
            binding.graph = driver.capture(everything) if binding.actions else None
            binding.runs = 2
        try:
            if binding.graph is not None:
                binding.graph.replay()
            else:
                everything()
        except DeviceError as error:
            raise self._failed("when this program began", error) from error

    def _all(self, driver: Driver, binding: Binding) -> None:
        for action in binding.actions:
            self._do(driver, action)

    def _do(self, driver: Driver, action: Action) -> None:
        if isinstance(action, Call):
            driver.launch(self._functions[action.symbol], action.blocks, action.arguments)
        else:
            driver.copy(action.target, action.source, action.size)

    def _one_by_one(self, driver: Driver, binding: Binding) -> None:
        """Wait after every action. A device that failed takes nothing more, so that it cannot be tried again."""
        try:
            driver.synchronize()
        except DeviceError as error:
            raise self._failed("before this program", error) from error
        for action in binding.actions:
            try:
                self._do(driver, action)
                driver.synchronize()
            except DeviceError as error:
                what = f"in '{action.kernel}'" if isinstance(action, Call) else "in a copy"
                raise self._failed(what, error, f"{binding.dims or ''} {action}") from error

    def _failed(self, where: str, error: DeviceError, what: str = "") -> DeviceError:
        hint = None if what else "with SIGMAGRAPH_CAREFUL=1 each launch is waited for, and the error names it"
        return DeviceError(
            f"the device failed {where}, in program '{self.plan.name}'",
            got=error.message if error.got is None else f"{error.message}: {error.got}",
            node=what.strip() or None,
            hint=hint,
        )

    def _bind(self, shapes: tuple[tuple[int, ...], ...], arrays: Sequence[NDArray | Foreign]) -> Binding:
        plan = self.plan
        dims = bind_dims(plan.inputs, arrays)
        for requirement in plan.requirements:
            requirement.check(dims)
        check_sizes(plan, self._launches, dims)
        results = []
        for port in plan.outputs:
            shape = tuple(evaluate(size, dims) for size in port.shape)
            results.append((shape, port.dtype.numpy, math.prod(shape) * port.dtype.itemsize))
        arena = self.arena_bytes(dims)
        inputs, end = _apart((evaluate(port.bytes, dims) for port in plan.inputs), arena)
        outputs, end = _apart((size for _, _, size in results), end)
        if len(self._bindings) >= _BINDINGS:
            self._bindings.clear()
        binding = Binding(dims, arena, tuple(inputs), tuple(outputs), end, tuple(results))
        self._bindings[shapes] = binding
        return binding

    def _grown(self, driver: Driver, binding: Binding) -> Memory:
        """Memory for a binding, in place of what there was."""
        self._block = None
        for other in self._bindings.values():
            other.base, other.graph, other.actions = -1, None, []
        counters().arena_allocations += 1
        try:
            return driver.allocate(max(binding.size, 1), f"arena, inputs and outputs of '{self.plan.name}'")
        except DeviceMemoryError as error:
            raise self._too_large(binding, error) from error

    def _too_large(self, binding: Binding, error: DeviceMemoryError) -> DeviceMemoryError:
        dims = ", ".join(f"{name}={value}" for name, value in binding.dims.items())
        kernel, size = largest(self.plan, binding.dims)
        ones = dict.fromkeys((n for slot in self.plan.slots for n in names(slot)), 1)
        least = evaluate(self.plan.arena_bytes(1), ones | dict.fromkeys(self.plan.dims, 1))
        return DeviceMemoryError(
            error.message,
            expected=f"{binding.arena_bytes:,} bytes for the arena, {binding.size:,} with inputs and outputs"
            + (f" ({dims})" if dims else ""),
            got=error.got,
            node=f"the largest value is one of '{kernel}': {size:,} bytes",
            hint=(f"with every dim at 1 the arena is {least:,} bytes; " if self.plan.dims else "")
            + "CompileOptions(remat=True) makes it smaller",
        )

    def _unroll(self, binding: Binding, base: int) -> None:
        """Make the list of actions for the place where the memory lies now."""
        bases = {
            "slot": [base + evaluate(offset, binding.dims) for offset in self.plan.offsets()],
            "input": [base + offset for offset in binding.inputs],
            "output": [base + offset for offset in binding.outputs],
            "param": [mirror.address for mirror in self._mirrors],
            "constant": self._constants,
        }
        actions = Unrolling(self.plan, self._launches, binding.dims, bases, self._flow).run()
        if self._launches.controlled:
            size = 4 * flow_words(self.plan)
            actions.insert(0, Move(self._flow, self._flow + size, size))
        binding.actions, binding.base, binding.graph, binding.runs = actions, base, None, 0


def _functions(image: Image, launches: Launches) -> dict[str, Function]:
    """What is launched, by name."""
    last = _FLOW if launches.controlled else ""
    found = {}
    for grid in (g for grids in launches.grids.values() for g in grids):
        signature = POINTER * len(grid.buffers) + INT * len(grid.dims) + last
        found[grid.symbol] = image.function(grid.symbol, signature, grid.threads, grid.shared)
    if launches.controlled:
        for symbol, signature, threads in _FIXED:
            found[symbol] = image.function(symbol, signature + last, threads, 0)
    return found


def _apart(sizes: Iterable[int], start: int) -> tuple[list[int], int]:
    """Where things of these sizes begin that lie behind each other, and the end; all are multiples of APART."""
    offsets = [-(-start // APART) * APART]
    for size in sizes:
        offsets.append(offsets[-1] + -(-size // APART) * APART)
    return offsets[:-1], offsets[-1]


def _bring(driver: Driver, array: NDArray | Foreign, address: int) -> None:
    """Have an input where kernels expect it."""
    if not isinstance(array, Foreign):
        if array.size:
            driver.upload(address, array)
    elif array.size:
        if array.stream not in (0, driver.stream):
            driver.wait_for(array.stream)
        driver.copy(address, array.address, array.size)
