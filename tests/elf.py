"""Reads of an ELF object file what tests ask: its machine, and which symbols it defines and needs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MACHINES = {62: "x86-64", 183: "aarch64"}
_SYMBOLS, _GLOBAL = 2, 1


@dataclass(frozen=True)
class Object:
    """An object file of a 64-bit machine with the least byte first."""

    machine: str
    defined: frozenset[str]
    needed: frozenset[str]


def read_object(data: bytes) -> Object:
    assert data[:7] == b"\x7fELF\x02\x01\x01"
    kind, machine = struct.unpack_from("<HH", data, 16)
    assert kind == 1  # relocatable
    (at,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, at + n * size) for n in range(count)]
    symbols = [s for section in sections if section[1] == _SYMBOLS for s in _symbols(data, section, sections)]
    defined, needed = (frozenset(n for n, known in symbols if known is wanted) for wanted in (True, False))
    return Object(MACHINES[machine], defined, needed)


def _symbols(data: bytes, table: tuple[int, ...], sections: list[tuple[int, ...]]) -> Iterator[tuple[str, bool]]:
    """The global symbols of a table, and whether they are defined."""
    names = sections[table[6]][4]
    for at in range(table[4], table[4] + table[5], 24):
        name, info, _, section = struct.unpack_from("<IBBH", data, at)
        if info >> 4 == _GLOBAL:
            start = names + name
            yield data[start : data.index(b"\0", start)].decode(), section != 0
