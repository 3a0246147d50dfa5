"""Counter-based random numbers: Philox 4x32-10 in NumPy, the reference for every backend.

J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

NDArray: TypeAlias = "np.ndarray[Any, Any]"

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
MIX_START, MIX_END = 0x9E3779B97F4A7C15, 31
MIX_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))

_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox_bits(seed: Any, stream: Any, step: Any, element: Any) -> Any:
    """A random 32-bit word for each element, sign-extended to int64; the arguments broadcast against each other.

    The key is :func:`philox_key` of seed and stream, low word first; the counter is (element // 4 in two words, step in
    two words); the result is word ``element % 4`` of the block.
    """
    step, element = (np.asarray(a, np.int64).view(np.uint64) for a in (step, element))
    block, key = element >> np.uint64(2), philox_key(seed, stream)
    words = philox_block((block & _WORD, block >> _HALF, step & _WORD, step >> _HALF), (key & _WORD, key >> _HALF))
    number = element & np.uint64(3)
    word = np.select([number == n for n in range(3)], words[:3], words[3])
    return word.astype(np.uint32).view(np.int32).astype(np.int64)[()]


def philox_key(seed: Any, stream: Any) -> NDArray:
    """The 64-bit key of a seed and a stream: every bit of both changes about half of its bits.

    That is ``mix(mix(seed) ^ stream)``, where mix is the output function of SplitMix64 (G. Steele, D. Lea, C. Flood,
    "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014). Each stream has another key for each seed; keys of
    different streams and seeds are the same by chance only.
    """
    seed, stream = (np.asarray(a, np.int64).view(np.uint64) for a in (seed, stream))
    return _mix(_mix(seed) ^ stream)


def _mix(bits: NDArray) -> NDArray:
    with np.errstate(over="ignore"):
        bits = bits + np.uint64(MIX_START)
        for shift, factor in MIX_STEPS:
            bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
        return np.asarray(bits ^ (bits >> np.uint64(MIX_END)))


def philox_block(counter: tuple[NDArray, ...], key: tuple[NDArray, ...]) -> tuple[NDArray, ...]:
    """The four random words of a counter of four words, under a key of two; words are 32 bits in uint64 arrays."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for number in range(ROUNDS):
        p0, p1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        bump0, bump1 = (np.uint64(number * w & 0xFFFFFFFF) for w in WEYL)
        c0, c1 = (p1 >> _HALF) ^ c1 ^ ((k0 + bump0) & _WORD), p1 & _WORD
        c2, c3 = (p0 >> _HALF) ^ c3 ^ ((k1 + bump1) & _WORD), p0 & _WORD
    return c0, c1, c2, c3
