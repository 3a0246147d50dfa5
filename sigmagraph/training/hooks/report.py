"""Hooks that say what values are, and where training stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.hooking.criteria import Criterion
from sigmagraph.training.hooking.hook import Hook, Moment, Scope, When
from sigmagraph.training.hooking.timing import TimeScale, TimeStep
from sigmagraph.training.hooks.accumulate import Accumulate
from sigmagraph.training.hooks.listing import listed
from sigmagraph.training.hooks.sharing import FIRST, check_prompt, position
from sigmagraph.training.hooks.values import shown

Summary: TypeAlias = Literal["mean", "sum"]


@dataclass(frozen=True)
class Position(Hook):
    """Say in which epoch and iteration training is."""

    priority: int = FIRST

    def invoke(self, now: Moment, /) -> None:
        now.say(position(now))


@dataclass(frozen=True, init=False)
class Report(Hook):
    """Say what values are: ``Report("optimiser.cost", "network.layers.*.weights", every="10 iterations")``.

    Numbers are said with four digits that count, arrays with their shape, mean and range. Subclasses that say it in
    another way override :meth:`text`.

    Args:
        identifiers: of the values; patterns are allowed, unless values are accumulated.
        every: when.
        format: how numbers are said, as in ``format(number, ".3f")``.
        accumulate: ``"mean"`` or ``"sum"`` for what the iterations since the last report came to, instead of the value
            of the last one.
        on, priority, scope, background: as in :class:`Hook`.

    Raises:
        AttributeValueError: there is nothing to say; the format is none; what is accumulated is to be said for each
            worker, in the background or at other events than epochs and iterations; or as for :class:`Hook`.
        IdentifierError: a pattern is to be accumulated.
    """

    identifiers: tuple[str, ...]
    format: str | None
    accumulate: Summary | None

    def __init__(
        self,
        *identifiers: str,
        every: When = "1 epoch",
        format: str | None = None,
        accumulate: Summary | None = None,
        on: Criterion | None = None,
        priority: int = 0,
        scope: Scope = "global",
        background: bool = False,
    ) -> None:
        fields = {
            "identifiers": identifiers,
            "format": format,
            "accumulate": accumulate,
            "every": every,
            "on": on,
            "priority": priority,
            "scope": scope,
            "background": background,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.identifiers or not all(isinstance(name, str) for name in self.identifiers):
            raise AttributeValueError(
                "Report: there is nothing to say", expected="identifiers", got=repr(self.identifiers)
            )
        try:
            format(1.0, self.format or "")
        except (TypeError, ValueError) as error:
            raise AttributeValueError(
                "Report: this is no format", expected="such as '.3f'", got=repr(self.format)
            ) from error
        if self.accumulate not in (None, "mean", "sum"):
            raise AttributeValueError(
                "Report: 'accumulate' makes no sense", expected="mean, sum or None", got=repr(self.accumulate)
            )
        if self.accumulate is not None:
            check_prompt(self)
            self._check_events()

    def _check_events(self) -> None:
        if self.time_step.scale not in (TimeScale.EPOCH, TimeScale.ITERATION):
            raise AttributeValueError(
                "Report: values are accumulated from one report to the next",
                expected="every so many epochs or iterations",
                got=self.time_step,
            )

    def _accumulators(self) -> dict[str, Accumulate]:
        """What is to be accumulated, by identifier."""
        if self.accumulate is None:
            return {}
        step = self.time_step
        reset = TimeStep(step.count, step.scale)
        return {name: Accumulate(name, mode=self.accumulate, reset=reset) for name in self.identifiers}

    def requires(self) -> tuple[Hook, ...]:
        return tuple(self._accumulators().values())

    def reads(self) -> tuple[str, ...]:
        accumulated = tuple(accumulator.result for accumulator in self._accumulators().values())
        return accumulated or self.identifiers

    def text(self, now: Moment) -> str:
        """What is said."""
        accumulators = self._accumulators()
        if accumulators:
            values = {
                name: now.find(hook.result).get(hook.result, "nothing yet") for name, hook in accumulators.items()
            }
        else:
            values = listed(now, self.identifiers)
        label = f" ({self.accumulate})" if self.accumulate else ""
        parts = [f"{name}{label} {shown(value, self.format)}" for name, value in values.items()]
        return f"{position(now)}: {', '.join(parts)}"

    def invoke(self, now: Moment, /) -> None:
        now.say(self.text(now))
