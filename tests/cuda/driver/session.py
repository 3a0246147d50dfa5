"""Programs through the real PyCUDA, whose driver library is the stand-in; `tests/cuda/test_pycuda_path.py` runs it.

Each argument names a function here; a function that returns has found what it expects.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
from typing import Any

import cuda_shim
import numpy as np
from cuda_programs import ARCH, ShimBackend, ShimExecution

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.codegen.cuda.compile import Compiled
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.data.dataset import Dataset
from sigmagraph.dims import Dim
from sigmagraph.dtypes import DType
from sigmagraph.errors import DeviceError, DeviceMemoryError, HookError, InputError
from sigmagraph.ir.launch import Grid, Launches
from sigmagraph.ir.plan import Launch, Place, Plan, Port
from sigmagraph.options import CompileOptions, Target
from sigmagraph.runtime.accelerator import Accelerator
from sigmagraph.runtime.cuda import CudaDriver, cuda_devices, open_device, probe
from sigmagraph.runtime.mirrors import Device
from sigmagraph.runtime.state import Variable

N = Dim("n")
TEXT = """
extern "C" __global__ void __launch_bounds__(32) accumulate(const float* x, float* w, float* y, int n) {
  const int i = blockIdx.x * 32 + threadIdx.x;
  if (i < n) y[i] = x[i] + w[0];
}
extern "C" __global__ void __launch_bounds__(1) count(float* w) {
  w[0] += 1.0f;
}
extern "C" __global__ void __launch_bounds__(32) wrong(const float* x, float* w, float* y, int n) {
  y[(long long)n * 100000000 + threadIdx.x] = x[0] + w[0];
}
"""


class Session:
    """A device with the code of the text."""

    def __init__(self) -> None:
        cuda_shim._runtime()
        self.driver: CudaDriver = open_device(0)
        self.device = Device(self.driver)
        with self.device.active() as driver:
            self.image = driver.load(cuda_shim.build(TEXT).read_bytes())

    def program(self, symbol: str = "accumulate", shared: int = 0, threads: int = 32) -> Accelerator:
        """y = x + w; w += 1."""
        step = Launch(symbol, (Place("input", 0), Place("param", 0), Place("output", 0)), ("n",))
        plan = Plan(
            "steps",
            ("n",),
            (Port("x", DType.F32, (N,)),),
            (Port("y", DType.F32, (N,)),),
            (Port("w", DType.F32, (1,)),),
            ("w",),
            (),
            0,
            (),
            (),
            (step, Launch("count", (Place("param", 0),), ())),
        )
        grids = {symbol: (Grid(symbol, (N + 31) // 32, threads, shared, (0, 1, 2), ("n",)),)}
        grids["count"] = (Grid("count", 1, 1, 0, (0,), ()),)
        variable = Variable("w", DType.F32, (1,))
        return Accelerator(plan, Launches(grids, (), False), self.image, [variable], self.device)


def run(program: Accelerator, count: int) -> float:
    """One run on zeros, of which all results are equal."""
    out = program.run([np.zeros(count, np.float32)])["y"]
    assert (out == out[0]).all()
    return float(out[0])


def error_of(error: type[Exception], action: Any) -> str:
    """The text of an error that has to come."""
    try:
        action()
    except error as caught:
        return str(caught)
    raise AssertionError(f"no {error.__name__}")


def programs(session: Session) -> None:
    """Direct runs, captured ones, and growing memory; state on the device and on the host."""
    assert [device.arch for device in cuda_devices()] == ["sm_80"]
    program = session.program()
    counts = [20, 20, 20, 20, 1000, 1000, 20, 2_000_000, 20]  # the last but one does not fit one segment of staging
    assert [run(program, count) for count in counts] == list(range(9))
    assert program.variables[0].value[0] == 9
    x = np.arange(3_000_000, dtype=np.float32)
    np.testing.assert_array_equal(program.run([x])["y"], x + 9)


def results_on_the_device(session: Session) -> None:
    """Results go into the next run without leaving the device."""
    program = session.program()
    out = program.run_on_device([np.zeros(5, np.float32)])["y"]
    again = program.run_on_device([out])["y"]
    np.testing.assert_array_equal(np.asarray(again), np.full(5, 1))
    assert again.__dlpack_device__() == (2, 0)
    assert again.__cuda_array_interface__["stream"] == session.driver.stream


def threads_and_forks(session: Session) -> None:
    """Another thread works like the first; the child of a fork gets an error; memory may be dropped anywhere."""
    program = session.program()
    seen: list[float] = []
    worker = threading.Thread(target=lambda: seen.append(run(program, 3)))
    worker.start()
    worker.join()
    assert seen == [0]
    out = [program.run_on_device([np.zeros(3, np.float32)])["y"]]
    worker = threading.Thread(target=out.clear)
    worker.start()
    worker.join()
    program.upload({"x": np.zeros(3, np.float32)})
    assert child_ends(lambda: "fork" in error_of(DeviceError, lambda: run(program, 3)))
    assert run(program, 3) == 2


def child_ends(action: Any) -> bool:
    """Whether an action is true in the child of a fork, which then ends as programs end, with all it has.

    What is given up there, or taken down at its end, must not end it: PyCUDA throws where C++ allows no exception.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        sys.exit(0 if action() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def forks_give_up(session: Session) -> None:
    """The child gives up memory, code, graphs, marks and at last the device itself."""
    programs = [session.program(), session.program()]
    for program in programs * 3:
        program.run([program.upload({"x": np.zeros(3, np.float32)})["x"]])

    def drop() -> bool:
        programs.clear()
        program = session.__dict__
        program.clear()
        return True

    assert child_ends(drop)
    assert run(programs[0], 3) == 3


def batches_ahead(session: Session) -> None:
    """Batches are on their way while runs go on; slots are used again; other streams are waited for on the device."""
    program = session.program()
    slots = set()
    sent = program.upload({"x": np.full(3, 0, np.float32)})["x"]
    for number in range(6):
        going = program.begin([sent])
        slots.add(sent.address)
        sent = program.upload({"x": np.full(3, 10 * (number + 1), np.float32)})["x"]
        np.testing.assert_array_equal(going.result()["y"], np.full(3, 11 * number))
    assert len(slots) == 2
    large = program.upload({"x": np.full(5_000_000, 1, np.float32)})["x"]
    np.testing.assert_array_equal(program.run([large])["y"], np.full(5_000_000, 7))
    error_of(InputError, lambda: program.run([large]))
    out = program.run_on_device([sent])["y"]
    with session.device.active() as driver:
        other = driver.cuda.Stream()
    tensor = out.__dlpack__(stream=int(other.handle))
    del tensor
    foreign = type("Foreign", (), {"__cuda_array_interface__": out.__cuda_array_interface__ | {"stream": other.handle}})
    np.testing.assert_array_equal(program.run([foreign()])["y"], np.full(3, 60 + 7 + 8))


def limits(session: Session) -> None:
    """Shared memory beyond what is usual is asked for; too much, too many threads and unknown functions are refused."""
    assert run(session.program(shared=100_000), 3) == 0
    assert "accumulate" in error_of(DeviceError, lambda: session.program(shared=300_000))
    assert "nothing" in error_of(DeviceError, lambda: session.program("nothing"))
    assert "64 threads" in error_of(DeviceError, lambda: run(session.program(threads=64), 3))
    text = error_of(DeviceMemoryError, lambda: run(session.program(), 1 << 28))
    assert "free of" in text
    assert "n=268435456" in text
    assert run(session.program(), 3) == 0  # an error leaves nothing behind
    with session.device.active() as driver:
        assert "code" in error_of(DeviceError, lambda: driver.load(b"no image"))


def captures(session: Session) -> None:
    """Waits and allocations are not captured; memory that is dropped meanwhile is given back afterwards."""
    with session.device.active() as driver:
        error_of(DeviceError, lambda: driver.capture(driver.synchronize))
        error_of(DeviceError, lambda: driver.capture(lambda: driver.allocate(4, "nothing")))
        held = [driver.allocate(256, "something")]
        free = driver.cuda.mem_get_info()[0]
        driver.capture(held.clear)
        assert driver.cuda.mem_get_info()[0] == free + 256


EXACT = CompileOptions(precision="highest")


class Images(ShimBackend):
    """Makes libraries that the stand-in loads."""

    def generation(self, listing: bool) -> Generation:
        return Generation(
            self.arch, lambda text: Compiled(cuda_shim.build(text).read_bytes(), "", (), "g++", 0.0), listing
        )


class Standing(ShimExecution):
    """What executes programs on the stand-in."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def backend(self, precision: str) -> Images:
        return Images(Target("cuda", cpu=ARCH), precision)


def trains(session: Session) -> None:
    """A trainer learns what it learns on the processor, through a failing hook, in another thread, beside a fork."""
    rng = np.random.default_rng(0)
    data = Dataset(rng.standard_normal((10, 3)).astype(np.float32), rng.integers(0, 2, 10))
    target = Standing(session.device).target

    def trainer(operator: str, **more: Any) -> sg.Trainer:
        network = sg.Network("net", L.Input(3) + L.Dense(2) + L.SoftmaxCrossEntropy(), seed=1)
        return sg.Trainer(network, sg.optimisers.SGD(0.1), data.batches(4), operator=operator, options=EXACT, **more)

    @sg.hooks.hook("1 iteration")
    def fails(now: sg.hooks.Moment) -> None:
        if now.iteration == 2:
            raise ValueError("in a hook")

    here, there = trainer("cpu"), trainer("cuda", target=target)
    there.add(fails)
    here.run(2, lines=False)
    error_of(HookError, lambda: there.run(1, lines=False))
    assert child_ends(lambda: "fork" in error_of(DeviceError, lambda: there.run(1, lines=False)))
    there.start(until=2).result()
    np.testing.assert_allclose([e.cost for e in there.history.epochs], [e.cost for e in here.history.epochs], rtol=2e-5)
    for name, value in here.network.parameters().items():
        np.testing.assert_allclose(there.network.parameters()[name], value, rtol=1e-4, atol=1e-6)


def a_failure(session: Session) -> None:
    """A kernel that fails is named, what follows says that the device is lost, and the process ends well."""
    program = session.program("wrong")
    text = error_of(DeviceError, lambda: run(program, 5))
    assert "in 'wrong', in program 'steps'" in text
    assert "unspecified launch failure" in text
    error_of(DeviceError, lambda: run(program, 5))


def no_context_is_left(session: Session) -> None:
    """After errors, too."""
    error_of(Exception, lambda: session.program().run([np.zeros((2, 2), np.float32)]))
    assert ctypes.CDLL("libcuda.so.1").cuCtxPopCurrent_v2(None) == 201


def no_device(_: None) -> None:
    """A driver without a device."""
    assert not probe().ok
    assert "no device" in probe().reason
    assert cuda_devices() == ()


def main() -> None:
    """Carry out what the arguments name."""
    session = None if sys.argv[1:] == ["no_device"] else Session()
    for name in sys.argv[1:]:
        try:
            globals()[name](session)
        except Exception:
            sys.stderr.write(f"{name} failed\n")
            raise
    atexit.register(sys.stdout.write, "ended well\n")


if __name__ == "__main__":
    main()
