"""Applies a function of the user to records."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.preprocessors.base import Preprocessor, same_length
from sigmagraph.errors import AttributeValueError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class Lambda(Preprocessor):
    """What a function makes of the records of a section.

    The function gets ``[records, ...]`` and gives an array of as many records. It must treat each by itself, because
    records come in blocks of any size.

    Attributes:
        function: what is applied.
        key: stands for the function in fingerprints, so it must change when the function does something else. Without
            one, the function's name and source do; variables of its module that it uses are not noticed.

    Raises:
        AttributeValueError: there is no key, and the function's name and source do not say what it does.
    """

    function: Callable[[NDArray], NDArray]
    key: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function):
            raise AttributeValueError("Lambda applies a function", expected="a callable", got=repr(self.function))
        if self.key is None:
            object.__setattr__(self, "key", _said_by_source(self.function))

    def state(self) -> dict[str, Any]:
        return {"key": self.key, "sections": list(self.sections)}

    def to_json(self) -> str:
        raise AttributeValueError(
            "a function cannot be stored", expected="a preprocessor without one", got=self.key, hint="make it anew"
        )

    def change(self, section: str, array: NDArray) -> NDArray:  # noqa: ARG002
        return same_length(np.asarray(self.function(array)), len(array), f"the function '{self.key}'")


def _said_by_source(function: Any) -> str:
    plain = inspect.isfunction(function) and not (function.__closure__ or function.__defaults__)
    try:
        if plain:
            return f"{function.__module__}.{function.__qualname__}\n{inspect.getsource(function)}"
    except OSError:  # typed at a prompt, or made by another program
        pass
    raise AttributeValueError(
        "the function's source does not say all that it does",
        expected="a function from a file that takes no values from around it",
        got=repr(function),
        hint='Lambda(function, key="...") with a text that stands for what it does',
    )
