from __future__ import annotations

import random
from pathlib import Path

import pytest
from toy_objects import EXPORTS, PROCESSORS, needy, toy

from sigmagraph.artifact.formats import inspect_library
from sigmagraph.artifact.link import link, linkers
from sigmagraph.artifact.targets import artifact_target
from sigmagraph.errors import FileFormatError

SYSTEM = "/usr/lib/libSystem.B.dylib"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Objects and libraries of all formats that can be made here."""
    made = [toy(triple) for triple in PROCESSORS]
    folder = tmp_path_factory.mktemp("libraries")
    for triple in PROCESSORS:
        target = artifact_target(triple)
        if linkers(target):
            made.append(link(toy(triple), target, EXPORTS, folder, "toy").files[0].read_bytes())
    return made


@pytest.mark.parametrize("triple", PROCESSORS)
def test_object_files_say_what_they_define_and_need(triple: str) -> None:
    if triple.startswith("wasm"):
        assert inspect_library(toy(triple)).kind == "object"
        return
    found = inspect_library(toy(triple))
    assert (found.kind, found.machine) == ("object", artifact_target(triple).machine)
    assert set(found.exports) - {"_fltused", ".file", "@feat.00"} == {*EXPORTS, "unseen"}
    assert set(found.undefined) <= {"_fltused"}


@pytest.mark.parametrize("triple", ["x86_64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "arm64-apple-macosx11.0.0"])
def test_object_files_say_what_they_need(triple: str) -> None:
    assert "pthread_yield" in inspect_library(needy(triple)).undefined


def test_libraries_that_a_library_needs_are_known() -> None:
    extension = Path(__import__("_ctypes").__file__)
    if extension.suffix != ".so":
        pytest.skip("Python's own modules are no ELF files here")
    found = inspect_library(extension.read_bytes())
    assert found.kind == "elf"
    assert "libc.so.6" in found.needed or any("musl" in name for name in found.needed)
    assert "PyInit__ctypes" in found.exports
    assert "PyErr_SetString" in found.undefined


@pytest.mark.parametrize(
    "data", [b"", b"\x7f", b"\x7fELF", b"MZ", b"\0asm", b"\xcf\xfa\xed\xfe", b"#!/bin/sh\n", bytes(99)]
)
def test_what_is_no_library_is_refused(data: bytes) -> None:
    with pytest.raises(FileFormatError):
        inspect_library(data)


def test_damaged_libraries_are_refused_or_read_but_never_break_the_reader(files: list[bytes]) -> None:
    chance = random.Random(6)
    refused = 0
    for data in files:
        for turn in range(150):
            bad = bytearray(data[: chance.randrange(len(data))] if turn % 3 == 0 else data)
            for _ in range(min(len(bad), turn % 3 * 2)):
                bad[chance.randrange(min(len(bad), 2000))] = chance.choice([0, 127, 128, 255, chance.randrange(256)])
            try:
                assert inspect_library(bytes(bad)).kind
            except FileFormatError:
                refused += 1
    assert refused > 10 * len(files)
