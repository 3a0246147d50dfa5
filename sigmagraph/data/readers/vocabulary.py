"""Vocabularies: which number stands for which character or token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError, InputError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


class Vocabulary:
    """Symbols (characters or tokens) and their numbers, from 0.

    Args:
        symbols: in the order of their numbers, each once.
        unknown: a symbol among them that stands for all others; without it, others are refused.

    Raises:
        AttributeValueError: a symbol is there twice, there are none, or ``unknown`` is not among them.
    """

    def __init__(self, symbols: Iterable[str], unknown: str | None = None) -> None:
        self.symbols = tuple(symbols)
        self.unknown = unknown
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols)}
        if not self.symbols or len(self._numbers) < len(self.symbols):
            raise AttributeValueError("this is no vocabulary", expected="symbols, each once", got=self.symbols[:10])
        if unknown is not None and unknown not in self._numbers:
            raise AttributeValueError(
                "the symbol for unknown ones has no number", expected=self.symbols[:10], got=unknown
            )

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._numbers

    def encode(self, symbols: Sequence[str]) -> NDArray:
        """Numbers i32[n] of a text's characters or of tokens.

        Raises:
            InputError: a symbol has no number, and none stands for unknown ones.
        """
        other = -1 if self.unknown is None else self._numbers[self.unknown]
        codes = np.fromiter((self._numbers.get(symbol, other) for symbol in symbols), np.int32, len(symbols))
        if len(codes) and codes.min() < 0:
            place = int(codes.argmin())
            raise InputError(
                f"symbol {place} is not in the vocabulary", expected=f"one of {len(self)}", got=repr(symbols[place])
            )
        return codes

    def decode(self, codes: NDArray | Sequence[int]) -> list[str]:
        """The symbols of numbers, in order.

        Raises:
            InputError: a number is no symbol's.
        """
        numbers = np.asarray(codes).reshape(-1).tolist()
        if not all(0 <= number < len(self) for number in numbers):
            raise InputError("a number is no symbol's", expected=f"0 to {len(self) - 1}", got=numbers[:10])
        return [self.symbols[number] for number in numbers]

    @classmethod
    def found(cls, symbols: Iterable[str], most: int | None = None, unknown: str | None = None) -> Vocabulary:
        """The vocabulary of a text: the symbol for unknown ones first, then those that are there, sorted.

        Args:
            symbols: characters or tokens of the text.
            most: how many symbols it may have; the most frequent are taken, and of equally many the first sorted.
            unknown: the symbol for the others.

        Raises:
            AttributeValueError: there are no symbols, or some are left out and nothing stands for them.
        """
        counts = Counter(symbols)
        counts.pop(unknown or "", None)
        ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        room = len(ranked) if most is None else most - (unknown is not None)
        if room < min(len(ranked), 1) or (room < len(ranked) and unknown is None):
            raise AttributeValueError(
                "there is no such vocabulary", expected=f"room for {len(ranked)} symbols, or unknown=...", got=most
            )
        return cls([*([] if unknown is None else [unknown]), *sorted(ranked[:room])], unknown)
