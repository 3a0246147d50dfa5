"""Records that count how often they are read."""

from __future__ import annotations

import numpy as np

from sigmagraph.data.digests import digest
from sigmagraph.data.records import Block, Records


class Counted(Records):
    """Record i is ((i, 2i), -i); ``ranges`` says which were read."""

    def __init__(self, records: int, name: str = "counted") -> None:
        self.name = name
        self.records = records
        self.ranges: list[tuple[int, int]] = []

    @property
    def sections(self) -> tuple[str, ...]:
        return ("inputs", "targets")

    def __len__(self) -> int:
        return self.records

    def read(self, start: int, stop: int) -> Block:
        self.ranges.append((start, stop))
        numbers = np.arange(start, stop, dtype=np.float32)
        return {"inputs": np.stack([numbers, 2 * numbers], axis=1), "targets": -numbers.astype(np.int32)}

    def fingerprint(self) -> str:
        return digest("counted", self.records, self.name)
