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
        groups: whether warpgroups multiply (``wgmma``): sm_90a does, older and newer architectures do not.
    """

    arch: int
    narrow: bool
    groups: bool = False

    @property
    def processors(self) -> int:
        """Multiprocessors that a device of the architecture is taken to have: A100's, H100's."""
        return 132 if self.groups else 108

    @staticmethod
    def of(arch: str, narrow: bool) -> Chip:
        """The GPU of an architecture such as ``sm_80``."""
        (number,) = re.findall(r"\d+", arch)
        return Chip(int(number), narrow, groups=arch == "sm_90a")
