"""faults.py FOLDER WHAT: what an artifact for GPUs says of a failure. After most of them a process can use no device more.

The process has the stand-in for the driver's library, see test_device_artifacts.py, where the artifact is made. Environment
variables tell the stand-in what is to fail.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from typing import Any

import cuda_shim
import numpy as np
from test_device_artifacts import HIDDEN, LETTER, ODD_NODES

import sigmagraph as sg
from sigmagraph.artifact.loaded import Artifact
from sigmagraph.dims import evaluate
from sigmagraph.errors import DeviceError, DeviceMemoryError

LISTED = 12
X, ONE = np.ones((3, 4), np.float32), np.ones(1, np.float32)


def error_of(artifact: Artifact, name: str, *inputs: Any) -> str:
    """What an error says that has to come."""
    try:
        getattr(artifact, name)(*inputs)
    except DeviceError as error:
        found = error
    else:
        raise AssertionError("no error")
    assert isinstance(found, DeviceMemoryError) == ("out of memory" in str(found))
    return str(found)


def named_at_once(artifact: Artifact) -> None:
    """The first call with a size waits for each kernel; what fails later is put down to the one that failed."""
    os.environ["STAND_IN_FAILS"] = "matmul"
    text = error_of(artifact, "odd", X)
    assert re.search(
        r"device failed in the kernel '\w*matmul\w*' of 'odd' .*failure \(result 719 of the driver\), at ", text
    )
    assert text.endswith(f", at {ODD_NODES}"), text
    text = error_of(artifact, "odd", X)
    assert re.search(r"cannot be copied to the device: .*; before that failed '\w*matmul\w*' of 'odd' \(", text), text
    assert text.endswith(f" ({ODD_NODES})"), text


def found_later(artifact: Artifact) -> None:
    """What fails when everything goes as a whole may be any kernel of it: they are counted, and some of them named."""
    for _ in range(2):
        artifact.many(X, ONE, ONE)
    os.environ["STAND_IN_FAILS"] = "k"
    text = error_of(artifact, "many", X, ONE, ONE)
    begin, listed = re.split(r"it may be one of \d+ kernels that were not waited for: ", text)
    assert begin.endswith("unspecified launch failure (result 719 of the driver); "), text
    count = int(re.findall(r"one of (\d+) kernels", text)[0])
    assert count > LISTED
    kernels = re.findall(r"'k\d+_\w+' of 'many' \(\"test_device_artifacts\.py\":\d+[^)]*\)", listed)
    assert len(set(kernels)) == LISTED
    assert {f'"{n}-{LETTER}"' in listed for n in range(2)} == {True}
    assert listed == ", ".join([*kernels, f"and {count - LISTED} more"]), text


def failed_ahead(artifact: Artifact) -> None:
    """What a call does ahead is not waited for kernel by kernel."""
    assert not artifact._library.call("state_init", artifact._library.place)  # what was done ahead is out of date
    os.environ["STAND_IN_FAILS"] = "tanh"
    text = error_of(artifact, "ahead", X)
    assert "it may be one of 2 kernels that were not waited for: " in text, text
    assert re.search(r"'\w*tanh\w*' of 'ahead' \(\"test_device_artifacts\.py\":\d+", text), text


def refused_later(artifact: Artifact) -> None:
    """Where everything was waited for nothing else may have failed than what the driver names."""
    for _ in range(2):
        artifact.many(X, ONE, ONE)
    os.environ["STAND_IN_REFUSES"] = "matmul"
    text = error_of(artifact, "odd", X)
    assert re.search(
        r"device refuses the kernel '\w*matmul\w*' of 'odd' .*invalid argument \(result 1 of the driver\)", text
    )
    assert text.endswith(f", at {ODD_NODES}"), text


def too_little_memory(artifact: Artifact) -> None:
    """Of a call for which there is too little is said what it needs, and a smaller one works."""
    function = next(f for f in artifact.interface.functions if f.name == "odd")
    x = np.ones((100, 4), np.float32)
    os.environ["STAND_IN_MEMORY"] = "100000"
    text = error_of(artifact, "odd", x)
    room, least = (evaluate(function.arena, {"n": n}) for n in (100, 1))
    assert f"no {room} bytes for the arena, inputs and outputs of 'odd' with n = 100; " in text, text
    assert f"; with every dim at 1 the smallest plan is {least} bytes, beside " in text, text
    assert int(re.findall(r"the arena alone has (\d+) bytes", text)[0]) in range(4 * HIDDEN * 100, room)
    assert re.search(r"; the largest buffer is a value of '\w*matmul\w*' of 'odd' \(", text), text
    assert text.endswith(f" ({ODD_NODES}): {4 * HIDDEN * 100} bytes"), text
    np.testing.assert_allclose(artifact.odd(x[:8])["y"], np.full(8, HIDDEN / 8))


def cut_between_letters(artifact: Artifact) -> None:
    """A message that is too long ends with a whole letter, be there room for half of the next one or not."""
    function = next(f for f in artifact.interface.functions if f.name == "many")
    call, place = artifact._library.function(function), artifact._library.place
    memory = ctypes.create_string_buffer(256)
    for name, length in ((f"{LETTER}{LETTER}", 4094), (f"a{LETTER}", 4095)):
        places = [None if port.name.startswith(name) else memory for port in (*function.inputs, *function.outputs)]
        assert call(None, place, None, 1, *places)
        said = artifact._library.text("state_message", place)
        assert said.startswith(f"'{name}")
        assert said.endswith(f"{LETTER}...")
        assert len(said.encode()) == length


def main() -> None:
    """Load it, and have something fail."""
    cuda_shim._runtime()
    globals()[sys.argv[2]](sg.load(sys.argv[1]))
    sys.stdout.write("ended well\n")


if __name__ == "__main__":
    main()
