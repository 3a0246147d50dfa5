"""Keeps blocks of records on disk, each whole or not at all, by what they were made from."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import warnings
from collections.abc import Mapping
from os import PathLike, fsync, rename, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from sigmagraph.data.digests import natural
from sigmagraph.data.records import Block
from sigmagraph.errors import CacheWarning

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_FORMAT = "sigmagraph blocks 1"
_MANIFEST = "manifest.json"
_HEADER = 256  # bytes of an .npy file besides its numbers, at most


class Cache:
    """A folder with a directory for each pipeline, by its fingerprint, so that a changed one never finds old records.

    In it are ``manifest.json`` and, for each block, a directory of ``.npy`` files, which are mapped into memory.
    Several processes may use one folder.

    Args:
        folder: made when the first block is stored.
        limit: bytes at most. Whole pipelines make room, those first that got no block for longest; what still finds no
            room is not stored.

    Raises:
        AttributeValueError: the limit is not a natural number.
    """

    def __init__(self, folder: str | PathLike[str], limit: int | None = None) -> None:
        self.folder = Path(folder)
        self.limit = None if limit is None else natural(limit, "this is no number of bytes")

    def size(self) -> int:
        """Bytes of all pipelines."""
        return sum(_size(pipeline) for pipeline in self._pipelines())

    def clear(self) -> None:
        """Remove all pipelines; what else is in the folder stays."""
        for pipeline in self._pipelines():
            shutil.rmtree(pipeline, ignore_errors=True)

    def shelf(self, fingerprint: str, about: Mapping[str, Any]) -> Shelf:
        """Where the blocks of a pipeline lie.

        Args:
            fingerprint: of everything that they depend on.
            about: what JSON can say of them, for readers of the folder.
        """
        return Shelf(self, self.folder / fingerprint, {"format": _FORMAT, "fingerprint": fingerprint, **about})

    def make_room(self, needed: int, pipeline: Path) -> bool:
        """Whether there is room for so many bytes, once other pipelines are removed as far as they must be."""
        if self.limit is None:
            return True
        if _size(pipeline) + needed > self.limit:
            return False
        used = self.size()
        others = [other for other in self._pipelines() if other != pipeline]
        for oldest in sorted(others, key=_changed):
            if used + needed <= self.limit:
                break
            used -= _size(oldest)
            shutil.rmtree(oldest, ignore_errors=True)
        return used + needed <= self.limit

    def _pipelines(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [p for p in sorted(self.folder.iterdir()) if re.fullmatch(r"[0-9a-f]{64}", p.name) and p.is_dir()]


class Shelf:
    """The blocks of one pipeline.

    Args:
        cache: what it belongs to.
        folder: its directory.
        manifest: what is written into it, once.
    """

    def __init__(self, cache: Cache, folder: Path, manifest: Mapping[str, Any]) -> None:
        self._cache = cache
        self._folder = folder
        self._manifest = dict(manifest)

    def __contains__(self, number: int) -> bool:
        return self._place(number).is_dir()

    def load(self, number: int, records: int) -> Block | None:
        """A block, mapped from disk; None if it is not there.

        Args:
            number: which block.
            records: how many it has.

        A damaged one is removed, with a warning, and then is not there either.
        """
        place = self._place(number)
        if not place.is_dir():
            return None
        try:
            names = json.loads((place / "sections.json").read_text("utf-8"))
            block = {
                name: np.asarray(np.load(place / f"{i}.npy", mmap_mode="r", allow_pickle=False))
                for i, name in enumerate(names)
            }
            if any(len(array) != records for array in block.values()):
                raise ValueError(f"a block has not the {records} records that it should have")
        except (OSError, ValueError, EOFError, TypeError) as error:
            warnings.warn(f"{place} is damaged ({error}), and is made anew", CacheWarning, stacklevel=2)
            shutil.rmtree(place, ignore_errors=True)
            return None
        return block

    def store(self, number: int, block: Block) -> None:
        """Store a block. It is there as a whole or, if it cannot be written, with a warning, not at all."""
        kinds = [array.dtype for array in block.values() if array.dtype.hasobject or array.dtype.kind == "V"]
        if kinds:
            warnings.warn(f"blocks of {kinds[0]} cannot be kept in {self._folder}", CacheWarning, stacklevel=2)
            return
        if not self._cache.make_room(self._bytes(block), self._folder):
            return
        part = self._folder / f".{number}-{secrets.token_hex(8)}.part"
        try:
            part.mkdir(parents=True)
            self._write_manifest()
            for i, array in enumerate(block.values()):
                with (part / f"{i}.npy").open("xb") as file:
                    np.save(file, array, allow_pickle=False)
                    _settle(file)
            with (part / "sections.json").open("xb") as file:
                file.write(json.dumps(list(block)).encode())
                _settle(file)
            rename(part, self._place(number))
        except OSError as error:
            # Another process may have been faster, which is as good.
            if number not in self:
                warnings.warn(f"a block cannot be stored in {self._folder}: {error}", CacheWarning, stacklevel=2)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _bytes(self, block: Block) -> int:
        """At least as many as the files of a block take, the manifest among them."""
        names = json.dumps([self._manifest, list(block)], indent=1)
        return len(names) + sum(array.nbytes + _HEADER for array in block.values())

    def _place(self, number: int) -> Path:
        return self._folder / f"{number:08}"

    def _write_manifest(self) -> None:
        target = self._folder / _MANIFEST
        if target.exists():
            return
        part = self._folder / f".{_MANIFEST}-{secrets.token_hex(8)}.part"
        try:
            with part.open("xb") as file:
                file.write(json.dumps(self._manifest, indent=1).encode())
                _settle(file)
            replace(part, target)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _settle(file: BinaryIO) -> None:
    """See to it that what was written is on disk before its name is."""
    file.flush()
    fsync(file.fileno())


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        # Another process may remove what was just listed.
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
