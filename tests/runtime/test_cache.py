"""The persistent cache: hits, damage, foreign entries, folders that cannot be written to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.errors import CacheWarning
from sigmagraph.options import CompileOptions
from sigmagraph.runtime.cache import Cache
from sigmagraph.runtime.profile import snapshot


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGMAGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SIGMAGRAPH_THREADS", "1")  # the code of thread pools has an entry of its own
    _program(1.0, CompileOptions(cache=False))  # what all programs share is loaded once in a process
    return tmp_path / "cache"


def _program(factor: float = 2.0, options: CompileOptions | None = None) -> sg.CompiledFunction:
    x = sg.placeholder("x", (sg.Dim("n"),))
    return sg.compile([x], {"y": x * factor}, options=options)


def _works(function: sg.CompiledFunction) -> bool:
    return bool((function(np.ones(5))["y"] == 2).all())


def test_the_second_compilation_is_a_load(folder: Path) -> None:
    before = snapshot()
    assert not _program().cached
    second = _program()
    assert second.cached
    assert _works(second)
    counted = snapshot().since(before)
    assert (counted.compilations, counted.cache_hits) == (1, 1)
    assert len(Cache(folder).entries()) == 1


def test_another_program_has_another_entry(folder: Path) -> None:
    _program(2.0)
    assert not _program(3.0).cached
    assert len(Cache(folder).entries()) == 2


@pytest.mark.parametrize("at", [0, 30, 60, 200, -1])
def test_a_damaged_entry_is_compiled_again(folder: Path, at: int) -> None:
    _program()
    (entry,) = Cache(folder).entries()
    data = bytearray(entry.read_bytes())
    data[at] ^= 0x55
    entry.write_bytes(data)
    again = _program()
    assert not again.cached
    assert _works(again)
    assert _program().cached  # and mended


@pytest.mark.parametrize("size", [0, 10, 50, 300])
def test_a_truncated_entry_is_compiled_again(folder: Path, size: int) -> None:
    _program()
    (entry,) = Cache(folder).entries()
    entry.write_bytes(entry.read_bytes()[:size])
    again = _program()
    assert not again.cached
    assert _works(again)


def test_an_entry_under_a_foreign_name_is_not_run(folder: Path) -> None:
    _program(3.0)
    (other,) = Cache(folder).entries()
    foreign = other.read_bytes()
    other.unlink()
    _program(2.0)
    (entry,) = Cache(folder).entries()
    entry.write_bytes(foreign)
    again = _program(2.0)
    assert not again.cached
    assert _works(again)


def test_a_folder_that_cannot_be_written_to_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("SIGMAGRAPH_CACHE", str(blocked / "cache"))
    with pytest.warns(CacheWarning, match="cannot be written"):
        function = _program()
    assert _works(function)
    assert blocked.read_text() == "not a folder"


def test_the_cache_can_be_switched_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGMAGRAPH_CACHE", "off")
    _program()
    assert not _program().cached
    assert not folder.exists()


def test_clearing(folder: Path) -> None:
    _program()
    assert Cache(folder).clear() == 1
    assert Cache(folder).entries() == []
