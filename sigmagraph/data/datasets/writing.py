"""A text to learn to write: the names of characters."""

from __future__ import annotations

import numpy as np

from sigmagraph.data.dataset import Dataset
from sigmagraph.data.readers.text import Text
from sigmagraph.data.sources.memory import Memory

_END = 0x3000


def character_names() -> str:
    """The 7,952 names of Unicode 3.2 below U+3000, a line each, in an order that tells nothing.

    They are in Python itself, the same in all its versions.
    """
    from unicodedata import ucd_3_2_0

    known = [name for name in (ucd_3_2_0.name(chr(code), "") for code in range(_END)) if name]
    order = np.random.Generator(np.random.Philox(0)).permutation(len(known))
    return "".join(f"{known[number]}\n" for number in order)


def text(length: int = 64) -> Dataset:
    """Windows of :func:`character_names`: inputs i32[windows,length], targets the characters that follow each of them.

    Characters are numbered in their order, as in ``sorted(set(character_names()))``.

    Args:
        length: characters of a window; windows do not overlap.

    Raises:
        AttributeValueError: the length is not positive.
    """
    records = Text(Memory(character_names(), "names of characters"), length)
    block = records.read(0, len(records))
    return Dataset(block["inputs"], block["targets"], "names of characters")
