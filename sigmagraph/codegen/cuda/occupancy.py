"""How many blocks of a kernel run on a multiprocessor at the same time.

The rules are those of NVIDIA's occupancy calculator (``cuda_occupancy.h`` of the toolkit), the limits those of the CUDA
C++ programming guide, "Compute Capabilities".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from sigmagraph.errors import TargetError

_WARP = 32
_THREADS = 1024  # of a block
REGISTERS = 1 << 16  # of a multiprocessor, and of a block
_THREAD_REGISTERS = 256
_REGISTER_UNIT = 256  # registers are given to warps in units of so many
_PARTITIONS = 4  # of a multiprocessor; each has its part of the registers
_KIB = 1024
_ANY = 1 << 31  # where nothing is taken


@dataclass(frozen=True, slots=True)
class Limits:
    """What a multiprocessor of an architecture has.

    Attributes:
        warps, blocks: that are there at the same time.
        shared: bytes of shared memory.
        reserved: bytes of it that the system takes for every block.
        unit: shared memory is given to blocks in units of so many bytes.
        barriers: that all blocks have together; 0 where blocks run out first.
    """

    warps: int
    blocks: int
    shared: int
    reserved: int
    unit: int
    barriers: int = 0

    @property
    def block_shared(self) -> int:
        """Bytes of shared memory that a block can ask for, with the attribute that allows more than 48 KiB."""
        return self.shared - self.reserved


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full a multiprocessor gets.

    Attributes:
        blocks: that run at the same time; with none, the kernel cannot be launched.
        warps: of these blocks.
        share: of the warps that there can be, from 0 to 1.
        limits: what there is not enough of for another block: ``warps``, ``registers``, ``shared``, ``blocks`` or
            ``barriers``.
    """

    blocks: int
    warps: int
    share: float
    limits: tuple[str, ...]


@cache
def _table() -> Mapping[str, Limits]:
    return {
        "sm_75": Limits(32, 16, 64 * _KIB, 0, 256),
        "sm_80": Limits(64, 32, 164 * _KIB, _KIB, 128),
        "sm_86": Limits(48, 16, 100 * _KIB, _KIB, 128),
        "sm_89": Limits(48, 24, 100 * _KIB, _KIB, 128),
        "sm_90": Limits(64, 32, 228 * _KIB, _KIB, 128, barriers=64),
        "sm_100": Limits(64, 32, 228 * _KIB, _KIB, 128, barriers=64),
    }


def architectures() -> tuple[str, ...]:
    """The architectures whose limits are known."""
    return tuple(_table())


def limits_of(arch: str) -> Limits:
    """What a multiprocessor has; ``sm_90a`` is ``sm_90``.

    Raises:
        TargetError: nothing is known of the architecture.
    """
    found = _table().get(re.sub(r"[af]$", "", arch))
    if found is None:
        raise TargetError("the limits of this GPU are not known", expected=", ".join(architectures()), got=arch)
    return found


def occupancy(arch: str, threads: int, registers: int, shared: int, barriers: int = 0) -> Occupancy:
    """How many blocks run on a multiprocessor.

    Args:
        arch: such as ``sm_80``.
        threads: of a block.
        registers: of a thread.
        shared: bytes of shared memory of a block, static and dynamic together.
        barriers: of a block.

    Raises:
        TargetError: nothing is known of the architecture.
    """
    limits = limits_of(arch)
    warps = -(-threads // _WARP)
    allowed = {
        "warps": limits.warps // warps if threads <= _THREADS else 0,
        "registers": _by_registers(warps, registers),
        "shared": _by_shared(shared, limits),
        "blocks": limits.blocks,
    }
    if barriers and limits.barriers:
        allowed["barriers"] = limits.barriers // barriers
    blocks = min(allowed.values())
    names = tuple(name for name, count in allowed.items() if count == blocks)
    return Occupancy(blocks, blocks * warps, blocks * warps / limits.warps, names)


def _by_registers(warps: int, registers: int) -> int:
    if registers == 0:
        return _ANY
    taken = _up(registers * _WARP, _REGISTER_UNIT)  # by a warp
    # A launch is checked as if every partition had equally many warps of the block.
    if registers > _THREAD_REGISTERS or taken * _up(warps, _PARTITIONS) > REGISTERS:
        return 0
    return REGISTERS // _PARTITIONS // taken * _PARTITIONS // warps


def _by_shared(shared: int, limits: Limits) -> int:
    taken = _up(shared + limits.reserved, limits.unit)
    if taken > limits.shared:
        return 0
    return limits.shared // taken if taken else _ANY


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
