"""What executes the programs of each kind of target, as a literal table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Protocol, TypeAlias, TypeVar

from sigmagraph.codegen.backend import Backend
from sigmagraph.codegen.llvm.backend import CpuBackend
from sigmagraph.codegen.llvm.caller import CallerLibrary, compile_caller
from sigmagraph.codegen.llvm.pool import PoolLibrary, compile_pool
from sigmagraph.codegen.targets import backend_for
from sigmagraph.dims import evaluate
from sigmagraph.errors import TargetError
from sigmagraph.ir.launch import unpack
from sigmagraph.ir.plan import Plan, Port, Program
from sigmagraph.options import Environment, Target
from sigmagraph.runtime.accelerator import Accelerator
from sigmagraph.runtime.devices import default_threads, has_threads
from sigmagraph.runtime.executor import Executor
from sigmagraph.runtime.mirrors import Device
from sigmagraph.runtime.preparation import Preparation
from sigmagraph.runtime.runner import Runner
from sigmagraph.runtime.state import Variable, place_together
from sigmagraph.runtime.threads import Pool

K = TypeVar("K")
V = TypeVar("V")
Make = Callable[[Plan, Sequence[Variable], "Preparation | None"], Runner]
Kept: TypeAlias = Callable[[str, Callable[[], bytes]], bytes]  # bytes that were made for a key, perhaps long ago


class Execution(Protocol):
    """Where the programs of a target are executed."""

    def backend(self, precision: str) -> Backend:
        """What makes their code in some precision, with what the machine at hand decides about it.

        Raises:
            TargetError: there is no such device whose architecture could be asked for.
        """
        ...

    def check(self) -> None:
        """See whether they can be.

        Raises:
            TargetError: they cannot; the error says what is missing.
        """
        ...

    def load(self, code: bytes, plans: Sequence[Plan], kept: Kept) -> Make:
        """Load the code of a program; what makes something callable of each of its plans."""
        ...


@dataclass(frozen=True, kw_only=True)
class BroughtTarget(Target):
    """A target that brings what executes its programs, where one of its kind would be looked up otherwise.

    It goes wherever targets go, so that everything above can be carried out on a device that no table knows of.

    Attributes:
        execution: what executes them.
    """

    execution: Execution


class CpuExecution:
    """This process, with the target's number of threads."""

    def __init__(self, target: Target, environment: Environment) -> None:
        self._target = target
        self._environment = environment
        self._backend = CpuBackend(target)

    def backend(self, precision: str) -> Backend:  # noqa: ARG002
        """The backend, which looks at the processor itself; processors round nothing."""
        return self._backend

    def check(self) -> None:
        """See whether the code is for this system."""
        if self._backend.foreign:
            raise TargetError("code for this target cannot run here", expected="cpu", got=self._target)

    def load(self, code: bytes, plans: Sequence[Plan], kept: Kept) -> Make:
        """Load the code, and what calls it."""
        library = self._backend.load(code, tuple(plan.name for plan in plans))
        pool = self._pool(kept)
        key = CpuBackend(Target()).key
        caller = _once(_callers(), "", lambda: CallerLibrary(kept(f"caller\n{key}", compile_caller)))

        def make(plan: Plan, variables: Sequence[Variable], preparation: Preparation | None) -> Runner:
            return Executor(plan, library.address(plan.name), variables, pool, library, caller, preparation)

        return make

    def _pool(self, kept: Kept) -> Pool | None:
        """The pool of this process for the number of threads that is wanted; none is needed for one."""
        limit, wanted = self._environment.threads, self._target.threads
        threads = default_threads(limit) if not wanted else min(wanted, limit or wanted)
        if threads == 1:
            return None
        if not has_threads():
            raise TargetError("there are no pools of threads on this system", expected="cpu:1", got=f"cpu:{threads}")
        key = CpuBackend(Target()).key
        return _once(_pools(), threads, lambda: Pool(PoolLibrary(kept(f"pool\n{key}", compile_pool)), threads))


