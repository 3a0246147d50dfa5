"""Tensors in tuples, lists and dicts: taken apart into a row, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from sigmagraph.errors import GraphError
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor
from sigmagraph.tensor.workspace import here

# A tensor, None, or a tuple, list or dict of such.
Structure: TypeAlias = Any


def leaves(structure: Structure) -> list[Tensor]:
    """The tensors of a structure, in order; numbers and arrays become constants, None is left out."""
    return [as_tensor(leaf) for leaf in _leaves(structure)]


def _leaves(structure: Structure) -> Iterator[TensorLike]:
    if structure is None:
        return
    if isinstance(structure, Mapping):
        for value in structure.values():
            yield from _leaves(value)
    elif isinstance(structure, (tuple, list)) and not _is_array(structure):
        for value in structure:
            yield from _leaves(value)
    else:
        yield structure


def _is_array(structure: Sequence[Any]) -> bool:
    """Whether a list is one of numbers, which is an array; a tuple is always a structure."""
    return isinstance(structure, list) and bool(structure) and all(isinstance(v, (bool, int, float)) for v in structure)


def like(structure: Structure, tensors: Sequence[Tensor]) -> Structure:
    """A structure of the same form with other tensors."""
    rest = iter(tensors)

    def build(part: Structure) -> Structure:
        if part is None:
            return None
        if isinstance(part, Mapping):
            return {key: build(value) for key, value in part.items()}
        if isinstance(part, (tuple, list)) and not _is_array(part):
            items = [build(value) for value in part]
            return items if isinstance(part, list) else _tuple_like(part, items)
        return next(rest)

    return build(structure)


def _tuple_like(part: tuple[Any, ...], items: list[Any]) -> tuple[Any, ...]:
    make: Callable[..., tuple[Any, ...]] | None = getattr(type(part), "_make", None)  # of named tuples
    return make(items) if make is not None else tuple(items)


def form(structure: Structure) -> Any:
    """What two structures have in common that differ only in their tensors."""
    if structure is None:
        return None
    if isinstance(structure, Mapping):
        return {key: form(value) for key, value in structure.items()}
    if isinstance(structure, (tuple, list)) and not _is_array(structure):
        return (type(structure).__name__, [form(value) for value in structure])
    return "tensor"


def check_same_form(got: Structure, expected: Structure, what: str) -> None:
    """Raise unless two structures differ only in their tensors.

    Raises:
        GraphError: they do not.
    """
    if form(got) != form(expected):
        raise GraphError(what, expected=form(expected), got=form(got), location=here())
