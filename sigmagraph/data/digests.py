"""Digests of what data depends on, and streams of random numbers from seeds."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError

NDArray: TypeAlias = "np.ndarray[Any, Any]"

# Streams of random numbers that one seed yields, so that a split, the order of batches and the rest are independent.
SPLIT, SHUFFLE, BLOCKS, AUGMENT, PERMUTE = 0, 1, 2, 3, 4
_PIECE = 1 << 22


def digest(*parts: Any) -> str:
    """A hex digest of anything that JSON can say."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def array_digest(array: NDArray) -> str:
    """A hex digest of an array's type, shape and bytes.

    Raises:
        AttributeValueError: it holds Python objects, whose bytes say nothing.
    """
    if array.dtype.hasobject:
        raise AttributeValueError(
            "an array of Python objects has no fingerprint", expected="numbers or text of fixed width", got=array.dtype
        )
    state = hashlib.sha256(json.dumps([array.dtype.str, str(array.dtype), array.shape]).encode())
    if array.size:
        rows = max(1, _PIECE * len(array) // array.nbytes)
        for start in range(0, len(array), rows):
            state.update(array[start : start + rows].tobytes())
    return state.hexdigest()


def generator(seed: int, *stream: int) -> np.random.Generator:
    """Random numbers that depend on the seed and on what they are for, alone.

    Raises:
        AttributeValueError: the seed is not a natural number.
    """
    return np.random.Generator(np.random.Philox(sequence(seed, *stream)))


def sequence(seed: int, *stream: int) -> np.random.SeedSequence:
    """What :func:`generator` starts from.

    Raises:
        AttributeValueError: the seed is not a natural number.
    """
    return np.random.SeedSequence((natural(seed, "this is no seed"), *stream))


def natural(value: Any, message: str, least: int = 0) -> int:
    """An int of at least ``least``.

    Raises:
        AttributeValueError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise AttributeValueError(message, expected=f"an int of {least} or more", got=repr(value))
    return int(value)
