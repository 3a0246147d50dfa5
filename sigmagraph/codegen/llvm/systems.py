"""What LLVM is to be told of each kind of system: its full triple, its least processor, its ABI. Plain tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

NATIVE = "native"
_VENDORS = ("apple", "pc", "unknown")
_MACOS = re.compile(r"(darwin|macosx?)$")


@dataclass(frozen=True, slots=True)
class System:
    """What a kind of system has, whichever of its processors it is.

    Attributes:
        cpu, features: the least processor, in LLVM's words.
        abi: LLVM's name of the calling convention; empty for the usual one.
        relocation: ``pic`` where libraries may lie anywhere, ``static`` where a program is all there is.
        pointer_bits: how wide an address is.
    """

    cpu: str = ""
    features: str = ""
    abi: str = ""
    relocation: str = "pic"
    pointer_bits: int = 64


# By the beginning of the full triple; the first that fits holds.
SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "x86_64-": System("x86-64"),
        "aarch64-apple-": System("apple-m1"),  # no Mac with such a processor has a lesser one
        "arm64-apple-": System("apple-m1"),
        "aarch64-": System(),
        # Vectors are in every browser's and Node's engine since 2021, Safari's since 16.4 of 2023.
        "wasm32-": System(
            "generic",
            "+bulk-memory,+mutable-globals,+nontrapping-fptoint,+sign-ext,+simd128",
            relocation="static",
            pointer_bits=32,
        ),
        "riscv64-": System("generic-rv64", "+m,+a,+f,+d,+c", abi="lp64d"),
        "thumbv7em-": System("cortex-m4", relocation="static", pointer_bits=32),
    }
)

# The levels of the x86-64 psABI (https://gitlab.com/x86-psABIs/x86-64-ABI, table "Micro-Architecture Levels").
_V2 = "+cx16,+popcnt,+sahf,+sse3,+sse4.1,+sse4.2,+ssse3"
_V3 = f"{_V2},+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
_V4 = f"{_V3},+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vl"
LEVELS: Mapping[str, str] = MappingProxyType({"x86-64": "", "x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4})


def system(triple: str) -> System:
    """What is known of the system behind a full triple; of one that is not in the table, nothing."""
    return next((s for start, s in SYSTEMS.items() if triple.startswith(start)), System())


def full_triple(triple: str) -> str:
    """A triple with all its parts: people leave out the vendor, and the version of macOS, or say ``wasm32`` alone."""
    architecture, *rest = triple.split("-")
    if not rest:
        return f"{architecture}-unknown-unknown"
    if _MACOS.match(rest[-1]):
        # The first macOS for these processors; LLVM takes one without a version for 10.4.
        return f"{architecture.replace('aarch64', 'arm64')}-apple-macosx11.0.0"
    if rest[-1] == "windows":
        rest.append("gnu")  # what needs nothing: LLVM's objects for Microsoft's library ask for it
    return triple if len(rest) > 1 and rest[0] in _VENDORS else "-".join((architecture, "unknown", *rest))
