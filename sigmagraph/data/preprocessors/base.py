"""What a preprocessor is: a frozen record that makes other records of records."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeAlias

import numpy as np

from sigmagraph.data.digests import digest
from sigmagraph.data.records import Block, Records
from sigmagraph.errors import AttributeValueError, ShapeError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class Sectional:
    """Something that concerns some sections of records.

    Attributes:
        sections: their names; ``inputs`` also stands for every ``inputs.<name>``.
    """

    sections: tuple[str, ...] = field(default=("inputs",), kw_only=True)

    def __post_init__(self) -> None:
        given = (self.sections,) if isinstance(self.sections, str) else tuple(self.sections)
        if not given or not all(isinstance(name, str) for name in given):
            raise AttributeValueError(
                f"{type(self).__name__} concerns no sections", expected="names of sections", got=self.sections
            )
        object.__setattr__(self, "sections", given)

    def state(self) -> dict[str, Any]:
        """Everything that it consists of, as JSON has it."""
        return {f.name: encode(getattr(self, f.name)) for f in fields(self)}

    def fingerprint(self) -> str:
        """A digest of everything that its results depend on, apart from the records."""
        return digest(type(self).__name__, self.state())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.state() == self.state()

    def __hash__(self) -> int:
        return hash(json.dumps([type(self).__name__, self.state()], sort_keys=True))

    def concerned(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the sections that it concerns.

        Raises:
            AttributeValueError: one of its own is not among them.
        """
        for own in self.sections:
            if not any(_within(name, own) for name in names):
                raise AttributeValueError(
                    f"{type(self).__name__} concerns a section that the records lack", expected=names, got=own
                )
        return tuple(name for name in names if any(_within(name, own) for own in self.sections))


def _within(name: str, section: str) -> bool:
    return name == section or name.startswith(f"{section}.")


class Preprocessor(Sectional, ABC):
    """Makes other records of records, each by itself, the same way whenever it is asked."""

    def apply(self, block: Block) -> Block:
        """A block after the preprocessor; sections that it does not concern stay as they are.

        Raises:
            AttributeValueError: the block lacks a section.
            ShapeError: a section has another shape than it takes.
        """
        self.check_ready()
        concerned = self.concerned(tuple(block))
        return {name: self.change(name, array) if name in concerned else array for name, array in block.items()}

    @abstractmethod
    def change(self, section: str, array: NDArray) -> NDArray:
        """The records ``[records, ...]`` of one section, after the preprocessor."""

    @property
    def ready(self) -> bool:
        """Whether it knows all that it must, or has yet to learn from data."""
        return True

    @property
    def whole(self) -> bool:
        """Whether it must see all records at once, because it does not treat each by itself."""
        return False

    def check_ready(self) -> None:
        """Make sure that it can be applied.

        Raises:
            AttributeValueError: it has yet to learn something from data.
        """
        if not self.ready:
            name = type(self).__name__
            raise AttributeValueError(
                f"{name} has yet to learn from data",
                expected="a fitted preprocessor",
                got=f"{name} as it was made",
                hint=f"fitted = {name}(...).fit(train), then train.preprocess(fitted) and held_out.preprocess(fitted)",
            )

    def to_json(self) -> str:
        """Everything that it consists of, for ``preprocessor_from_json``; numbers come back to the last bit.

        Raises:
            AttributeValueError: it contains a function, which JSON cannot hold.
        """
        return json.dumps({"preprocessor": type(self).__name__, **self.state()})


class Learner(Preprocessor):
    """A preprocessor that may learn from data what it does; the fitted one is a record of its own."""

    @abstractmethod
    def fit(self, records: Records) -> Self:
        """The same with what it has learnt from records, which are read in order and in pieces, once.

        Raises:
            AttributeValueError: there are no records, or none to learn from.
        """


def encode(value: Any) -> Any:
    """A value as JSON has it; arrays keep their type."""
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "shape": list(value.shape), "values": value.ravel().tolist()}
    if isinstance(value, Mapping):
        return {"by name": {name: encode(v) for name, v in value.items()}}
    if isinstance(value, (tuple, list)):
        return [encode(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def decode(value: Any) -> Any:
    """What :func:`encode` made a value of JSON from."""
    if isinstance(value, dict) and "by name" in value:
        return {name: decode(v) for name, v in value["by name"].items()}
    if isinstance(value, dict):
        return np.array(value["values"], np.dtype(value["dtype"])).reshape(value["shape"])
    return tuple(decode(v) for v in value) if isinstance(value, list) else value


def same_length(array: NDArray, expected: int, what: str) -> NDArray:
    """The array, which has as many records as there were.

    Raises:
        ShapeError: it has not.
    """
    if array.ndim == 0 or len(array) != expected:
        got = len(array) if array.ndim else "a number"
        raise ShapeError(f"{what} gives another number of records", expected=expected, got=got)
    return array
