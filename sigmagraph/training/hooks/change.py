"""Hooks that change values while training runs: entries of the registry, and parameters by what modifiers compute."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from sigmagraph.errors import AttributeValueError
from sigmagraph.identifiers import matching
from sigmagraph.optimisers.modifiers import Modifier
from sigmagraph.training.hooking.hook import Moment, Training
from sigmagraph.training.hooks.acting import CHANGING, ActingHook
from sigmagraph.training.hooks.sameness import sameness


@dataclass(frozen=True)
class ValueChange(ActingHook):
    """Set what a pattern names: ``ValueChange("*.3-dropout.rate", 0.1, every=after("5 epochs"))``.

    Args:
        identifier: of an entry of the trainer's registry, such as a hyperparameter or a parameter; or a pattern.
        value: what it gets, or ``function(now) -> value``, which may look at what ``names`` says.
        names: identifiers or patterns that the function reads.

    Raises:
        AttributeValueError: the function takes something else than a moment.
    """

    identifier: str
    value: Any = field(compare=False)
    _: KW_ONLY
    priority: int = CHANGING
    names: tuple[str, ...] = ()
    _same: Any = field(init=False, repr=False, hash=False, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if callable(self.value):
            _check_function(self.value)
        object.__setattr__(self, "names", (self.names,) if isinstance(self.names, str) else tuple(self.names))
        object.__setattr__(self, "_same", sameness(self.value))

    def reads(self) -> tuple[str, ...]:
        return self.names

    def invoke(self, now: Moment, /) -> None:
        now.set(self.identifier, self.value(now) if callable(self.value) else self.value)


def _check_function(function: Callable[..., object]) -> None:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise AttributeValueError(
            "ValueChange: the function takes something else",
            expected="function(now) -> value",
            got=repr(function),
            hint="the hook Schedule takes schedules",
        ) from None


@dataclass(frozen=True)
class Modify(ActingHook):
    """Let a modifier change parameters at events: ``Modify("*.weights", MaxNorm(3.0), every="1 epoch")``.

    An optimiser's ``modifiers`` do so in every step, and cost less there. Parameters that are frozen stay as they are.

    Args:
        pattern: of parameters, as for :meth:`Network.freeze`.
        modifier: :class:`Clamp`, :class:`Scale`, :class:`MaxNorm`, or one of your own.

    Raises:
        AttributeValueError: the modifier is none.
    """

    pattern: str
    modifier: Modifier
    _: KW_ONLY
    priority: int = CHANGING

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.modifier, Modifier):
            raise AttributeValueError(
                "Modify: this is no modifier", expected="such as MaxNorm(3.0)", got=repr(self.modifier)
            )

    def attached(self, trainer: Training) -> None:
        matching(self.pattern, trainer.network.parameters())  # which refuses a pattern that names nothing

    def invoke(self, now: Moment, /) -> None:
        new = now.trainer.network.modified(self.pattern, self.modifier, now.iteration, now.epoch)
        for identifier, value in new.items():
            now.set(f"network.layers.{identifier}", value)  # which tells all workers
