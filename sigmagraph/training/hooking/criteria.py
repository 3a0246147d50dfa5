"""Criteria: conditions on values of a training that say at which of its events a hook fires."""

from __future__ import annotations

import hashlib
import math
import operator
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.identifiers import split_path

# What a criterion remembers: values that JSON can hold.
State: TypeAlias = dict[str, Any]
Comparison: TypeAlias = Literal[">", ">=", "==", "<=", "<"]
Extreme: TypeAlias = Literal["max", "min"]


class Readings(Protocol):
    """The values that a criterion has declared to read; a moment is one, and a mapping."""

    def __getitem__(self, identifier: str, /) -> Any:
        """The value of an identifier."""
        ...


class Criterion(ABC):
    """A condition that is checked at the events of a hook; the hook fires where it holds.

    Criteria are frozen records: two that are equal decide the same. What one has to remember is a dict of plain values
    that the trainer keeps for each place where it is used, hands in at every check, and writes into checkpoints.

    ``a & b``, ``a | b``, ``~a`` and ``a.repeated(3)`` make new ones. All members of such a criterion are checked at
    every event, so that those which remember something miss nothing.
    """

    def reads(self) -> tuple[str, ...]:
        """Identifiers whose values it needs."""
        return ()

    def initial(self) -> State:
        """What it remembers at the beginning."""
        return {}

    @abstractmethod
    def holds(self, now: Readings, state: State, /) -> bool:
        """Check it.

        Args:
            now: the values that it reads.
            state: what it remembers; changes are kept.

        Raises:
            InputError: a value is not what it compares.
        """

    def repeated(self, n: int, in_a_row: bool = False) -> Repeated:
        """Holds whenever this one has held ``n`` times, see :class:`Repeated`.

        Raises:
            AttributeValueError: ``n`` is none of 1, 2, 3, ..., or this can never be.
        """
        return Repeated(self, n, in_a_row)

    def __and__(self, other: Criterion) -> And:
        if not isinstance(other, Criterion):
            return NotImplemented
        return And(*_members(self, And), *_members(other, And))

    def __or__(self, other: Criterion) -> Or:
        if not isinstance(other, Criterion):
            return NotImplemented
        return Or(*_members(self, Or), *_members(other, Or))

    def __invert__(self) -> Criterion:
        return Not(self)


@dataclass(frozen=True)
class Threshold(Criterion):
    """Holds where a number compares with a bound: ``Threshold("validation.accuracy", ">", 0.9)``.

    What is not a number (NaN) compares with nothing, so that it never holds.

    Args:
        identifier: of the number.
        comparison: one of ``>``, ``>=``, ``==``, ``<=``, ``<``.
        value: the bound.
        once: whether it holds only when the number crosses the bound: at the first check where the comparison is true,
            and again after one where it was not.

    Raises:
        AttributeValueError: the comparison is unknown, or the bound is no number.
        IdentifierError: the identifier is none.
    """

    identifier: str
    comparison: Comparison
    value: float
    once: bool = False

    def __post_init__(self) -> None:
        split_path(self.identifier)
        _check_choice("Threshold", "comparison", self.comparison, get_args(Comparison))
        _check_number("Threshold", "value", self.value)

    def __str__(self) -> str:
        return f"{self.identifier} {self.comparison} {self.value:g}{' for the first time' if self.once else ''}"

    def reads(self) -> tuple[str, ...]:
        return (self.identifier,)

    def initial(self) -> State:
        return {"held": False} if self.once else {}

    def holds(self, now: Readings, state: State, /) -> bool:
        found = _comparison(self.comparison)(number(now, self.identifier), self.value)
        if not self.once:
            return found
        before, state["held"] = state["held"], found
        return found and not before


@dataclass(frozen=True)
class Extremum(Criterion):
    """Holds where a number is better than at all checks before; the first one counts as better than nothing.

    What is not finite is never a best.

    Args:
        identifier: of the number.
        mode: whether ``"max"`` or ``"min"`` is best.
        min_delta: by how much more it has to be better than the best so far.

    Raises:
        AttributeValueError: the mode is neither, or ``min_delta`` is negative or not finite.
        IdentifierError: the identifier is none.
    """

    identifier: str
    mode: Extreme
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        split_path(self.identifier)
        _check_choice("Extremum", "mode", self.mode, get_args(Extreme))
        _check_number("Extremum", "min_delta", self.min_delta, least=0.0)

    def __str__(self) -> str:
        more = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return f"{self.identifier} has a new {self.mode}{more}"

    def reads(self) -> tuple[str, ...]:
        return (self.identifier,)

    def initial(self) -> State:
        return {"best": None}

    def holds(self, now: Readings, state: State, /) -> bool:
        value, best = number(now, self.identifier), state["best"]
        if not math.isfinite(value):
            return False
        sign = 1 if self.mode == "max" else -1
        found = best is None or sign * value > sign * best + self.min_delta
        if found:
            state["best"] = value
        return found


