"""Measures records in one pass: means, variances and extremes of every index, in double precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.records import Records
from sigmagraph.errors import AttributeValueError, DTypeError, InputError, ShapeError

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_PIECE = 1 << 22


class Moments:
    """What is known of the values at each index of a section, after some records. NaN counts as no value.

    Pieces are merged as in T. Chan, G. Golub, R. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979. Means are counted from the first piece's, and each piece's is corrected by that of its
    residuals, so that a large mean costs no digits of the variance.

    Attributes:
        records: how many were seen.
        count: values at each index, i64[...].
        low, high: extremes at each index, f64[...].
        squares: sums of squared distances from the mean, f64[...].
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.records = 0
        self.count = np.zeros(shape, np.int64)
        self.squares = np.zeros(shape)
        self._origin, self._mean = np.zeros(shape), np.zeros(shape)  # the mean is counted from near where values lie
        self.low, self.high = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, rows: NDArray) -> None:
        """Take some records ``[records, ...]`` into account."""
        values = rows.astype(np.float64)
        there = ~np.isnan(values)
        complete = bool(there.all())

        def known(numbers: NDArray, otherwise: float) -> NDArray:
            return numbers if complete else np.where(there, numbers, otherwise)

        count = there.sum(axis=0)
        some = np.maximum(count, 1)
        if self.records == 0:
            self._origin = known(values, 0).sum(axis=0) / some
        x = values - self._origin
        mean = known(x, 0).sum(axis=0) / some
        rest = known(x - mean, 0)
        slip = rest.sum(axis=0) / some
        mean += slip
        squares = (rest**2).sum(axis=0) - count * slip**2
        total = self.count + count
        step = mean - self._mean
        share = count / np.maximum(total, 1)
        self.squares += squares + step**2 * self.count * share
        self._mean += step * share
        self.low = np.minimum(self.low, known(values, np.inf).min(axis=0, initial=np.inf))
        self.high = np.maximum(self.high, known(values, -np.inf).max(axis=0, initial=-np.inf))
        self.count = total
        self.records += len(rows)

    @property
    def mean(self) -> NDArray:
        """Mean at each index, f64[...]."""
        return np.asarray(self._origin + self._mean)

    @property
    def deviation(self) -> NDArray:
        """Standard deviation at each index (of the records themselves, not of a population behind them), f64[...].

        Exactly 0 where all values are equal, whatever the rounding.
        """
        deviation = np.sqrt(np.maximum(self.squares, 0) / np.maximum(self.count, 1))
        return np.where(self.low < self.high, deviation, 0.0)

    def check_complete(self, section: str, name: str) -> None:
        """Make sure that there is a value everywhere.

        Raises:
            InputError: there is not.
        """
        if (self.count < self.records).any():
            raise InputError(
                f"section '{section}' of '{name}' has missing values (NaN)",
                expected="numbers",
                hint="FillMissing().fit(train) before it",
            )


def measure(records: Records, sections: tuple[str, ...]) -> dict[str, Moments]:
    """What is known of sections of records, which are read once, in order and in pieces.

    Raises:
        AttributeValueError: there are no records.
        InputError: there are infinite values.
        DTypeError: a section does not consist of real numbers.
        ShapeError: records of a section differ in shape.
    """
    if len(records) == 0:
        raise AttributeValueError(f"'{records.name}' has no records to learn from", expected="at least one", got=0)
    found: dict[str, Moments] = {}
    for block in _pieces(records, sections):
        for section in sections:
            rows = block[section]
            if rows.dtype.kind in "OSUVcmM" and not np.can_cast(rows.dtype, np.float64):
                raise DTypeError(f"section '{section}' of '{records.name}' has no numbers", got=rows.dtype)
            if np.isinf(rows).any():
                raise InputError(
                    f"section '{section}' of '{records.name}' has infinite values", expected="finite numbers"
                )
            moments = found.setdefault(section, Moments(rows.shape[1:]))
            if moments.low.shape != rows.shape[1:]:
                raise ShapeError(
                    f"records of '{section}' differ in shape", expected=moments.low.shape, got=rows.shape[1:]
                )
            moments.add(rows)
    return found


def _pieces(records: Records, sections: tuple[str, ...]) -> Iterator[dict[str, NDArray]]:
    first = records.read(0, 1)
    numbers = sum(first[section].size for section in sections)
    size = max(1, _PIECE // (8 * max(1, numbers)))
    for start in range(0, len(records), size):
        yield records.read(start, min(start + size, len(records)))
