"""File names that are built from values of a registry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

import numpy as np

from sigmagraph.errors import AttributeValueError
from sigmagraph.identifiers import split_path

# What one of Linux, macOS and Windows does not take, so that a folder of runs can be carried to any of them.
_REFUSED = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL)
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Namer:
    """A file name with values in it.

    ``Namer("net_e{epoch:03}_{validation.accuracy:.3f}")`` names a file by two entries of a registry. Between braces
    stands an identifier, dots included, and behind a colon how a number or a text is formatted, as in ``str.format``;
    nothing else of that is understood: no attributes, no indices, no conversions.

    Attributes:
        template: the text.

    Raises:
        AttributeValueError: the template cannot be read.
        IdentifierError: what stands between braces is no identifier.
    """

    template: str

    def __post_init__(self) -> None:
        for _, identifier, _ in self._parts():
            if identifier is not None:
                split_path(identifier)
        if not self.reads:
            checked_file_name("".join(text for text, _, _ in self._parts()))

    @property
    def reads(self) -> tuple[str, ...]:
        """The identifiers in it, each once."""
        return tuple(dict.fromkeys(identifier for _, identifier, _ in self._parts() if identifier is not None))

    def __call__(self, registry: Mapping[str, Any]) -> str:
        """The name.

        Args:
            registry: what the values are read from.

        Raises:
            IdentifierError: an entry is missing.
            AttributeValueError: a value is no number or text or does not go with its format, or the result is no file
                name.
        """
        pieces = []
        for text, identifier, spec in self._parts():
            pieces.append(text)
            if identifier is not None:
                pieces.append(_formatted(registry[identifier], spec, identifier))
        return checked_file_name("".join(pieces))

    def _parts(self) -> Iterator[tuple[str, str | None, str]]:
        """Text, the identifier behind it if there is one, and its format."""
        if not isinstance(self.template, str):
            raise AttributeValueError("a file name is built from text", expected="text", got=repr(self.template))
        try:
            parts = list(Formatter().parse(self.template))
        except ValueError as error:
            raise AttributeValueError(
                "this template cannot be read", expected="such as 'net_e{epoch:03}'", got=f"{self.template}: {error}"
            ) from error
        for text, identifier, spec, conversion in parts:
            if conversion or "{" in (spec or "") or "[" in (identifier or ""):
                raise AttributeValueError(
                    "a template takes an identifier and a format",
                    expected="such as {validation.accuracy:.3f}",
                    got=self.template,
                )
            yield text, identifier, spec or ""


def checked_file_name(name: str) -> str:
    """A name, if every system takes it as the name of a file within a folder.

    Raises:
        AttributeValueError: it does not.
    """
    found = _REFUSED.search(name)
    problem = None
    if not name or not name.strip("."):
        problem = "a name, not '', '.' or '..'"
    elif found:
        problem = f"no {found[0]!r} in it"
    elif name != name.strip() or name.endswith("."):
        problem = "no space around it and no dot at its end"
    elif _RESERVED.fullmatch(name):
        problem = "no name that Windows keeps for devices"
    elif len(name.encode("utf-8", "surrogatepass")) > _LONGEST:
        problem = f"at most {_LONGEST} bytes"
    if problem:
        raise AttributeValueError("this is no name of a file", expected=problem, got=f"{name!r:.100}")
    return name


def _formatted(value: Any, spec: str, identifier: str) -> str:
    if isinstance(value, (np.generic, np.ndarray)) and value.size == 1:
        value = value.item()
    if not isinstance(value, (str, int, float)):
        raise AttributeValueError(
            f"{identifier} cannot be part of a file name", expected="a number or text", got=type(value).__name__
        )
    try:
        return format(value, spec)
    except (ValueError, OverflowError, MemoryError) as error:
        raise AttributeValueError(
            f"{identifier} does not go with its format", expected=error, got=f"{value!r:.50} as {spec!r}"
        ) from error