@dataclass(frozen=True)
class Changed(Criterion):
    """Holds where a value is another one than at the check before; there is none before the first one.

    Args:
        identifier: of the value: a number, a text, None, or an array.
        tolerance: by how much a number may differ without being another one; arrays are compared exactly.

    Raises:
        AttributeValueError: the tolerance is negative or not finite.
        IdentifierError: the identifier is none.
    """

    identifier: str
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        split_path(self.identifier)
        _check_number("Changed", "tolerance", self.tolerance, least=0.0)

    def __str__(self) -> str:
        return f"{self.identifier} has changed"

    def reads(self) -> tuple[str, ...]:
        return (self.identifier,)

    def initial(self) -> State:
        return {"last": None}

    def holds(self, now: Readings, state: State, /) -> bool:
        found = _plain(self.identifier, now[self.identifier], exact=not self.tolerance)
        last, state["last"] = state["last"], found
        if last is None or found == last:
            return False
        numbers = last[0] == found[0] == "number"
        return not (numbers and abs(found[1] - last[1]) <= self.tolerance)


@dataclass(frozen=True, init=False)
class _Composed(Criterion):
    """A criterion of several.

    Raises:
        AttributeValueError: there are none, or something else is among them.
    """

    criteria: tuple[Criterion, ...]

    def __init__(self, *criteria: Criterion) -> None:
        if not criteria or not all(isinstance(criterion, Criterion) for criterion in criteria):
            raise AttributeValueError(
                f"{type(self).__name__} is made of criteria", expected="at least one", got=repr(criteria)
            )
        object.__setattr__(self, "criteria", criteria)

    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for criterion in self.criteria for name in criterion.reads()))

    def initial(self) -> State:
        return {"members": [criterion.initial() for criterion in self.criteria]}

    def _checked(self, now: Readings, state: State) -> list[bool]:
        """Whether each member holds. All are asked, also where the first one decides."""
        pairs = zip(self.criteria, state["members"], strict=True)
        return [criterion.holds(now, member) for criterion, member in pairs]


class And(_Composed):
    """Holds where all of several criteria do: ``a & b``."""

    def __str__(self) -> str:
        return f"({' and '.join(map(str, self.criteria))})"

    def holds(self, now: Readings, state: State, /) -> bool:
        return all(self._checked(now, state))


class Or(_Composed):
    """Holds where at least one of several criteria does: ``a | b``."""

    def __str__(self) -> str:
        return f"({' or '.join(map(str, self.criteria))})"

    def holds(self, now: Readings, state: State, /) -> bool:
        return any(self._checked(now, state))


@dataclass(frozen=True)
class Not(Criterion):
    """Holds where another criterion does not: ``~a``.

    Raises:
        AttributeValueError: it is made of something else.
    """

    criterion: Criterion

    def __post_init__(self) -> None:
        _check_criterion("Not", self.criterion)

    def __str__(self) -> str:
        return f"not ({self.criterion})"

    def reads(self) -> tuple[str, ...]:
        return self.criterion.reads()

    def initial(self) -> State:
        return {"member": self.criterion.initial()}

    def holds(self, now: Readings, state: State, /) -> bool:
        return not self.criterion.holds(now, state["member"])


@dataclass(frozen=True)
class Repeated(Criterion):
    """Holds whenever another criterion has held ``n`` times, and counts anew from there.

    A repetition of a repetition of the same kind is one of the product of both numbers.

    Args:
        criterion: what is counted.
        n: how often it has to hold.
        in_a_row: whether a check where it does not hold sets the count back.

    Raises:
        AttributeValueError: ``n`` is none of 1, 2, 3, ...; what is repeated is no criterion; or it is to hold several
            times in a row but is a count itself, which holds after several checks at the earliest.
    """

    criterion: Criterion
    n: int
    in_a_row: bool = False

    def __post_init__(self) -> None:
        _check_criterion("Repeated", self.criterion)
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise AttributeValueError("Repeated: 'n' makes no sense", expected="1, 2, 3, ...", got=repr(self.n))
        inner = self.criterion
        if not isinstance(inner, Repeated):
            return
        if inner.in_a_row == self.in_a_row:
            object.__setattr__(self, "n", inner.n * self.n)
            object.__setattr__(self, "criterion", inner.criterion)
        elif self.in_a_row and inner.n > 1 and self.n > 1:
            raise AttributeValueError(
                "Repeated: this can never hold",
                expected="in_a_row for both or for the inner one, since a count begins anew once it holds",
                got=str(self),
            )

    def __str__(self) -> str:
        return f"({self.criterion}) {self.n} times{' in a row' if self.in_a_row else ''}"

    def reads(self) -> tuple[str, ...]:
        return self.criterion.reads()

    def initial(self) -> State:
        return {"count": 0, "member": self.criterion.initial()}

    def holds(self, now: Readings, state: State, /) -> bool:
        if self.criterion.holds(now, state["member"]):
            state["count"] += 1
        elif self.in_a_row:
            state["count"] = 0
        if state["count"] < self.n:
            return False
        state["count"] = 0
        return True