class CudaExecution:
    """A CUDA device."""

    def __init__(self, target: Target, environment: Environment) -> None:
        self._target = target
        self._careful = environment.careful

    def backend(self, precision: str) -> Backend:
        """The backend for the architecture of the device, where the target names none."""
        from sigmagraph.runtime.cuda import cuda_devices

        if self._target.cpu:
            return backend_for(self._target, precision)
        self.check()
        devices = cuda_devices()
        if self._target.device >= len(devices):
            raise TargetError("there is no such CUDA device", expected=f"0 .. {len(devices) - 1}", got=self._target)
        return backend_for(replace(self._target, cpu=devices[self._target.device].arch), precision)

    def check(self) -> None:
        """See whether there is a device."""
        from sigmagraph.runtime.cuda import probe

        found = probe()
        if not found.ok:
            raise TargetError("programs cannot run on a CUDA device here", expected=self._target, got=found.reason)

    def load(self, code: bytes, plans: Sequence[Plan], kept: Kept) -> Make:
        """Load the code onto the device."""
        from sigmagraph.runtime.cuda import open_device

        _ = plans, kept  # all that the programs share is on the device
        number = self._target.device
        return on_device(code, _once(_devices(), number, lambda: Device(open_device(number), self._careful)))


EXECUTIONS: Mapping[str, Callable[[Target, Environment], Execution]] = MappingProxyType(
    {"cpu": CpuExecution, "cuda": CudaExecution}
)


def execution_for(target: Target, environment: Environment) -> Execution:
    """What executes the programs of a target.

    Raises:
        TargetError: there is no such target.
    """
    if isinstance(target, BroughtTarget):
        return target.execution
    if target.kind not in EXECUTIONS:
        raise TargetError("there is no such target", expected=" or ".join(EXECUTIONS), got=target.kind)
    return EXECUTIONS[target.kind](target, environment)


def on_device(code: bytes, device: Device) -> Make:
    """Load the code of a program onto a device.

    Raises:
        FileFormatError: the bytes are not the code of a GPU program.
        DeviceError: the device does not take it.
    """
    parts = unpack(code)
    with device.active() as driver:
        image = driver.load(parts.image)

    def make(plan: Plan, variables: Sequence[Variable], preparation: Preparation | None) -> Runner:
        return Accelerator(plan, parts.plans[plan.name], image, variables, device, preparation)

    return make


def assembled(program: Program, variables: Mapping[str, Variable], load: Callable[[Sequence[Plan]], Make]) -> Runner:
    """The parts of a program with their variables, as one thing that can be called."""
    kept = {port.name: _variable(port) for port in program.kept}
    own = [variables[port.name] for port in program.params]
    place_together([*own, *kept.values()])
    everything = {variable.name: variable for variable in own} | kept
    make = load([plan for plan in (program.main, program.ahead) if plan is not None])

    def runner(plan: Plan, preparation: Preparation | None = None) -> Runner:
        return make(plan, [everything[port.name] for port in plan.params], preparation)

    if program.ahead is None:
        return runner(program.main)
    sources = [everything[port.name] for port in program.ahead.params if port.name not in kept]
    return runner(program.main, Preparation(runner(program.ahead), sources))


def _variable(port: Port) -> Variable:
    """The variable of a parameter that is nobody's but the program's."""
    shape = tuple(evaluate(size, {}) for size in port.shape)
    return Variable(port.name, port.dtype, shape)


def _once(found: dict[K, V], key: K, make: Callable[[], V]) -> V:
    """What belongs to a key, made at the first time."""
    if key not in found:
        found[key] = make()
    return found[key]


@cache
def _callers() -> dict[str, CallerLibrary]:
    """The native call of this process, once it is loaded."""
    return {}


@cache
def _pools() -> dict[int, Pool]:
    """The pools of this process, by their number of threads."""
    return {}


@cache
def _devices() -> dict[int, Device]:
    """The CUDA devices of this process, by their number."""
    return {}
