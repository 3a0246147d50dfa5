"""Sums of products in Einstein's notation, over any number of tensors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor.tensor import Tensor, TensorLike, broadcast_to, emit, promoted
from sigmagraph.tensor.workspace import here

TYPICAL = 64  # what a symbolic size is taken for when the order of products is chosen
FEW = 6  # operands up to which the best order is looked for

_TERM = re.compile(r"([A-Za-z]*)(\.\.\.)?([A-Za-z]*)\Z")


def einsum(subscripts: str, *operands: TensorLike) -> Tensor:
    """Sums of products of elements, as ``numpy.einsum``: ``einsum("ij,jk->ik", a, b)`` is a matrix product.

    Axes with the same letter run together; letters that the result does not have are summed over. Without ``->`` the
    result has the letters that occur once, in alphabetic order. A letter twice in one term means the diagonal. ``...``
    stands for further axes, which are broadcast; axes of size 1 are repeated.

    Args:
        subscripts: a term for each operand and, behind ``->``, one for the result.
        operands: tensors, of numbers; they are promoted to one type.

    Raises:
        AttributeValueError: the subscripts cannot be read, or do not fit the operands.
        ShapeError: sizes with the same letter differ.
    """
    terms, result = _read(subscripts, len(operands))
    parts = [_labelled(x, *term) for x, term in zip(promoted(*operands), terms, strict=True)]
    sizes = _sizes(parts)
    wanted = _wanted(result, terms, sizes)
    parts = [part.only(sizes) for part in parts]
    for chosen in _order(parts, wanted, sizes):
        taken = [parts.pop(i) for i in sorted(chosen, reverse=True)]
        needed = {*wanted, *(label for part in parts for label in part.labels)}
        while len(taken) > 1:  # a step of the order takes two, or what is left
            also = {label for part in taken[:-2] for label in part.labels}
            taken.append(_product(taken.pop(), taken.pop(), needed | also, wanted if not (parts or taken) else ()))
        parts.append(taken[0])
    return _finished(parts[0], wanted, sizes)


@dataclass(frozen=True, slots=True)
class _Part:
    """A tensor with a label on each axis."""

    tensor: Tensor
    labels: tuple[str, ...]

    def only(self, sizes: dict[str, Size]) -> _Part:
        """Without the axes of size 1 that others repeat."""
        shape = self.tensor.shape
        kept = [i for i, label in enumerate(self.labels) if shape[i] == sizes[label] or shape[i] != 1]
        return _Part(self.tensor.reshape(*(shape[i] for i in kept)), tuple(self.labels[i] for i in kept))


def _read(subscripts: str, count: int) -> tuple[list[tuple[str, str | None, str]], tuple[str, str | None, str] | None]:
    """The letters before, whether there is an ellipsis, and the letters behind, of each term and of the result."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    texts = left.split(",")
    found = [_TERM.match(text) for text in (*texts, right)]
    if not all(found) or len(texts) != count:
        expected = f"{count} terms of letters and at most one '...', as in 'ij,jk->ik'"
        raise AttributeValueError(
            "einsum: the subscripts do not fit", expected=expected, got=subscripts, location=here()
        )
    groups = [(m[1], m[2], m[3]) for m in found if m is not None]
    out = groups[-1] if arrow else None
    if out is not None:
        letters = out[0] + out[2]
        if len(set(letters)) != len(letters) or not set(letters) <= set(left):
            expected = "letters of the operands, each once"
            raise AttributeValueError("einsum: the result's letters do not fit", expected=expected, got=right,
                                      location=here())  # fmt: skip
    return groups[:-1], out


def _labelled(x: Tensor, before: str, dots: str | None, behind: str) -> _Part:
    """The tensor with a label on each axis, its diagonals taken; axes of the ellipsis are numbered from the right."""
    more = x.ndim - len(before) - len(behind)
    if more < 0 or (more and not dots):
        raise AttributeValueError("einsum: a term does not fit its operand", expected=f"{x.ndim} axes",
                                  got=f"{before}{dots or ''}{behind}", location=here())  # fmt: skip
    labels = (*before, *(f".{number}" for number in reversed(range(more))), *behind)
    while len(set(labels)) != len(labels):
        label = next(name for name, count in Counter(labels).items() if count > 1)
        first = labels.index(label)
        x = _diagonal(x, first, labels.index(label, first + 1))
        rest = [name for i, name in enumerate(labels) if i != labels.index(label, first + 1) and i != first]
        labels = (*rest, label)
    return _Part(x, tuple(labels))