@dataclass(eq=False, slots=True)
class _Button:
    """What is known of a button; whoever reads or changes it has the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    held: bool = False
    pressed: bool = False
    answered: int | None = None  # the iteration at which the last press was noticed


@dataclass(frozen=True, eq=False)
class External(Criterion):
    """A button that a program or a user presses, from any thread.

    It is the one criterion with something outside of training. Whether it is pressed is therefore not part of any
    checkpoint, and survives going back to one. Each button equals itself only, whatever it is called, because hooks
    that wait for different buttons are different hooks.

    Args:
        name: what it is called.

    Raises:
        AttributeValueError: the name is no text.
    """

    name: str = "button"
    _button: _Button = field(default_factory=_Button, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise AttributeValueError("a button has a name", expected="text", got=repr(self.name))

    def __str__(self) -> str:
        return f"{self.name} is pressed"

    def press(self) -> None:
        """Let it hold once: at the next iteration at which it is checked, for all that check it then."""
        with self._button.lock:
            self._button.pressed = True

    def hold(self, on: bool = True) -> None:
        """Let it hold until it is let go by ``hold(False)``."""
        with self._button.lock:
            self._button.held = bool(on)

    def reads(self) -> tuple[str, ...]:
        return ("iteration",)

    def holds(self, now: Readings, state: State, /) -> bool:  # noqa: ARG002  # what is outside is not remembered
        iteration, button = int(now["iteration"]), self._button
        with button.lock:
            if button.answered != iteration:
                button.answered = iteration if button.pressed else None
                button.pressed = False
            return button.held or button.answered is not None


def _members(criterion: Criterion, kind: type[_Composed]) -> tuple[Criterion, ...]:
    """What a criterion is made of if it is of a kind, so that ``a & b & c`` is one criterion of three."""
    return criterion.criteria if type(criterion) is kind else (criterion,)


def _comparison(name: Comparison) -> Callable[[float, float], bool]:
    comparisons: dict[str, Callable[[float, float], bool]] = {
        ">": operator.gt,
        ">=": operator.ge,
        "==": operator.eq,
        "<=": operator.le,
        "<": operator.lt,
    }
    return comparisons[name]


def number(now: Readings, identifier: str) -> float:
    """A value as a number.

    Args:
        now: the values.
        identifier: of the value: a number, or an array of one.

    Raises:
        InputError: it is something else.
    """
    value = now[identifier]
    array = np.asarray(value)
    if array.size != 1 or not is_numeric(array.dtype):
        got = f"{array.dtype}{list(array.shape)}" if array.ndim else repr(value)
        raise InputError("a criterion compares numbers", expected=f"'{identifier}' as one", got=got)
    return float(array.reshape(())[()])


def is_numeric(dtype: np.dtype[Any]) -> bool:
    """Whether elements are real numbers; NumPy itself does not say so of types such as bfloat16."""
    return dtype.kind in "biuf" or (dtype.kind == "V" and dtype.fields is None and "float" in dtype.name)


def _plain(identifier: str, value: Any, *, exact: bool) -> list[Any]:
    """A value in a form that JSON can hold and that is equal for equal values: arrays by their digest.

    Raises:
        InputError: it is nothing that can be compared.
    """
    if value is None or isinstance(value, str):
        return ["text", value]
    array = np.asarray(value)
    if is_numeric(array.dtype) and array.size == 1:
        value = array.reshape(())[()].item() if array.dtype.kind in "biuf" else float(array.reshape(())[()])
        return ["number", value] if math.isfinite(value) else ["special", str(value)]
    if not (exact and (is_numeric(array.dtype) or array.dtype.kind == "c")):
        expected = f"'{identifier}' as a number{', a text or an array' if exact else ', since there is a tolerance'}"
        got = f"{array.dtype}{list(array.shape)}" if array.ndim else repr(value)
        raise InputError("Changed cannot compare this", expected=expected, got=got)
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return ["array", str(array.dtype), list(array.shape), content]


def _check_choice(owner: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise AttributeValueError(f"{owner}: '{name}' makes no sense", expected=", ".join(choices), got=repr(value))


def _check_number(owner: str, name: str, value: object, least: float = -math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least or math.isinf(value):
        bound = "" if least == -math.inf else f", at least {least:g}"
        raise AttributeValueError(
            f"{owner}: '{name}' makes no sense", expected=f"a finite number{bound}", got=repr(value)
        )


def _check_criterion(owner: str, value: object) -> None:
    if not isinstance(value, Criterion):
        raise AttributeValueError(f"{owner} is made of a criterion", expected="a criterion", got=repr(value))
