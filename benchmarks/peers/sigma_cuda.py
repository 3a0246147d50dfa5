"""The workloads as programs of sigmagraph on the first CUDA device, with inputs and results that stay there."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from benchmarks.networks import Array
from benchmarks.peers import sigma
from benchmarks.peers.program import Program
from benchmarks.workloads import Operation, Workload
from sigmagraph.codegen.cuda.compile import compiler_name
from sigmagraph.options import HIGHEST, CompileOptions
from sigmagraph.runtime.accelerator import Accelerator
from sigmagraph.runtime.device_arrays import DeviceArray
from sigmagraph.runtime.mirrors import Device

TARGET = "cuda"
SMALL = 4096  # bytes of inputs that come from the host, as those of users do: learning rates and the like
has = sigma.has


def version() -> str:
    """Of the package and of the compiler of CUDA C."""
    return f"{sigma.version().split(',', maxsplit=1)[0]}, {compiler_name()}"


def options_for(workload: Workload) -> CompileOptions:
    """How a workload is compiled: with exact products of float32 where it wants them."""
    exact = isinstance(workload, Operation) and workload.exact
    return CompileOptions(cache=False, precision=HIGHEST if exact else "")


def program(workload: Workload, _threads: int) -> Program:
    """The workload; a step returns at once."""
    made = sigma.compiled_for(TARGET, workload, options_for(workload))
    executor: Any = made.function.executor
    assert isinstance(executor, Accelerator)
    device: Device = executor._device
    names = [port.name for port in made.function.plan.inputs]
    feeds = [{name: placed(device, array) for name, array in feed.items()} for feed in made.feeds]
    taken = itertools.cycle([[feed[name] for name in names] for feed in feeds])
    certain = itertools.cycle([[{**feed, **made.certain}[name] for name in names] for feed in feeds])

    def results() -> list[Array]:
        found: Mapping[str, Any] = executor.run(next(certain))
        return made.results(found)

    def kernels() -> None:
        (binding,) = executor._bindings.values()
        with device.active():
            if binding.graph is not None:
                binding.graph.replay()

    def finish() -> None:
        with device.active() as driver:
            driver.synchronize()

    return Program(
        lambda: executor.run_on_device(next(taken)),
        results,
        made.function.compile_seconds,
        memory=made.memory,
        finish=finish,
        kernels=kernels,
    )


def placed(device: Device, array: Any) -> Any:
    """An array in the memory of the device, unless it is small."""
    if array.nbytes <= SMALL:
        return array
    with device.active() as driver:
        memory = driver.allocate(array.nbytes, "an input")
        driver.upload(memory.address, array)
    return DeviceArray(device, memory, array.shape, array.dtype)
