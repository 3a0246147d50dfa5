"""Programs for GPUs on the CUDA shim: compiled as for a device, the very text being executed on the processor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cuda_shim import HostDriver, build

from sigmagraph.codegen.backend import Backend
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.compile import Compiled
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.driver import build as build_program
from sigmagraph.execution import BroughtTarget, Kept, Make, assembled, on_device
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.plan import Plan
from sigmagraph.options import CompileOptions, Target
from sigmagraph.runtime.mirrors import Device
from sigmagraph.runtime.runner import Runner
from sigmagraph.runtime.state import Variable

ARCH = "sm_80"


class ShimBackend(CudaBackend):
    """The target as it is, but the text is compiled for the processor."""

    @property
    def key(self) -> str:
        return f"{self.arch} for the shim"

    def generation(self, listing: bool) -> Generation:
        return Generation(self.arch, _for_host, listing)


def _for_host(text: str) -> Compiled:
    return Compiled(os.fsencode(build(text)), "", (), "g++", 0.0)


class ShimExecution:
    """What executes programs on the shim, in place of a GPU.

    Attributes:
        driver: the way to it.
        device: what its programs share.
    """

    def __init__(self, driver: HostDriver | None = None) -> None:
        self.driver = driver or HostDriver(seed=1, arch=ARCH)
        self.device = Device(self.driver)

    @property
    def target(self) -> BroughtTarget:
        """The target for it, to be handed in wherever a target is."""
        return BroughtTarget(kind="cuda", cpu=ARCH, execution=self)

    def backend(self, precision: str) -> Backend:
        return ShimBackend(Target("cuda", cpu=ARCH), precision)

    def check(self) -> None:
        """It is always there."""

    def load(self, code: bytes, plans: Sequence[Plan], kept: Kept) -> Make:
        return on_device(code, self.device)


def on_shim(
    graph: Graph, variables: Mapping[str, Variable], options: CompileOptions, driver: HostDriver | None = None
) -> Runner:
    """The program of a captured graph, on a device that is the shim."""
    options = replace(options, target=Target("cuda", cpu=ARCH))
    program, code = build_program(graph, options, ShimBackend(options.target, options.precision))
    device = Device(driver or HostDriver(seed=1, arch=ARCH))
    return assembled(program, variables, lambda _: on_device(code.object, device))


def run_on_shim(graph: Graph, inputs: Mapping[str, NDArray], options: CompileOptions) -> Mapping[str, NDArray]:
    """What a graph without parameters gives on the shim."""
    runner = on_shim(graph, {}, options)
    return runner.run([inputs[port.name] for port in runner.plan.inputs])
