"""Programs on devices, on a stand-in: its memory is the host's, and its kernels are functions in Python."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.dims import Dim
from sigmagraph.dtypes import DType
from sigmagraph.errors import (
    DeviceError,
    DeviceMemoryError,
    DimError,
    IndexRangeError,
    InputError,
    OptionError,
    TargetError,
)
from sigmagraph.execution import assembled, execution_for, on_device
from sigmagraph.ir.launch import DeviceCode, Grid, Launches, pack, unpack
from sigmagraph.ir.plan import Branch, Check, Copy, Launch, Loop, Place, Plan, Port, Program, Requirement
from sigmagraph.options import Environment, Target, as_target
from sigmagraph.runtime import cuda
from sigmagraph.runtime.accelerator import Accelerator
from sigmagraph.runtime.mirrors import Device
from sigmagraph.runtime.state import Renamed, Variable

N = Dim("n")
Kernel = Callable[..., None]


def seen(address: int, count: int, dtype: Any = np.float32) -> np.ndarray:
    """The elements at an address."""
    size = count * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype) if count else np.empty(0, dtype)


@dataclass
class HostMemory:
    array: np.ndarray

    @property
    def address(self) -> int:
        return self.array.ctypes.data + -self.array.ctypes.data % 256

    @property
    def size(self) -> int:
        return self.array.size - 256


@dataclass
class HostFunction:
    symbol: str
    body: Kernel
    signature: str


@dataclass
class HostGraph:
    actions: list[Callable[[], None]]
    replays: int = 0

    def replay(self) -> None:
        self.replays += 1
        for action in self.actions:
            action()


@dataclass
class HostMark:
    host: Host

    def wait(self) -> None:
        self.host._note("wait")


@dataclass
class Host:
    """A device of kernels in Python. What is launched runs at once; errors show at the next wait, as on a device."""

    kernels: dict[str, Kernel]
    limit: int = 1 << 24
    name: str = "stand-in"
    arch: str = "sm_0"
    place: tuple[int, int] = (1, 0)
    stream: int = 0
    log: list[str] = field(default_factory=list)
    graphs: list[HostGraph] = field(default_factory=list)
    depth: int = 0
    broken: str = ""
    capturing: list[Callable[[], None]] | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def _note(self, what: str) -> None:
        assert self.depth, "the device is not at hand"
        assert self.capturing is None, "not while a graph is captured"
        self.log.append(what)

    def allocate(self, size: int, what: str) -> HostMemory:
        self._note("allocate")
        if size > self.limit:
            raise DeviceMemoryError(f"not enough for {what}", got=f"{self.limit} bytes free")
        return HostMemory(np.full(size + 256, 0xFF, np.uint8))

    def load(self, image: bytes) -> Host:
        return self

    def function(self, symbol: str, signature: str, threads: int, shared: int) -> HostFunction:
        return HostFunction(symbol, FIXED.get(symbol) or self.kernels[symbol], signature)

    def upload(self, address: int, array: np.ndarray) -> None:
        self._note("upload")
        seen(address, array.nbytes, np.uint8)[:] = array.reshape(-1).view(np.uint8)

    def download(self, parts: Sequence[tuple[np.ndarray, int]]) -> None:
        self.synchronize()
        self.log[-1] = "download"
        for array, address in parts:
            array.reshape(-1).view(np.uint8)[:] = seen(address, array.nbytes, np.uint8)

    def _do(self, what: str, action: Callable[[], None]) -> None:
        if self.capturing is not None:
            self.capturing.append(action)
            return
        self._note(what)
        action()

    def copy(self, target: int, source: int, size: int) -> None:
        self._do("copy", lambda: ctypes.memmove(target, source, size))

    def fill(self, address: int, size: int, byte: int) -> None:
        self._do("fill", lambda: ctypes.memset(address, byte, size))

    def launch(self, function: HostFunction, blocks: int, arguments: Sequence[int]) -> None:
        assert len(arguments) == len(function.signature)
        assert blocks > 0
        self._do(function.symbol, lambda: self._run(function, arguments))

    def _run(self, function: HostFunction, arguments: Sequence[int]) -> None:
        try:
            function.body(*arguments)
        except ZeroDivisionError:
            self.broken = "illegal address"

    def capture(self, run: Callable[[], None]) -> HostGraph:
        self.capturing = actions = []
        run()
        self.capturing = None
        self.graphs.append(HostGraph(actions))
        return self.graphs[-1]

    def synchronize(self) -> None:
        self._note("synchronize")
        if self.broken:
            raise DeviceError("a kernel failed", got=self.broken)

    def wait_for(self, stream: int) -> None:
        self._note(f"wait_for {stream}")

    def be_waited_for(self, stream: int) -> None:
        self._note(f"be_waited_for {stream}")

    def pinned(self, size: int) -> np.ndarray:
        self._note("pinned")
        return np.full(size, 0xFF, np.uint8)

    def upload_ahead(self, address: int, array: np.ndarray) -> None:
        self._note("upload_ahead")
        seen(address, array.nbytes, np.uint8)[:] = array

    def mark(self, *, ahead: bool = False) -> HostMark:
        self._note(f"mark {2 if ahead else 1}")
        return HostMark(self)

    def follow(self, mark: HostMark, *, ahead: bool = False) -> None:
        self._note(f"follow {2 if ahead else 1}")


def running(flow: int, level: int) -> bool:
    words = seen(flow, level + 1, np.int32)
    return bool(words[0] == 0 and words[level])


def copy(source: int, target: int, size: int, flow: int, level: int) -> None:
    if running(flow, level):
        ctypes.memmove(target, source, size)


def check(condition: int, number: int, flow: int, level: int) -> None:
    if running(flow, level) and not seen(condition, 1, np.uint8)[0]:
        seen(flow, 1, np.int32)[0] = number


def branch(condition: int, then: int, orelse: int, flow: int, level: int) -> None:
    taken, words = bool(seen(condition, 1, np.uint8)[0]), seen(flow, max(then, orelse) + 1, np.int32)
    words[then], words[orelse] = running(flow, level) and taken, running(flow, level) and not taken


FIXED: dict[str, Kernel] = {"sg_copy": copy, "sg_check": check, "sg_branch": branch}


def place(space: str, index: int = 0, offset: Any = 0) -> Place:
    return Place(space, index, offset)


def plan(steps: Sequence[Any], **more: Any) -> Plan:
    parts: dict[str, Any] = {
        "name": "test",
        "dims": ("n",),
        "inputs": (Port("x", DType.F32, (N,)),),
        "outputs": (Port("y", DType.F32, (N,)),),
        "params": (),
        "updates": (),
        "slots": (),
        "scratch": 0,
        "constants": (),
        "requirements": (),
    }
    return Plan(**{**parts, **more}, steps=tuple(steps))


def grid(symbol: str, buffers: int, dims: tuple[str, ...] = ("n",), blocks: Any = 1) -> dict[str, tuple[Grid, ...]]:
    return {symbol: (Grid(symbol, blocks, 32, 0, tuple(range(buffers)), dims),)}


def double(x: int, y: int, n: int) -> None:
    seen(y, n)[:] = 2 * seen(x, n)


def accumulate(x: int, w: int, y: int, n: int) -> None:
    """y = w, w += sum(x)."""
    value = seen(w, 1)
    seen(y, n)[:] = value
    value += seen(x, n).sum()


def doubling(host: Host) -> Accelerator:
    made = plan([Launch("double", (place("input"), place("output")), ("n",))])
    return Accelerator(made, Launches(grid("double", 2, blocks=(N + 31) // 32), (), False), host, (), Device(host))


def counting(device: Device, variable: Variable) -> Accelerator:
    made = plan(
        [Launch("accumulate", (place("input"), place("param"), place("output")), ("n",))],
        params=(Port(variable.name, DType.F32, (1,)),),
        updates=(variable.name,),
    )
    launches = Launches(grid("accumulate", 3), (), False)
    return Accelerator(made, launches, device.driver.load(b""), [variable], device)


def add(program: Accelerator, value: float) -> float:
    return float(program.run([np.array([value], np.float32)])["y"][0])


def test_a_program_is_captured_and_replayed_until_its_memory_moves() -> None:
    host = Host({"double": double})
    program = doubling(host)
    for count in (5, 5, 5, 5, 70, 70, 70, 5):
        x = np.arange(count, dtype=np.float32)
        np.testing.assert_array_equal(program.run([x])["y"], 2 * x)
    assert [g.replays for g in host.graphs] == [3, 2]
    program.run([np.zeros(1000, np.float32)])  # needs more memory
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(program.run([x])["y"], 2 * x)
    assert host.graphs[0].replays == 3
    assert host.log.count("download") == 10
    assert host.depth == 0


def test_no_blocks_are_not_launched() -> None:
    host = Host({"double": double})
    out = doubling(host).run([np.zeros(0, np.float32)])
    assert out["y"].shape == (0,)
    assert "double" not in host.log


def test_wrong_inputs_are_refused() -> None:
    program = doubling(Host({"double": double}))
    with pytest.raises(InputError, match="number of axes"):
        program.run([np.zeros((2, 2), np.float32)])
    with pytest.raises(InputError, match="another kind"):
        program.run([np.zeros(2, complex)])
    strict = plan([], requirements=(Requirement(">=", N, 3, "a window"),))
    host = Host({})
    with pytest.raises(DimError, match="a window"):
        Accelerator(strict, Launches({}, (), False), host, (), Device(host)).run([np.zeros(2, np.float32)])


def test_buffers_that_kernels_cannot_count_are_refused() -> None:
    host = Host({})
    made = plan([Launch("wide", (place("slot"),), ())], slots=(N * (1 << 30) * 4,), outputs=(Port("y", DType.F32, ()),))
    launches = Launches(grid("wide", 1, ()), (), False, (4,))
    host.kernels["wide"] = lambda *_: None
    program = Accelerator(made, launches, host, (), Device(host))
    with pytest.raises(DimError, match="a value of 'wide' may have too many elements"):
        program.run([np.zeros(2, np.float32)])
    huge = plan([], outputs=(Port("big", DType.F32, (N * (1 << 30),)),))
    program = Accelerator(huge, Launches({}, (), False), host, (), Device(host))
    with pytest.raises(DimError, match="the output 'big' has too many elements"):
        program.run([np.zeros(2, np.float32)])


def test_loops_are_unrolled_and_constants_uploaded_once() -> None:
    turn = Dim("%turn0")

    def add_constant(x: int, c: int, y: int) -> None:
        seen(y, 1)[0] = seen(x, 1)[0] + seen(c, 1)[0]

    host = Host({"add": add_constant})
    steps = [
        Copy(place("input"), place("slot"), 4 * N),
        Loop(
            "%turn0",
            N,
            (Launch("add", (place("slot", 0, 4 * turn), place("constant"), place("output", 0, 4 * turn)), ()),),
        ),
    ]
    made = plan(steps, slots=(4 * N,), constants=(4,))
    constant = np.float32(10).tobytes()
    program = Accelerator(made, Launches(grid("add", 3, ()), (constant,), False), host, (), Device(host))
    uploads = host.log.count("upload")
    for _ in range(3):
        np.testing.assert_array_equal(program.run([np.arange(4, dtype=np.float32)])["y"], [10, 11, 12, 13])
    assert host.log.count("upload") - uploads == 3
    assert host.log.count("add") == 4  # captured afterwards


def controlled(host: Host, variable: Variable) -> Accelerator:
    """Adds up if x[0] >= 0, else fails; y = 2x if x[0] >= 1, else a copy of x."""

    def holds(x: int, at_least_0: int, at_least_1: int, flow: int, level: int) -> None:
        seen(at_least_0, 1, np.uint8)[0] = seen(x, 1)[0] >= 0
        seen(at_least_1, 1, np.uint8)[0] = seen(x, 1)[0] >= 1

    def guarded_double(x: int, y: int, n: int, flow: int, level: int) -> None:
        if running(flow, level):
            double(x, y, n)

    def count(w: int, flow: int, level: int) -> None:
        if running(flow, level):
            seen(w, 1)[0] += 1

    host.kernels |= {"holds": holds, "double": guarded_double, "count": count}
    steps = [
        Launch("holds", (place("input"), place("slot", 0), place("slot", 1)), ()),
        Check(place("slot", 0), "x is below 0"),
        Branch(
            place("slot", 1),
            (Launch("double", (place("input"), place("output")), ("n",)),),
            (Copy(place("input"), place("output"), 4 * N),),
        ),
        Launch("count", (place("param"),), ()),
    ]
    made = plan(steps, slots=(1, 1), params=(Port("w", DType.F32, (1,)),), updates=("w",))
    grids = grid("holds", 3, ()) | grid("double", 2) | grid("count", 1, ())
    return Accelerator(made, Launches(grids, (), True), host, [variable], Device(host))


def test_checks_and_branches_are_decided_on_the_device() -> None:
    variable = Variable("w", DType.F32, (1,), np.zeros(1, np.float32))
    program = controlled(Host({}), variable)
    for _ in range(2):
        np.testing.assert_array_equal(program.run([np.array([3, 4], np.float32)])["y"], [6, 8])
        np.testing.assert_array_equal(program.run([np.array([0, 4], np.float32)])["y"], [0, 4])
        for run in (program.run, program.run_on_device):
            with pytest.raises(IndexRangeError, match="x is below 0"):
                run([np.array([-1, 4], np.float32)])
    assert variable.value[0] == 4


def test_state_is_copied_only_where_it_changed() -> None:
    host = Host({"accumulate": accumulate})
    variable = Variable("w", DType.F32, (1,))
    program = counting(Device(host), variable)
    uploads = host.log.count("upload")
    assert [add(program, 1) for _ in range(3)] == [0, 1, 2]
    assert host.log.count("upload") - uploads == 3  # the inputs; the zeros that it begins with are no upload
    assert variable.value[0] == 3  # comes when it is read
    variable.assign(np.full(1, 10, np.float32))
    assert [add(program, 1) for _ in range(2)] == [10, 11]
    variable.assign(np.full(1, 20, np.float32))  # the value on the device is forgotten
    assert variable.value[0] == 20


def test_live_arrays_stay_live() -> None:
    host = Host({"accumulate": accumulate})
    variable = Variable("w", DType.F32, (1,))
    program = counting(Device(host), variable)
    live = variable.value
    add(program, 5)
    assert live[0] == 5
    live[0] = 7
    assert add(program, 1) == 7
    assert live[0] == 8
    live[0] = 3
    del live
    assert add(program, 1) == 3


def test_programs_share_a_mirror_also_by_other_names() -> None:
    host = Host({"accumulate": accumulate})
    device = Device(host)
    variable = Variable("w", DType.F32, (1,))
    programs = counting(device, variable), counting(device, Renamed(variable, "other"))
    allocated = host.log.count("upload")
    assert [add(p, 1) for p in (*programs, *programs)] == [0, 1, 2, 3]
    assert host.log.count("upload") - allocated == 4
    assert Renamed(variable, "third").value[0] == 4


def test_devices_and_the_processor_take_turns_with_a_variable() -> None:
    w = (
        sg.parameter("w", (1,), initialiser=sg.initialisers.Zeros())
        if False
        else sg.parameter("w", np.zeros(1, np.float32))
    )
    x = sg.placeholder("x", (1,))
    cpu = sg.compile([x], {"y": w}, {w: w + x}, name="turns")
    devices = [Device(Host({"accumulate": accumulate})) for _ in range(2)]
    first, second = (counting(device, w.variable) for device in devices)
    one = np.ones(1, np.float32)
    assert [add(first, 1), cpu(one)["y"][0], add(second, 1), add(first, 1), cpu(one)["y"][0]] == [0, 1, 2, 3, 4]
    assert w.variable.value[0] == 5


def test_results_can_stay_on_the_device() -> None:
    host = Host({"double": double})
    program = doubling(host)
    x = np.arange(4, dtype=np.float32)
    out = program.run_on_device([x])["y"]
    other = program.run_on_device([out])["y"]  # goes in from where it is
    assert host.log.count("download") == 0
    np.testing.assert_array_equal(np.asarray(other), 4 * x)
    np.testing.assert_array_equal(out.numpy(), 2 * x)
    shared = np.from_dlpack(out)
    assert shared.ctypes.data == out.address
    np.testing.assert_array_equal(shared, 2 * x)
    assert out.__cuda_array_interface__["typestr"] == "<f4"
    where = out.address
    del out, shared
    del other
    again = program.run_on_device([x])["y"]
    assert again.address == where  # nobody holds it any more
    capsule = again.__dlpack__()
    del capsule  # nobody took it
    np.testing.assert_array_equal(again.numpy(), 2 * x)


def test_arrays_of_others_must_be_what_the_input_takes() -> None:
    host = Host({"double": double})
    program = doubling(host)
    x = np.arange(4, dtype=np.float32)

    class Other:
        def __init__(self, **more: Any) -> None:
            data = {"shape": (4,), "typestr": "<f4", "data": (x.ctypes.data, True), "version": 3, "strides": None}
            self.__cuda_array_interface__ = data | more

    np.testing.assert_array_equal(program.run([Other(stream=7)])["y"], 2 * x)
    assert "wait_for 7" in host.log
    for more, problem in (({"typestr": "<f8"}, "another dtype"), ({"strides": (8,)}, "not contiguous")):
        with pytest.raises(InputError, match=problem):
            program.run([Other(**more)])


def test_a_failing_kernel_is_named() -> None:
    host = Host({"double": lambda x, y, n: 1 // 0})
    program = doubling(host)
    with pytest.raises(DeviceError, match="in 'double', in program 'test'"):
        program.run([np.ones(3, np.float32)])
    with pytest.raises(DeviceError, match=r"before program 'test'(?s:.*)failed in 'double'"):
        program.run([np.ones(3, np.float32)])
    assert host.depth == 0


def test_too_little_memory_says_what_is_too_large() -> None:
    host = Host({"double": double}, limit=1 << 12)
    made = plan([Launch("double", (place("input"), place("slot")), ("n",))], slots=(4 * N,))
    program = Accelerator(made, Launches(grid("double", 2), (), False), host, (), Device(host))
    with pytest.raises(DeviceMemoryError) as caught:
        program.run([np.ones(5000, np.float32)])
    text = str(caught.value)
    assert "arena, inputs and outputs of 'test'" in text
    assert "n=5000" in text
    assert "'double': 20,000 bytes" in text
    assert "with every dim at 1 the smallest plan is 768 bytes, beside 0 for parameters and constants" in text
    program.run([np.ones(5, np.float32)])  # goes on with what fits


def test_what_is_kept_is_computed_again_when_its_source_changed() -> None:
    """A program whose part ahead keeps k = 2 w; y = x + k."""

    def ahead(w: int, k: int) -> None:
        seen(k, 1)[:] = 2 * seen(w, 1)

    def main(x: int, k: int, y: int, n: int) -> None:
        seen(y, n)[:] = seen(x, n) + seen(k, 1)

    host = Host({"ahead": ahead, "main": main})
    w, k = Port("w", DType.F32, (1,)), Port("k", DType.F32, (1,))
    early = plan(
        [Launch("ahead", (place("param", 0), place("param", 1)), ())],
        name="ahead",
        dims=(),
        inputs=(),
        outputs=(),
        params=(w, k),
        updates=("k",),
    )
    late = plan([Launch("main", (place("input"), place("param"), place("output")), ("n",))], params=(k,))
    code = pack(
        DeviceCode(
            "sm_0",
            {
                "ahead": Launches(grid("ahead", 2, ()), (), False),
                "test": Launches(grid("main", 3), (), False),
            },
            b"",
        )
    )
    variable = Variable("w", DType.F32, (1,), np.full(1, 3, np.float32))
    device = Device(host)
    program = assembled(Program(late, early), {"w": variable}, lambda _: on_device(code, device))
    results = [program.run([np.zeros(1, np.float32)])["y"][0] for _ in range(2)]
    variable.assign(np.full(1, 4, np.float32))
    results.append(program.run([np.zeros(1, np.float32)])["y"][0])
    assert results == [6, 6, 8]
    assert program.preparation is not None
    assert program.preparation.kept[0].name == "k"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("cuda", Target("cuda")),
        ("cuda:1", Target("cuda", device=1)),
        ("cuda:sm_90a", Target("cuda", cpu="sm_90a")),
        ("cpu:2", Target(threads=2)),
    ],
)
def test_targets_have_a_text_form(text: str, target: Target) -> None:
    assert as_target(text) == target


def test_code_for_a_device_may_use_what_only_its_architecture_has() -> None:
    assert [cuda.arch_of(*of) for of in ((8, 0), (8, 9), (9, 0), (10, 0))] == ["sm_80", "sm_89", "sm_90a", "sm_100"]


@pytest.mark.parametrize("text", ["cuda:", "cuda:sm80", "cuda:-1", "cuda:sm_", "cpu:0"])
def test_other_texts_are_no_targets(text: str) -> None:
    with pytest.raises(OptionError, match="no target"):
        as_target(text)


@pytest.mark.parametrize(
    ("module", "reason"), [("absent", "PyCUDA is not installed"), ("driverless", "the CUDA driver is not installed")]
)
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, module: str, reason: str) -> None:
    class Finder:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name.partition(".")[0] == "pycuda":
                kind = ModuleNotFoundError if module == "absent" else ImportError
                raise kind("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    monkeypatch.setattr(cuda, "probe", cuda.probe.__wrapped__)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pycuda"]:
        monkeypatch.delitem(sys.modules, name)
    assert reason in cuda.probe().reason
    with pytest.raises(TargetError, match="cannot run on a CUDA device"):
        execution_for(Target("cuda"), Environment()).check()
    with pytest.raises(TargetError, match="cannot run on a CUDA device"):
        sg.compile([], {"y": sg.parameter("w", np.zeros(1)) + 1}, target="cuda")


def test_code_comes_back_from_bytes() -> None:
    launches = Launches(grid("double", 2, blocks=N), (b"abc", b""), True, (4,))
    code = DeviceCode("sm_80", {"main": launches}, b"image")
    assert unpack(pack(code)) == code
    assert Program(plan([]), None).main.name == "test"


def test_what_is_uploaded_ahead_is_taken_once_and_ordered_both_ways() -> None:
    host = Host({"double": double})
    program = doubling(host)
    program.run([np.ones(2, np.float32)])
    slots = []
    for number in range(4):
        del host.log[:]
        x = np.full(2, number)  # has another dtype than the input
        sent = program.upload({"x": x})["x"]
        x[:] = 100
        slots.append(sent.address)
        went = list(host.log)
        del host.log[:]
        run = program.begin([sent])
        assert "download" not in host.log
        assert host.log.index("follow 1") < host.log.index("copy") < host.log.index("mark 1")
        np.testing.assert_array_equal(run.result()["y"], np.full(2, 2.0 * number))
        np.testing.assert_array_equal(run.result()["y"], np.full(2, 2.0 * number))
        again = ["wait", "follow 2"] if number > 1 else ["allocate", "pinned"]
        assert went == [*again, "upload_ahead", "mark 2"]
    assert slots[0] == slots[2] != slots[1] == slots[3]
    with pytest.raises(InputError, match="taken by a run already"):
        program.run([sent])
    del sent  # nobody took it: its slot is free
    dropped = program.upload({"x": np.zeros(2, np.float32)})["x"].address
    assert program.upload({"x": np.zeros(2, np.float32)})["x"].address != dropped
    large = program.upload({"x": np.ones(1000, np.float32)})["x"]
    assert program.run([large])["y"].sum() == 2000
    with pytest.raises(InputError, match="no input 'z'"):
        program.upload({"z": np.zeros(2)})
    with pytest.raises(InputError, match="another kind"):
        program.upload({"x": np.zeros(2, complex)})


def test_a_run_that_begins_waits_for_the_one_before() -> None:
    host = Host({"accumulate": accumulate})
    variable = Variable("w", DType.F32, (1,))
    program = counting(Device(host), variable)
    first = program.begin([np.ones(1, np.float32)])
    second = program.begin([np.ones(1, np.float32)])
    assert float(first.result()["y"][0]) == 0
    assert float(second.result()["y"][0]) == 1
    assert variable.value[0] == 2


def test_reading_a_value_has_nothing_uploaded() -> None:
    host = Host({"accumulate": accumulate})
    variable = Variable("w", DType.F32, (1,))
    program = counting(Device(host), variable)
    add(program, 1)
    del host.log[:]
    seen = variable.read()
    assert seen[0] == 1
    assert not seen.flags.writeable
    add(program, 1)
    assert host.log.count("upload") == 1  # the input
    assert (seen[0], variable.read()[0], Renamed(variable, "x").read()[0]) == (1, 2, 2)
    assert host.log.count("download") == 3  # a value, a result, another value


def test_programs_on_the_processor_fetch_values_when_they_run() -> None:
    w = sg.parameter("w", np.zeros(1, np.float32))
    x = sg.placeholder("x", (1,))
    cpu = sg.compile([x], {"y": w + x}, name="looks")
    host = Host({"accumulate": accumulate})
    program = counting(Device(host), w.variable)
    zero = np.zeros(1, np.float32)
    assert cpu(zero)["y"][0] == 0
    del host.log[:]
    for _ in range(3):
        add(program, 1)
    assert host.log.count("download") == 3  # results, and no values
    assert [float(cpu(zero)["y"][0]) for _ in range(2)] == [3, 3]
    assert host.log.count("download") == 4


def test_errors_that_are_seen_late_list_what_may_have_failed() -> None:
    host = Host({"double": double})
    made = plan([Launch("double", (place("input"), place("output")), ("n",))])
    launches = Launches(grid("double", 2), (), False, nodes={"double": '"a.py":3 "net/fc"'})
    program = Accelerator(made, launches, host, (), Device(host))
    for _ in range(2):
        program.run([np.ones(3, np.float32)])
    host.broken = "illegal address"
    with pytest.raises(DeviceError) as caught:
        program.run([np.ones(3, np.float32)])
    text = str(caught.value)
    for part in ("in or before program 'test'", '\'double\' ("a.py":3 "net/fc")', "SIGMAGRAPH_CAREFUL=1"):
        assert part in text
    host.broken = ""
    host.kernels["double"] = lambda x, y, n: 1 // 0
    program = Accelerator(made, launches, host, (), Device(host, careful=True))
    with pytest.raises(DeviceError, match="in 'double'") as caught:
        program.run([np.ones(3, np.float32)])
    assert caught.value.location == '"a.py":3 "net/fc"'


def test_memory_that_cannot_be_had_is_named_with_its_layer() -> None:
    host = Host({"double": double}, limit=1 << 12)
    made = plan([Launch("double", (place("input"), place("slot")), ("n",))], slots=(4 * N,))
    launches = Launches(grid("double", 2), (), False, nodes={"double": '"net/fc"'})
    with pytest.raises(DeviceMemoryError, match=r"a value of 'double' .\"net/fc\".: 40,000 bytes"):
        Accelerator(made, launches, host, (), Device(host)).run([np.ones(10000, np.float32)])
    wide = [Variable("w", DType.F32, (2000,)), Variable("b", DType.F32, (2,))]
    made = plan([], params=tuple(Port(v.name, v.dtype, v.shape) for v in wide))
    with pytest.raises(DeviceMemoryError, match="the largest of 2 is 'w': 8,000 bytes"):
        Accelerator(made, Launches({}, (), False), host, wide, Device(host))


def test_sizes_that_overflow_in_the_last_block_are_refused() -> None:
    host = Host({})
    made = plan([], outputs=(Port("y", DType.U8, (N * ((1 << 31) - 8),)),))
    with pytest.raises(DimError, match="'y' has too many elements"):
        Accelerator(made, Launches({}, (), False), host, (), Device(host)).run([np.ones(1, np.float32)])
