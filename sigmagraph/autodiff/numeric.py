"""Derivatives by finite differences along a direction, with an estimate of their error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_SHRINK = 1.6
_STEPS = 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and how far it may be from the truth."""

    value: float
    error: float


def directional_derivative(
    function: Callable[[Sequence[NDArray]], float],
    point: Sequence[NDArray],
    direction: Sequence[NDArray],
    step: float = 0.02,
) -> Estimate:
    """The derivative of ``function(point + t * direction)`` at t = 0, in float64.

    Central differences at shrinking steps are extrapolated to step 0 (Richardson's method, arranged as in Ridders,
    Accurate computation of F'(x) and F'(x)F''(x), Adv. Eng. Software 4, 1982); the error is the disagreement of the
    best two extrapolations.

    Args:
        function: from arrays shaped like ``point`` to a number; smooth within ``step`` of the point.
        point: where.
        direction: which way, an array for each of ``point``.
        step: the largest t that is tried.
    """
    base = [np.asarray(p, np.float64) for p in point]
    ways = [np.asarray(d, np.float64) for d in direction]

    def difference(t: float) -> float:
        ahead = function([p + t * d for p, d in zip(base, ways, strict=True)])
        behind = function([p - t * d for p, d in zip(base, ways, strict=True)])
        return (float(ahead) - float(behind)) / (2.0 * t)

    row = [difference(step)]
    best = Estimate(row[0], np.inf)
    for _ in range(1, _STEPS):
        step /= _SHRINK
        previous, row = row, [difference(step)]
        factor = 1.0
        for order, older in enumerate(previous):
            factor *= _SHRINK * _SHRINK  # central differences err in even powers of the step
            row.append((row[order] * factor - older) / (factor - 1.0))
            error = max(abs(row[-1] - row[order]), abs(row[-1] - older))
            if error < best.error:
                best = Estimate(row[-1], error)
        if abs(row[-1] - previous[-1]) >= 2.0 * best.error:
            break  # rounding has taken over
    return best
