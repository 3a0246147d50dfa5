"""A kernel that writes where there is no memory, in a process of its own: such an error ends the use of a device."""

from __future__ import annotations

import atexit
import importlib
import sys

import numpy as np

from sigmagraph.codegen.cuda import backend
from sigmagraph.dims import Dim
from sigmagraph.dtypes import DType
from sigmagraph.errors import DeviceError
from sigmagraph.ir.launch import Grid, Launches
from sigmagraph.ir.plan import Launch, Place, Plan, Port
from sigmagraph.runtime.accelerator import Accelerator
from sigmagraph.runtime.cuda import open_device
from sigmagraph.runtime.mirrors import Device

N = Dim("n")
# No buffer is as large as that; with one element everything is as it should be.
TEXT = """
extern "C" __global__ void __launch_bounds__(32) straying(const float* x, float* y, int n) {
  y[(long long)(n - 1) * 100000000000 + threadIdx.x / 32] = x[0];
}
"""
PLAN = Plan(
    "steps",
    ("n",),
    (Port("x", DType.F32, (N,)),),
    (Port("y", DType.F32, (N,)),),
    (),
    (),
    (),
    0,
    (),
    (),
    (Launch("straying", (Place("input", 0), Place("output", 0)), ("n",)),),
)


def told(program: Accelerator, count: int) -> str:
    """The error that a run on so many elements ends with; empty where it does not."""
    try:
        program.run([np.ones(count, np.float32)])
    except DeviceError as error:
        return str(error)
    return ""


def main() -> None:
    """Have it fail, and go on."""
    if "--host-code" in sys.argv:
        importlib.import_module("host_code").pytest_configure()
    device = Device(open_device(0))
    with device.active() as driver:
        image = driver.load(backend.compile_text(TEXT, driver.arch).cubin)
    launches = Launches({"straying": (Grid("straying", 1, 32, 0, (0, 1), ("n",)),)}, (), False)
    program = Accelerator(PLAN, launches, image, [], device)
    assert told(program, 1) == ""
    error = told(program, 5)
    assert "'straying'" in error, error
    assert "'steps'" in error, error
    again = told(program, 1)
    assert again, "the device works on as if nothing had happened"
    atexit.register(sys.stdout.write, f"{error}\n{again}\nended well\n")


if __name__ == "__main__":
    main()
