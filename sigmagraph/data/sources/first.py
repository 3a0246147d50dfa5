"""The first of several sources that exists."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import BinaryIO

from sigmagraph.data.sources.base import Source
from sigmagraph.data.sources.file import as_source
from sigmagraph.errors import InputError


class First(Source):
    """The first of several sources that exists, such as a file before the address that it can be had from.

    They are asked when it is used first, and the choice stays.

    Args:
        sources: paths or sources, best first.

    Raises:
        InputError: there are none.
    """

    def __init__(self, *sources: Source | str | PathLike[str]) -> None:
        if not sources:
            raise InputError("there is nothing to choose from", expected="one source or more", got="none")
        self.sources = tuple(as_source(source) for source in sources)
        self.name = " or ".join(source.name for source in self.sources)
        self._chosen: Source | None = None

    def exists(self) -> bool:
        return self._find() is not None

    def open(self) -> BinaryIO:
        return self._choose().open()

    def local(self) -> Path | None:
        return self._choose().local()

    def fingerprint(self) -> str:
        return self._choose().fingerprint()

    def _find(self) -> Source | None:
        if self._chosen is None:
            self._chosen = next((source for source in self.sources if source.exists()), None)
            self.name = self._chosen.name if self._chosen else self.name
        return self._chosen

    def _choose(self) -> Source:
        found = self._find()
        if found is None:
            raise InputError("none of these sources exists", expected=self.name, got="nothing")
        return found
