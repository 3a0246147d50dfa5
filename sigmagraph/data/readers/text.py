"""Reads texts as windows of characters or tokens, each with the symbols that follow."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from sigmagraph.data.digests import digest
from sigmagraph.data.readers.ranges import check_range
from sigmagraph.data.readers.vocabulary import Vocabulary
from sigmagraph.data.records import Block, Records
from sigmagraph.data.sources.base import Source
from sigmagraph.data.sources.compressed import Compressed
from sigmagraph.errors import AttributeValueError, FileFormatError, InputError


class Text(Records):
    r"""Windows of a text: ``inputs`` i32[length] are numbers of symbols, ``targets`` those of each next symbol.

    Symbols are characters, or tokens if ``split`` says what a token is. The text is read whole when it is first used,
    and stays in memory as numbers of one, two or four bytes.

    Args:
        source: the text, as a path or a source, compressed (gz, bz2, xz) or not.
        length: symbols of a window.
        stride: symbols from the start of a window to that of the next; ``length`` unless given.
        split: a regular expression, each match of which is a token, such as ``r"\w+|[^\w\s]"``.
        vocabulary: the numbers of symbols, perhaps those of another text; found in the text unless given.
        most: how many symbols a vocabulary that is found may have; the most frequent are taken.
        unknown: the symbol for those that are not in a vocabulary that is found or listed.
        encoding: of the text, by Python's name.

    Raises:
        AttributeValueError: an argument means nothing.
        InputError: (when it is read) there is no file, or a symbol is not in the vocabulary.
        FileFormatError: (when it is read) bytes are no text, or it has less than a window.
    """

    def __init__(
        self,
        source: Source | str | PathLike[str],
        length: int,
        *,
        stride: int | None = None,
        split: str | None = None,
        vocabulary: Vocabulary | Sequence[str] | None = None,
        most: int | None = None,
        unknown: str | None = None,
        encoding: str = "utf-8-sig",
    ) -> None:
        step = length if stride is None else stride
        try:
            codecs.lookup(encoding)
            self._token = None if split is None else re.compile(split)
        except (LookupError, re.error) as error:
            raise AttributeValueError("a text cannot be read like this", got=error) from error
        if length < 1 or step < 1 or (self._token is not None and self._token.groups):
            raise AttributeValueError(
                "a text cannot be read like this",
                expected="a length and a stride of 1 or more, a split without groups that capture",
                got=f"length {length}, stride {step}, split {split!r}",
            )
        self._source = Compressed(source, required=False)
        self.name = self._source.name
        self._length, self._stride, self._encoding = length, step, encoding
        self._most, self._unknown = most, unknown
        known = vocabulary is None or isinstance(vocabulary, Vocabulary)
        self._vocabulary = vocabulary if known else Vocabulary(vocabulary, unknown)  # type: ignore[arg-type]
        self._given = self._vocabulary
        self._codes: np.ndarray[Any, Any] | None = None

    @property
    def sections(self) -> tuple[str, ...]:
        return ("inputs", "targets")

    @property
    def vocabulary(self) -> Vocabulary:
        """The symbols and their numbers."""
        self._read()
        assert self._vocabulary is not None, "reading finds it"
        return self._vocabulary  # type: ignore[return-value]

    def __len__(self) -> int:
        return (len(self._read()) - 1 - self._length) // self._stride + 1

    def read(self, start: int, stop: int) -> Block:
        check_range(self, start, stop)
        codes = self._read()
        places = np.arange(start, stop)[:, None] * self._stride + np.arange(self._length)
        return {"inputs": codes[places].astype(np.int32), "targets": codes[places + 1].astype(np.int32)}

    def fingerprint(self) -> str:
        given = self._given
        symbols = [given.symbols, given.unknown] if isinstance(given, Vocabulary) else [self._most, self._unknown]
        split = self._token.pattern if self._token else None
        options = [self._length, self._stride, split, symbols, self._encoding]
        return digest("text", self._source.fingerprint(), options)

    def _read(self) -> np.ndarray[Any, Any]:
        if self._codes is None:
            text = self._text()
            symbols = text if self._token is None else self._token.findall(text)
            if len(symbols) <= self._length:
                raise FileFormatError(
                    f"{self.name} is shorter than a window and its next symbol",
                    expected=f"{self._length + 1} symbols or more",
                    got=len(symbols),
                )
            vocabulary = self._vocabulary or Vocabulary.found(symbols, self._most, self._unknown)
            assert isinstance(vocabulary, Vocabulary), "others were made into one"
            try:
                codes = vocabulary.encode(symbols)
            except InputError as error:
                raise InputError(f"{self.name}: {error.message}", expected=error.expected, got=error.got) from error
            self._vocabulary = vocabulary
            self._codes = codes.astype(np.min_scalar_type(len(vocabulary) - 1))
        return self._codes

    def _text(self) -> str:
        with self._source.open() as stream:
            content = stream.read()
        try:
            return content.decode(self._encoding)
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise FileFormatError(
                f"{self.name}:{line}: bytes that are no text", expected=self._encoding, got=error.reason
            ) from error
