"""What a hook is: a record that says when it fires, what it reads, and what it does then.

A hook holds no state of its own. What it has to remember is a dict of plain values that the trainer keeps for each
place where the hook is attached, hands in at every invocation, and writes into checkpoints.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

from sigmagraph.errors import AttributeValueError, IdentifierError
from sigmagraph.identifiers import path_pattern
from sigmagraph.training.evaluation import Evaluation
from sigmagraph.training.hooking.criteria import Criterion
from sigmagraph.training.hooking.timing import TimeScale, TimeStep, as_time_step
from sigmagraph.training.network import Network
from sigmagraph.training.registry.registry import Registry
from sigmagraph.training.storage.checkpoints import Checkpoint
from sigmagraph.training.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from concurrent.futures import Future

# What a hook remembers: values that JSON can hold.
State: TypeAlias = dict[str, Any]
Scope: TypeAlias = Literal["global", "local"]
When: TypeAlias = TimeStep | str


class Training(Protocol):
    """What hooks see of a trainer."""

    name: str
    network: Network
    registry: Registry
    folder: RunFolder | None

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        ...

    @property
    def iteration(self) -> int:
        """Finished iterations."""
        ...

    def judge(self, name: str) -> Evaluation:
        """The verdict on a named dataset as the network is now; computed once for each state of the network."""
        ...

    def metrics(self) -> dict[str, float]:
        """The numbers that are known of the network as it is now, by identifier."""
        ...

    def open_folder(self, path: str | PathLike[str]) -> RunFolder:
        """The run folder, made if there is none yet."""
        ...

    def checkpoint(self) -> Checkpoint:
        """Everything that training depends on, as it is now."""
        ...

    def restore(self, checkpoint: Checkpoint) -> None:
        """Let parameters, optimiser and random numbers be as they were when a checkpoint was made."""
        ...

    def set(self, identifier: str, value: Any) -> Future[list[str]]:
        """Set what a pattern names, at the next safe point if training runs elsewhere."""
        ...

    def stop(self, reason: str = "") -> None:
        """End training after this iteration."""
        ...

    def say(self, text: str) -> None:
        """Show a line to whoever watches."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What a hook is handed when it fires.

    Attributes:
        scale: the kind of event.
        epoch, iteration: how many were finished before it; the one that an event ends is among them.
        seconds: since training began, without pauses.
        worker: the number of the worker whose values these are; None for what all workers share.
        state: what the hook remembers; changes are kept.
        trainer: the trainer; background hooks must not change it except through :meth:`share` and :meth:`set`.
    """

    scale: TimeScale
    epoch: int
    iteration: int
    seconds: float
    worker: int | None
    state: State
    trainer: Training
    values: Mapping[str, Any]
    owner: str
    given: Callable[[str, Any], None]
    asked: Callable[[str, Any], object]

    def __getitem__(self, identifier: str) -> Any:
        """A value that the hook has declared to read; arrays are read-only.

        Raises:
            IdentifierError: it has not.
        """
        if identifier in self.values:
            return self.values[identifier]
        raise IdentifierError(
            f"the hook {self.owner} reads what it has not declared",
            expected=", ".join(self.values) or "nothing",
            got=identifier,
            hint="name it in what `reads` gives",
        )

    def find(self, pattern: str) -> dict[str, Any]:
        """The declared values that a pattern names, by identifier."""
        matcher = path_pattern(pattern)
        return {identifier: value for identifier, value in self.values.items() if matcher.matches(identifier)}

    def share(self, identifier: str, value: Any) -> None:
        """Offer a value to other hooks and to whoever looks, under an identifier that the hook provides.

        Numbers under such identifiers are also metrics of the run.
        """
        self.given(identifier, value)

    def set(self, identifier: str, value: Any) -> None:
        """Set an entry of the trainer's registry, such as ``optimiser.learning_rate``."""
        self.asked(identifier, value)

    def say(self, text: str) -> None:
        """Show a line to whoever watches the training."""
        self.trainer.say(text)


