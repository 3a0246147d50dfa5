"""Hooks that measure what epochs and iterations take, and say it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.hooking.hook import Hook, Moment, State, When
from sigmagraph.training.hooking.timing import TimeScale, TimeStep, as_time_step
from sigmagraph.training.hooks.sharing import EARLY, SharingHook, check_prompt, position


@dataclass(frozen=True)
class RunningTime(SharingHook):
    """Share what an epoch or an iteration takes, in milliseconds and without pauses.

    Of the latest ones, ``shared.time_Iteration_average``, ``_min`` and ``_max`` (or ``time_Epoch_...``) leave out the
    extreme ones, so that a single slow one does not show: sqrt(n / 2) of n, the longest first, then the shortest and
    the longest by turns. ``_last`` is the latest one as it was. Where a hook is attached in mid-course, the first one
    is not known and nothing is shared at its end.

    Args:
        scale: what is measured: ``"epoch"`` or ``"iteration"``.
        span: how many of the latest ones are looked at.

    Raises:
        AttributeValueError: there is no such scale, or the span is none of 1, 2, 3, ...; or as for :class:`Hook`.
    """

    scale: TimeScale | str = TimeScale.ITERATION
    span: int = 4
    every: When = field(default="1 iteration", init=False, repr=False, kw_only=True)
    priority: int = field(default=EARLY, kw_only=True)

    def __post_init__(self) -> None:
        scale = _scale("RunningTime", self.scale)
        _check_span("RunningTime", self.span)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "every", TimeStep(1, scale))
        super().__post_init__()

    def provides(self) -> tuple[str, ...]:
        name = self.time_step.scale.value.capitalize()
        return tuple(f"shared.time_{name}_{what}" for what in ("last", "average", "min", "max"))

    def initial(self) -> State:
        return {"before": None, "latest": []}

    def invoke(self, now: Moment, /) -> None:
        state = now.state
        number = now.epoch if self.time_step.scale is TimeScale.EPOCH else now.iteration
        before = 0.0 if state["before"] is None and number == 1 else state["before"]
        state["before"] = now.seconds
        if before is None:
            return
        state["latest"] = [*state["latest"], 1000 * (now.seconds - before)][-self.span :]
        usual = _usual(state["latest"])
        values = (state["latest"][-1], math.fsum(usual) / len(usual), usual[0], usual[-1])
        for identifier, value in zip(self.provides(), values, strict=True):
            now.share(identifier, value)


@dataclass(frozen=True)
class ReportTime(Hook):
    """Say what an epoch or an iteration takes, as :class:`RunningTime` measures it.

    Args:
        scale: what is measured: ``"epoch"`` or ``"iteration"``.
        span: how many of the latest ones are looked at.

    Raises:
        AttributeValueError: it is to be local or in the background; or as for :class:`RunningTime`.
    """

    scale: TimeScale | str = TimeScale.ITERATION
    span: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", _scale("ReportTime", self.scale))
        _check_span("ReportTime", self.span)
        check_prompt(self)

    def _source(self) -> RunningTime:
        return RunningTime(self.scale, self.span)

    def requires(self) -> tuple[Hook, ...]:
        return (self._source(),)

    def reads(self) -> tuple[str, ...]:
        return self._source().provides()

    def invoke(self, now: Moment, /) -> None:
        last, average, _, _ = (now.find(identifier).get(identifier) for identifier in self.reads())
        what = self._source().time_step.scale.value
        if average is None:
            now.say(f"{position(now)}: no {what} was measured yet")
            return
        rate = 1000 / average if average else math.inf
        now.say(f"{position(now)}: {average:.4g} ms an {what} ({rate:.4g} a second), the last {last:.4g} ms")


def _usual(durations: Sequence[float]) -> list[float]:
    """The durations in order, without the extreme ones; at least one is left."""
    usual = sorted(durations)
    for turn in range(math.isqrt(len(usual) // 2)):
        usual.pop(0 if turn % 2 else -1)
    return usual


def _scale(owner: str, scale: TimeScale | str) -> TimeScale:
    found = as_time_step(scale).scale
    if found not in (TimeScale.EPOCH, TimeScale.ITERATION):
        raise AttributeValueError(f"{owner} measures no such thing", expected="epoch or iteration", got=repr(scale))
    return found


def _check_span(owner: str, span: object) -> None:
    if isinstance(span, bool) or not isinstance(span, int) or span < 1:
        raise AttributeValueError(f"{owner}: 'span' makes no sense", expected="1, 2, 3, ...", got=repr(span))
