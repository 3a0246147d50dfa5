"""A hook that keeps a running mean, sum or extremum of a number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias, get_args

from sigmagraph.errors import AttributeValueError
from sigmagraph.identifiers import split_path
from sigmagraph.training.hooking.criteria import number
from sigmagraph.training.hooking.hook import Moment, State, When
from sigmagraph.training.hooking.timing import TimeScale, TimeStep, as_time_step
from sigmagraph.training.hooks.sharing import EARLY, SharingHook, check_name

Mode: TypeAlias = Literal["mean", "sum", "min", "max", "last"]


@dataclass(frozen=True)
class Accumulate(SharingHook):
    """Keep the mean, sum or an extremum of a number, and share it.

    It is shared as ``shared.<identifier>_accumulated``, with ``_`` for the dots of the identifier; modes other than the
    mean and resets other than each epoch are added to the name. Sums are exact: they are rounded once, to float64, when
    they are shared. As long as there is nothing to accumulate, nothing is shared.

    Args:
        identifier: of the number.
        as_: what it is called below ``shared.`` instead.
        mode: ``"mean"``, ``"sum"``, ``"min"``, ``"max"`` or ``"last"``.
        reset: when it begins anew: after so many epochs or iterations, counted from where it was attached; None for
            never. The value of what has ended stays shared until there is a new one.

    Raises:
        AttributeValueError: the mode or the reset makes no sense, or the name is none; or as for :class:`Hook`.
        IdentifierError: the identifier is none.
    """

    identifier: str
    as_: str | None = None
    mode: Mode = "mean"
    reset: When | None = "1 epoch"
    _: KW_ONLY
    every: When = "1 iteration"
    priority: int = EARLY

    def __post_init__(self) -> None:
        super().__post_init__()
        split_path(self.identifier)
        if self.as_ is not None:
            check_name("Accumulate", self.as_)
        if self.mode not in get_args(Mode):
            raise AttributeValueError(
                "Accumulate: 'mode' makes no sense", expected=", ".join(get_args(Mode)), got=repr(self.mode)
            )
        step = None if self.reset is None else as_time_step(self.reset)
        if step and (step.scale not in (TimeScale.EPOCH, TimeScale.ITERATION) or step.live is not None):
            raise AttributeValueError(
                "Accumulate: 'reset' makes no sense", expected="every so many epochs or iterations", got=step
            )
        object.__setattr__(self, "reset", step)

    @property
    def result(self) -> str:
        """The identifier of what is shared."""
        if self.as_ is not None:
            return f"shared.{self.as_}"
        name = f"shared.{self.identifier.replace('.', '_')}_accumulated"
        step = self._reset
        if self.mode != "mean":
            name += f"_{self.mode}"
        if step is None:
            return f"{name}_in_all"
        plural = "s" if step.count > 1 else ""
        usual = step == TimeStep(1, TimeScale.EPOCH)
        return name if usual else f"{name}_per_{step.count}_{step.scale.value}{plural}"

    @property
    def _reset(self) -> TimeStep | None:
        return None if self.reset is None else as_time_step(self.reset)

    def reads(self) -> tuple[str, ...]:
        return (self.identifier,)

    def provides(self) -> tuple[str, ...]:
        return (self.result,)

    def initial(self) -> State:
        return {"since": None, "count": 0, "partials": [], "value": None}

    def invoke(self, now: Moment, /) -> None:
        state, value = now.state, number(now, self.identifier)
        self._begin(now)
        state["count"] += 1
        if self.mode in ("mean", "sum") and math.isfinite(value):
            state["partials"] = _added(state["partials"], value)
        else:
            state["value"] = _plain(self._merged(state["value"], value))
        now.share(self.result, self._current(state))

    def _begin(self, now: Moment) -> None:
        """Begin anew where it is time to."""
        step, state = self._reset, now.state
        if step is None:
            return
        begun = self._before(now, step.scale)
        if state["since"] is None:
            state["since"] = begun
        periods = (begun - state["since"]) // step.count
        if periods:
            state.update(self.initial(), since=state["since"] + periods * step.count)

    def _before(self, now: Moment, scale: TimeScale) -> int:
        """How many epochs or iterations were finished before those that the value is of.

        An iteration ends before its epoch does, so that the epoch which it is part of is not counted yet.
        """
        finished = now.iteration if scale is TimeScale.ITERATION else now.epoch
        return finished - self.time_step.count if self.time_step.scale is scale else finished

    def _merged(self, before: float | str | None, value: float) -> float:
        """What the mode makes of the value so far and a new one. Sums come here with what is not finite alone."""
        if before is None or self.mode == "last":
            return value
        known = float(before)
        if self.mode in ("mean", "sum"):
            return known + value
        # What is not a number stays visible, as in NumPy.
        if math.isnan(known) or math.isnan(value):
            return math.nan
        return min(known, value) if self.mode == "min" else max(known, value)

    def _current(self, state: State) -> float:
        if state["value"] is not None:
            return float(state["value"])
        total = math.fsum(state["partials"])
        return total / state["count"] if self.mode == "mean" else total


def _added(partials: Iterable[float], value: float) -> list[float]:
    """Numbers without overlapping digits that come to the same, exactly, as those before and a new one.

    Source: J. R. Shewchuk, Adaptive precision floating-point arithmetic and fast robust geometric predicates (1997).
    """
    kept = []
    for partial in partials:
        high = value + partial
        part = high - value
        low = (value - (high - part)) + (partial - part)
        if low:
            kept.append(low)
        value = high
    return [*kept, value]


def _plain(value: float) -> float | str:
    """A number as JSON can hold it."""
    return value if math.isfinite(value) else str(value)
