"""Programs for GPUs on the CUDA shim: compiled as for a device, the very text being executed on the processor."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from cuda_shim import HostDriver, HostImage, HostMemory, build

from sigmagraph.codegen.backend import Backend, Code
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.compile import Compiled, Resources, compile_text, compiler_name
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.codegen.cuda.relief import SET_ASIDE, compile_with_room
from sigmagraph.dims import evaluate
from sigmagraph.driver import build as build_program
from sigmagraph.errors import CompileError
from sigmagraph.execution import BroughtTarget, Kept, Make, assembled, on_device
from sigmagraph.ir.bind import bind_dims
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.launch import RUNNING, DeviceCode, Grid, Launches
from sigmagraph.ir.plan import Plan, Program
from sigmagraph.options import CompileOptions, Target
from sigmagraph.runtime.accelerator import _functions
from sigmagraph.runtime.arrays import as_input
from sigmagraph.runtime.device_plan import Call, Unrolling, flow_words
from sigmagraph.runtime.mirrors import Device
from sigmagraph.runtime.runner import Runner
from sigmagraph.runtime.state import Variable

ARCH = "sm_80"


def _compiler() -> str:
    try:
        return compiler_name()
    except CompileError:
        return ""


COMPILER = _compiler()  # of CUDA C on this machine; empty where there is none


MOST = 255  # registers that a thread can have


def assert_in_registers(text: str, arch: str, known: Mapping[str, int] = MappingProxyType({})) -> Sequence[Resources]:
    """Assert that kernels keep in registers what is their threads': nothing is spilled, and nothing lies on the stack.

    But for a word or two, which ptxas sets aside by itself, though registers are left, where more blocks fit then; and for
    what is known of kernels whose symbols have some part: bytes. What all take comes back.
    """
    resources = compile_with_room(text, lambda text: compile_text(text, arch))[1].resources
    found = {r.symbol: (r.registers, r.spill_stores, r.stack) for r in resources}
    most = {symbol: max((b for part, b in known.items() if part in symbol), default=SET_ASIDE) for symbol in found}
    beyond = {symbol: f for symbol, f in found.items() if max(f[1:]) > most[symbol] or f[0] == MOST}
    assert beyond == {}, beyond
    return resources


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
    graph: Graph,
    variables: Mapping[str, Variable],
    options: CompileOptions,
    driver: HostDriver | None = None,
    arch: str = ARCH,
) -> Runner:
    """The program of a captured graph, on a device that is the shim."""
    options = replace(options, target=Target("cuda", cpu=arch))
    program, code = build_program(graph, options, ShimBackend(options.target, options.precision))
    device = Device(driver or HostDriver(seed=1, arch=arch))
    return assembled(program, variables, lambda _: on_device(code.object, device))


def run_on_shim(graph: Graph, inputs: Mapping[str, NDArray], options: CompileOptions) -> Mapping[str, NDArray]:
    """What a graph without parameters gives on the shim."""
    runner = on_shim(graph, {}, options)
    return runner.run([inputs[port.name] for port in runner.plan.inputs])


class Together:
    """Programs whose kernels are one text, which is compiled once: for each of them that would take far longer.

    Functions are called after the number of their program: ``p3_sum_1`` is the function ``sum_1`` of the fourth one.

    Args:
        arch: the architecture that they are scheduled for.
    """

    def __init__(self, arch: str = ARCH) -> None:
        self.arch = arch
        self._programs: list[Program] = []
        self._codes: list[DeviceCode] = []
        self._texts: list[str] = []
        self._image: HostImage | None = None

    def add(self, graph: Graph, options: CompileOptions) -> int:
        """The number of a further program."""
        options = replace(options, target=Target("cuda", cpu=self.arch))
        program, _ = build_program(graph, options, _Shared(options, self))
        self._programs.append(program)
        return len(self._programs) - 1

    def enter(self, texts: Mapping[str, str], plans: Mapping[str, Launches]) -> None:
        """Take the kernels of a program; :class:`_Part` calls this."""
        prefix, symbols = f"p{len(self._programs)}_", [g.symbol for p in plans.values() for g in _grids(p)]
        inner = [name for text in texts.values() for name in re.findall(r"^SG_INLINE void (\w+)\(", text, re.MULTILINE)]
        names = "|".join(map(re.escape, {**dict.fromkeys([*symbols, *inner]), **texts}))
        called = re.compile(rf"(?<![\w.])(?=(?:{names})\s*\()")
        self._texts.append("\n".join(called.sub(prefix, text) for text in texts.values()))
        self._codes.append(DeviceCode(self.arch, {name: _renamed(plan, prefix) for name, plan in plans.items()}, b""))

    def text_of(self, number: int) -> str:
        """The kernels of one program."""
        return self._texts[number]

    def altered(self, number: int, text: str) -> int:
        """The number of a copy of a program, with other text in the place of what :meth:`text_of` gives."""
        old, new = f"p{number}_", f"p{len(self._programs)}_"
        self._programs.append(self._programs[number])
        self._texts.append(re.sub(rf"\b{old}", new, text))
        plans = {name: _renamed(plan, new, old) for name, plan in self._codes[number].plans.items()}
        self._codes.append(replace(self._codes[number], plans=plans))
        return len(self._programs) - 1

    def text(self) -> str:
        """The text of all programs."""
        return "\n".join([Generation(self.arch, _for_host).text(), *self._texts])

    def build(self) -> HostImage:
        """The text as a library of the shim."""
        if self._image is None:
            self._image = HostImage(build(self.text()))
        return self._image

    def grids(self) -> list[Grid]:
        """All functions of the text that programs launch."""
        return [grid for code in self._codes for launches in code.plans.values() for grid in _grids(launches)]

    def run(
        self, number: int, inputs: Mapping[str, NDArray], driver: HostDriver | None = None
    ) -> Mapping[str, NDArray]:
        """What a program without parameters gives on the shim.

        Not as the executor has it: each value lies in memory of its own, so that nothing can be written behind its end.
        """
        program, launches = self._programs[number].main, self._codes[number].plans[self._programs[number].main.name]
        assert self._programs[number].ahead is None
        assert not program.params
        return _run_apart(program, launches, self.build(), inputs, driver or HostDriver(seed=1, arch=ARCH))


def _run_apart(
    plan: Plan, launches: Launches, image: HostImage, inputs: Mapping[str, NDArray], driver: HostDriver
) -> Mapping[str, NDArray]:
    arrays = [as_input(inputs[port.name], port) for port in plan.inputs]
    dims = bind_dims(plan.inputs, arrays)
    kept: list[HostMemory] = []

    def memory(size: int, what: str, contents: NDArray | None = None) -> int:
        kept.append(driver.allocate(max(size, 1), what))
        if contents is not None and size:
            driver.upload(kept[-1].address, contents)
        return kept[-1].address

    results = {p.name: np.empty([evaluate(size, dims) for size in p.shape], p.dtype.numpy) for p in plan.outputs}
    flow = np.zeros(flow_words(plan), np.int32)
    flow[RUNNING] = 1
    flow_at = memory(flow.nbytes, "the flow", flow)
    bases = {
        "slot": [memory(evaluate(size, dims), f"slot {i}") for i, size in enumerate(plan.slots)],
        "input": [memory(a.nbytes, f"input '{p.name}'", a) for p, a in zip(plan.inputs, arrays, strict=True)],
        "output": [memory(a.nbytes, f"output '{name}'") for name, a in results.items()],
        "constant": [memory(len(c), "a constant", np.frombuffer(c, np.uint8)) for c in launches.constants],
        "param": [],
    }
    functions = _functions(image, launches)
    for action in Unrolling(plan, launches, dims, bases, flow_at).run():
        if isinstance(action, Call):
            driver.launch(functions[action.symbol], action.blocks, action.arguments)
        else:
            driver.copy(action.target, action.source, action.size)
    parts = [(array, at) for array, at in zip(results.values(), bases["output"], strict=True) if array.size]
    driver.download([*parts, (flow, flow_at)])
    assert not flow[0], plan.checks[flow[0] - 1]
    return results


class _Shared(CudaBackend):
    """The target as it is, but texts are kept for later."""

    def __init__(self, options: CompileOptions, together: Together) -> None:
        super().__init__(options.target, options.precision)
        self._together = together

    def generation(self, listing: bool) -> Generation:
        return _Part(self.arch, self._together)


class _Part(Generation):
    """The text of one program among several."""

    def __init__(self, arch: str, together: Together) -> None:
        super().__init__(arch, _for_host)
        self._together = together

    def finish(self) -> Code:
        self._together.enter(self._texts, self._plans)
        return Code(b"", {})


def _grids(launches: Launches) -> list[Grid]:
    return [grid for found in launches.grids.values() for grid in found]


def _renamed(launches: Launches, new: str, old: str = "") -> Launches:
    """The launches of functions with another prefix."""
    grids = {
        kernel: tuple(replace(grid, symbol=new + grid.symbol.removeprefix(old)) for grid in found)
        for kernel, found in launches.grids.items()
    }
    return replace(launches, grids=grids)
