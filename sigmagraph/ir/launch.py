"""How the kernels of a GPU program are launched, and the bytes that its code is kept as: plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sigmagraph.dims import Size
from sigmagraph.errors import DimError, DTypeError, FileFormatError
from sigmagraph.ir.plan import Branch, Plan, flat_steps, size_from_json, size_to_json

FORMAT = 1
COPY, CHECK, BRANCH = "sg_copy", "sg_check", "sg_branch"  # kernels that every program has
COPY_THREADS = 256
COPY_BYTES = 16 * COPY_THREADS  # that a block copies at a time
COPY_BLOCKS = 1024  # at most
# Kernels count elements, blocks and dims with 32 bits, and the last block counts on behind the end.
LIMIT = (1 << 31) - (1 << 16)
RUNNING = 1  # the level of flow outside of all branches; level 0 is the status


@dataclass(frozen=True, slots=True)
class Grid:
    """A function of a module and how it is launched.

    It takes pointers to buffers, then dims as 32-bit integers, then, where programs are controlled, a pointer to the
    flow and the number of a level of it.

    Attributes:
        symbol: the function's name.
        blocks: how many there are, an expression of the kernel's dims; with none it is not launched.
        threads: of a block.
        shared: bytes of shared memory of a block.
        buffers: which places of the plan's launch it takes, in order.
        dims: the names of those that it takes, in order.
    """

    symbol: str
    blocks: Size
    threads: int
    shared: int
    buffers: tuple[int, ...]
    dims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Launches:
    """How one plan's kernels are launched.

    Attributes:
        grids: for each kernel of the plan, what is launched, in order.
        constants: contents of the plan's constants.
        controlled: whether functions look at the flow before they do anything: ``flow[0]`` is the number of the first
            check that failed, or 0; ``flow[level]`` says whether a branch is taken.
        items: for each slot of the arena the bytes of the smallest elements that lie in it; where none are given, 1.
            Functions count elements with 32 bits, so that they say how large a slot may be.
        nodes: by name of the kernel where the nodes come from that it computes: lines and layers, for errors.
    """

    grids: Mapping[str, tuple[Grid, ...]]
    constants: tuple[bytes, ...]
    controlled: bool
    items: tuple[int, ...] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """The code of a GPU program.

    Attributes:
        arch: what it was compiled for, such as ``sm_80``.
        plans: by the name of each plan, how it is launched.
        image: what the driver loads.
    """

    arch: str
    plans: Mapping[str, Launches]
    image: bytes


def flow_words(plan: Plan) -> int:
    """How many numbers the flow of a plan has: the status, the level of what is always done, two for each branch."""
    return 2 + 2 * sum(isinstance(step, Branch) for step in flat_steps(plan.steps))


def pack(code: DeviceCode) -> bytes:
    """The code as bytes: the length of a JSON header, the header, and what it says the lengths of."""
    blobs = [constant for launches in code.plans.values() for constant in launches.constants]
    header = {
        "format": FORMAT,
        "arch": code.arch,
        "plans": {name: _launches_to_json(launches) for name, launches in code.plans.items()},
    }
    text = json.dumps(header).encode()
    return b"".join((len(text).to_bytes(8, "little"), text, *blobs, code.image))


def unpack(data: bytes) -> DeviceCode:
    """The code from :func:`pack`'s bytes.

    Raises:
        FileFormatError: the bytes are not the code of a GPU program.
    """
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        if header["format"] != FORMAT:
            raise FileFormatError("the code has another format", expected=FORMAT, got=header["format"])
        plans: dict[str, Launches] = {}
        start = 8 + size
        for name, plan in header["plans"].items():
            constants = []
            for length in plan["constants"]:
                constants.append(data[start : start + length])
                start += length
            grids = {kernel: tuple(map(_grid_from_json, found)) for kernel, found in plan["grids"].items()}
            nodes = {str(kernel): str(text) for kernel, text in plan["nodes"].items()}
            plans[name] = Launches(grids, tuple(constants), bool(plan["controlled"]), tuple(plan["items"]), nodes)
        return DeviceCode(str(header["arch"]), plans, data[start:])
    except (ValueError, KeyError, TypeError, AttributeError, DimError, DTypeError) as error:
        raise FileFormatError("the bytes are not the code of a GPU program", got=repr(error)) from error


def _launches_to_json(launches: Launches) -> dict[str, Any]:
    grids = {kernel: [_grid_to_json(g) for g in found] for kernel, found in launches.grids.items()}
    lengths: Sequence[int] = [len(constant) for constant in launches.constants]
    return {
        "grids": grids,
        "constants": lengths,
        "controlled": launches.controlled,
        "items": launches.items,
        "nodes": dict(launches.nodes),
    }


def _grid_to_json(grid: Grid) -> list[Any]:
    return [grid.symbol, size_to_json(grid.blocks), grid.threads, grid.shared, list(grid.buffers), list(grid.dims)]


def _grid_from_json(data: list[Any]) -> Grid:
    symbol, blocks, threads, shared, buffers, dims = data
    return Grid(symbol, size_from_json(blocks), int(threads), int(shared), tuple(buffers), tuple(dims))
