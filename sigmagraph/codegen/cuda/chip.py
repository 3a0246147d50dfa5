"""What schedules ask about a GPU, and about the precision that is wanted of it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chip:
    """A GPU.

    Attributes:
        arch: number of the architecture: 75, 80, 90.
        narrow: whether factors of f32 may be rounded to tf32, so that tensor cores multiply them.
    """

    arch: int
    narrow: bool

    @staticmethod
    def of(arch: str, narrow: bool) -> Chip:
        """The GPU of an architecture such as ``sm_80``."""
        (number,) = re.findall(r"\d+", arch)
        return Chip(int(number), narrow)
