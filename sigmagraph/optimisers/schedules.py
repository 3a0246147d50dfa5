"""Schedules: numbers as functions of the step, for hyperparameters that change while training runs.

A schedule is any callable ``(step, epoch) -> number``: of the number of steps before the one it is asked for, and of
the number of epochs, with the part of the current one that is done. Those here are frozen records that count steps;
:class:`PerEpoch` lets them count epochs. The training step takes the number as a scalar: nothing is compiled again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sigmagraph.errors import AttributeValueError
from sigmagraph.tensor.hyperparameter import Number, Schedule


@dataclass(frozen=True)
class Constant:
    """Always ``value``.

    Raises:
        AttributeValueError: it is not finite.
    """

    value: float

    def __post_init__(self) -> None:
        _finite(self, "value")

    def __call__(self, step: float, epoch: float) -> float:  # noqa: ARG002
        return self.value


@dataclass(frozen=True)
class StepDecay:
    """``start * factor ** (step // every)``.

    Raises:
        AttributeValueError: ``every`` or ``factor`` is not positive, or a number is not finite.
    """

    start: float
    every: float
    factor: float = 0.1

    def __post_init__(self) -> None:
        _finite(self, "start")
        _finite(self, "every", "factor", above=0)

    def __call__(self, step: float, epoch: float) -> float:  # noqa: ARG002
        return self.start * float(self.factor ** (step // self.every))


@dataclass(frozen=True)
class Exponential:
    """``start * factor ** (step / every)``.

    Raises:
        AttributeValueError: ``every`` or ``factor`` is not positive, or a number is not finite.
    """

    start: float
    factor: float
    every: float = 1

    def __post_init__(self) -> None:
        _finite(self, "start")
        _finite(self, "every", "factor", above=0)

    def __call__(self, step: float, epoch: float) -> float:  # noqa: ARG002
        return self.start * float(self.factor ** (step / self.every))


@dataclass(frozen=True)
class Polynomial:
    """``end + (start - end) * (1 - step / steps) ** power``, and ``end`` after ``steps``; a straight line for power 1.

    Raises:
        AttributeValueError: ``steps`` or ``power`` is not positive, or a number is not finite.
    """

    start: float
    steps: float
    end: float = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        _finite(self, "start", "end")
        _finite(self, "steps", "power", above=0)

    def __call__(self, step: float, epoch: float) -> float:  # noqa: ARG002
        left = 1 - min(step / self.steps, 1)
        return self.end + (self.start - self.end) * float(left**self.power)


@dataclass(frozen=True)
class Cosine:
    """Half a wave from ``start`` to ``end`` in ``steps``, then ``end``; or, with restarts, the next half-wave.

    ``end + (start - end) * (1 + cos(pi * t / T)) / 2``, where ``t`` counts from the last restart. ``T`` is ``steps`` at
    first, and ``stretch`` times that of the half-wave before after each restart.

    Source: I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5.

    Raises:
        AttributeValueError: ``steps`` is not positive, ``stretch`` less than 1, or a number is not finite.
    """

    start: float
    steps: float
    end: float = 0.0
    restarts: bool = False
    stretch: float = 1.0

    def __post_init__(self) -> None:
        _finite(self, "start", "end")
        _finite(self, "steps", above=0)
        _finite(self, "stretch", least=1)

    def __call__(self, step: float, epoch: float) -> float:  # noqa: ARG002
        part = self._part(step) if self.restarts else min(step / self.steps, 1)
        return _half_wave(self.start, self.end, part)

    def _part(self, step: float) -> float:
        """The part of the current half-wave that is done."""
        waves = step / self.steps
        if self.stretch == 1:
            return waves % 1
        # The half-waves before number n last (stretch ** n - 1) / (stretch - 1) times the first one.
        number = math.floor(math.log(1 + waves * (self.stretch - 1), self.stretch) + 1e-9)
        past = (self.stretch**number - 1) / (self.stretch - 1)
        return max(waves - past, 0) / self.stretch**number


@dataclass(frozen=True)
class Warmup:
    """A straight line for ``steps``, from ``start`` to the first number of ``then``; after that ``then``.

    Source: P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", arXiv 1706.02677 (2017),
    section 2.2.

    Args:
        steps: how long it takes.
        then: a number, or a schedule, which sees the steps from the end of the line on, and all epochs.
        start: where the line begins, for step 0.

    Raises:
        AttributeValueError: ``steps`` is not positive, or a number is not finite.
    """

    steps: float
    then: Number
    start: float = 0.0

    def __post_init__(self) -> None:
        _finite(self, "start")
        _finite(self, "steps", above=0)
        if not callable(self.then):
            _finite(self, "then")

    def __call__(self, step: float, epoch: float) -> float:
        if step >= self.steps:
            return _at(self.then, step - self.steps, epoch)
        peak = _at(self.then, 0, 0.0)
        return self.start + (peak - self.start) * step / self.steps


@dataclass(frozen=True)
class OneCycle:
    """Half a wave up from ``peak / low`` to ``peak``, then half a wave down to ``peak / end`` at the last of ``steps``.

    Source: L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", arXiv 1708.07120 (2018), section 3, with half-waves in the place of straight lines.

    Args:
        peak: the greatest number.
        steps: how many there are; step ``steps - 1`` is the last of them, whose number counts from then on.
        rise: the part of them that leads up.
        low: the peak over the first number.
        end: the peak over the last number.

    Raises:
        AttributeValueError: ``steps`` is less than 2, ``rise`` not in (0, 1), or ``low`` or ``end`` not at least 1.
    """

    peak: float
    steps: int
    rise: float = 0.3
    low: float = 25.0
    end: float = 250_000.0

    def __post_init__(self) -> None:
        _finite(self, "peak")
        _finite(self, "steps", least=2)
        _finite(self, "rise", above=0, below=1)
        _finite(self, "low", "end", least=1)

    def __call__(self, step: float, epoch: float) -> float:  # noqa: ARG002
        last, top = self.steps - 1, self.rise * (self.steps - 1)
        if step < top:
            return _half_wave(self.peak / self.low, self.peak, step / top)
        return _half_wave(self.peak, self.peak / self.end, min((step - top) / (last - top), 1))


@dataclass(frozen=True)
class Piecewise:
    """Numbers or schedules one after the other: ``Piecewise((0, 0.1), (1000, Cosine(0.01, 500)))``.

    Args:
        pieces: each with the step from which it counts, the first of which is 0. A schedule among them sees the steps
            from there on, and all epochs.

    Raises:
        AttributeValueError: the first step is not 0, the steps do not grow, or a number is not finite.
    """

    pieces: tuple[tuple[float, Number], ...]

    def __init__(self, *pieces: tuple[float, Number]) -> None:
        object.__setattr__(self, "pieces", pieces)
        if not all(isinstance(piece, tuple) and len(piece) == 2 for piece in pieces):
            raise _refused(self, "pieces", "pairs (step, number or schedule)", pieces)
        starts = [start for start, _ in pieces]
        if not all(map(_is_finite, starts)) or starts[:1] != [0] or starts != sorted(set(starts)):
            raise _refused(self, "pieces", "steps that grow from 0", starts)
        for _, value in pieces:
            if not callable(value) and not _is_finite(value):
                raise _refused(self, "pieces", "finite numbers or schedules", value)

    def __call__(self, step: float, epoch: float) -> float:
        start, value = next(piece for piece in reversed(self.pieces) if piece[0] <= step)
        return _at(value, step - start, epoch)


@dataclass(frozen=True)
class PerEpoch:
    """A schedule that counts epochs, with the part of the current one that is done, in the place of steps.

    ``PerEpoch(StepDecay(0.1, every=30))`` changes every 30 epochs.

    Raises:
        AttributeValueError: it is no schedule.
    """

    schedule: Schedule

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise _refused(self, "schedule", "a schedule", self.schedule)

    def __call__(self, step: float, epoch: float) -> float:  # noqa: ARG002
        return self.schedule(epoch, epoch)


def _at(value: Number, step: float, epoch: float) -> float:
    return value(step, epoch) if callable(value) else value


def _half_wave(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _finite(
    owner: object,
    *names: str,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
) -> None:
    """Check fields of a schedule: finite, greater than ``above``, at least ``least``, and less than ``below``."""
    left = f"[{least:g}" if least > above else f"({above:g}"
    for name in names:
        value = getattr(owner, name)
        if not _is_finite(value) or not (value > above and value >= least and value < below):
            raise _refused(owner, name, f"a number in {left}, {below:g})", value)


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    return math.isfinite(value)


def _refused(owner: object, name: str, expected: str, got: object) -> AttributeValueError:
    return AttributeValueError(f"{type(owner).__name__}: '{name}' makes no sense", expected=expected, got=repr(got))