@dataclass(frozen=True)
class Hook(ABC):
    """What is to be done at certain events of training.

    Subclasses are frozen records: two hooks that are equal do the same, and the second one is not attached again.

    Args:
        every: the events at which it fires: ``"10 iterations"``, ``"1 epoch"``, ``"stop"``, or a :class:`TimeStep`.
        on: a criterion; the hook fires only where it holds.
        priority: hooks that fire at one event do so from the lowest to the highest, after those that they depend on.
        scope: whether it sees what all workers have come to together, or is invoked for each worker.
        background: whether it runs beside training, on copies of what it reads.

    Raises:
        AttributeValueError: one of these makes no sense.
    """

    _: KW_ONLY
    every: When = "1 epoch"
    on: Criterion | None = None
    priority: int = 0
    scope: Scope = "global"
    background: bool = False

    # Whether identifiers that nothing offers are an error when training starts.
    strict: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", as_time_step(self.every))
        if self.on is not None and not isinstance(self.on, Criterion):
            raise AttributeValueError(
                f"{type(self).__name__}: 'on' is no criterion", expected="one of sg.hooks' criteria", got=repr(self.on)
            )
        if self.scope not in ("global", "local"):
            raise AttributeValueError(
                f"{type(self).__name__}: there is no such scope", expected="global or local", got=repr(self.scope)
            )
        if isinstance(self.priority, bool) or not isinstance(self.priority, int):
            raise AttributeValueError(
                f"{type(self).__name__}: the priority is a number", expected="an int", got=repr(self.priority)
            )

    @property
    def label(self) -> str:
        """What errors and checkpoints call it."""
        return type(self).__name__

    @property
    def time_step(self) -> TimeStep:
        """The events at which it fires."""
        return as_time_step(self.every)

    def reads(self) -> tuple[str, ...]:
        """Identifiers, or patterns of them, whose values it needs; the training step hands out no others."""
        return ()

    def provides(self) -> tuple[str, ...]:
        """Identifiers of what it shares."""
        return ()

    def requires(self) -> tuple[Hook, ...]:
        """Hooks that are attached with it, unless equal ones are, and fire before it."""
        return ()

    def initial(self) -> State:
        """What it remembers at the beginning."""
        return {}

    def attached(self, trainer: Training) -> None:  # noqa: B027
        """Called once when training is about to start with it; for checks, and for opening files.

        Raises:
            SigmaError: it cannot do its work.
        """

    def detached(self, trainer: Training) -> None:  # noqa: B027
        """Called when it is taken off; for closing files."""

    @abstractmethod
    def invoke(self, now: Moment, /) -> None:
        """Do it."""


@dataclass(frozen=True)
class LambdaHook(Hook):
    """A function as a hook: ``function(now)``, where ``now`` is a :class:`Moment`."""

    function: Callable[[Moment], object]
    _: KW_ONLY
    names: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function):
            raise AttributeValueError("this is no hook", expected="a function of a moment", got=repr(self.function))
        for field in ("names", "offers"):
            value = getattr(self, field)
            object.__setattr__(self, field, (value,) if isinstance(value, str) else tuple(value))

    @property
    def label(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function)).replace("<locals>.", "")

    def reads(self) -> tuple[str, ...]:
        return self.names

    def provides(self) -> tuple[str, ...]:
        return self.offers

    def invoke(self, now: Moment, /) -> None:
        self.function(now)


def hook(
    every: When = "1 epoch",
    reads: Collection[str] = (),
    provides: Collection[str] = (),
    *,
    on: Criterion | None = None,
    priority: int = 0,
    scope: Scope = "global",
    background: bool = False,
) -> Callable[[Callable[[Moment], object]], LambdaHook]:
    """Make a hook of a function: ``@hooks.hook("1 epoch", reads=["optimiser.cost"])``; arguments as in :class:`Hook`.

    Raises:
        AttributeValueError: one of them makes no sense.
    """
    if callable(every):
        raise AttributeValueError("the decorator is called first", expected="@hook('1 epoch')", got="@hook")

    def decorate(function: Callable[[Moment], object]) -> LambdaHook:
        if not _takes_one(function):
            raise AttributeValueError("a hook takes one argument", expected="function(now)", got=repr(function))
        return LambdaHook(
            function,
            names=_as_tuple(reads),
            offers=_as_tuple(provides),
            every=every,
            on=on,
            priority=priority,
            scope=scope,
            background=background,
        )

    return decorate


def _as_tuple(names: Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _takes_one(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    return True