def _diagonal(x: Tensor, first: int, second: int) -> Tensor:
    """The elements with equal indices along two axes, along a new last axis."""
    *others, size, other = (i for i in (*(a for a in range(x.ndim) if a not in (first, second)), first, second))
    x = x.transpose(*others, size, other)
    *shape, n, m = x.shape
    if n != m:
        raise ShapeError("einsum: the diagonal of axes of different sizes", expected=n, got=m, location=here())
    # One element more a row: the diagonal becomes the first column.
    flat = x.reshape(*shape, n * n)
    zero = (0,) * len(shape)
    wide = emit("pad", flat, low=(*zero, 0), high=(*zero, n), interior=(*zero, 0))
    return wide.reshape(*shape, n, n + 1)[..., 0]


def _sizes(parts: Sequence[_Part]) -> dict[str, Size]:
    """The size behind each label; a size of 1 gives way to others, a symbolic one to a number."""
    out: dict[str, Size] = {}
    for part in parts:
        for label, size in zip(part.labels, part.tensor.shape, strict=True):
            known = out.setdefault(label, size)
            if size in (1, known):
                continue
            if known != 1 and isinstance(known - size, int):
                name = f"axes '{label}'" if not label.startswith(".") else "axes of the ellipsis"
                raise ShapeError(f"einsum: the sizes of the {name} differ", expected=known, got=size, location=here())
            if known == 1 or isinstance(size, int):
                out[label] = size
    return out


def _wanted(
    result: tuple[str, str | None, str] | None, terms: Sequence[tuple[str, str | None, str]], sizes: dict[str, Size]
) -> tuple[str, ...]:
    """The labels of the result."""
    dots = sorted((label for label in sizes if label.startswith(".")), key=lambda label: -int(label[1:]))
    if result is None:
        count = Counter("".join(before + behind for before, _, behind in terms))
        return (*dots, *sorted(letter for letter, times in count.items() if times == 1))
    before, ellipsis, behind = result
    if dots and not ellipsis:
        raise AttributeValueError("einsum: the result lacks the ellipsis", expected="... in it", got=before + behind,
                                  location=here())  # fmt: skip
    return (*before, *(dots if ellipsis else ()), *behind)


def _order(parts: Sequence[_Part], wanted: Sequence[str], sizes: dict[str, Size]) -> list[tuple[int, ...]]:
    """Which operands are multiplied one after the other; results are appended."""
    if len(parts) < 2:
        return []
    if len(parts) == 2:
        return [(0, 1)]
    number = {label: i for i, label in enumerate(sizes)}
    operands: list[object] = []
    for part in parts:
        shape = [size if isinstance(size, int) else TYPICAL for size in (sizes[label] for label in part.labels)]
        operands += [np.broadcast_to(0.0, shape), [number[label] for label in part.labels]]
    strategy = "optimal" if len(parts) <= FEW else "greedy"
    path, _ = np.einsum_path(*operands, [number[label] for label in wanted], optimize=strategy)  # type: ignore[arg-type]
    return [tuple(step) for step in path[1:]]


def _product(a: _Part, b: _Part, needed: set[str], order: Sequence[str]) -> _Part:
    """The sum of products over what only these two have, its labels in the wanted order if it has just those."""
    a, b = (_summed(x, {*needed, *y.labels}) for x, y in ((a, b), (b, a)))
    labels = [label for label in dict.fromkeys((*a.labels, *b.labels)) if label in needed]
    if set(labels) == set(order):
        labels = list(order)
    if all(label in labels for label in (*a.labels, *b.labels)):
        return _Part(_placed(a, labels) * _placed(b, labels), tuple(labels))
    number = {label: i for i, label in enumerate(dict.fromkeys((*a.labels, *b.labels)))}
    left, right, result = ([number[label] for label in names] for names in (a.labels, b.labels, labels))
    return _Part(emit("contract", a.tensor, b.tensor, left=left, right=right, result=result), tuple(labels))


def _summed(part: _Part, needed: set[str]) -> _Part:
    """The sum over all labels that nothing else needs."""
    axes = [i for i, label in enumerate(part.labels) if label not in needed]
    if not axes:
        return part
    tensor = emit("reduce_sum", part.tensor, axes=axes)
    return _Part(tensor, tuple(label for label in part.labels if label in needed))


def _placed(part: _Part, labels: Sequence[str]) -> Tensor:
    """The tensor with an axis for each label, of size 1 where it has none."""
    own = [label for label in labels if label in part.labels]
    order = tuple(part.labels.index(label) for label in own)
    tensor = part.tensor if order == tuple(range(len(order))) else part.tensor.transpose(*order)
    size = dict(zip(own, tensor.shape, strict=True))
    return tensor.reshape(*(size.get(label, 1) for label in labels))


def _finished(part: _Part, wanted: Sequence[str], sizes: dict[str, Size]) -> Tensor:
    """The result, with its labels in order."""
    return broadcast_to(_placed(_summed(part, set(wanted)), wanted), tuple(sizes[label] for label in wanted))
