"""The cost of a sequence of labels that stands anywhere in a longer sequence of predictions."""

from __future__ import annotations

import numpy as np

from sigmagraph.dtypes import F32, I64
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.tensor.control import scan
from sigmagraph.tensor.creation import arange, full, full_like
from sigmagraph.tensor.functions import broadcast_to, concatenate, log_softmax, stack, where
from sigmagraph.tensor.indexing import take_along_axis
from sigmagraph.tensor.math import logaddexp
from sigmagraph.tensor.reductions import logsumexp
from sigmagraph.tensor.shapes import text
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor, floating
from sigmagraph.tensor.workspace import here

# The logarithm of a probability that counts as 0: far below all others, but finite, so that gradients are too.
_NEVER = -1e30


def connectionist_cost(
    logits: TensorLike, labels: TensorLike, lengths: TensorLike, label_lengths: TensorLike, blank: int = 0
) -> Tensor:
    """Minus the logarithm of the probability that the steps say the labels, in order, with blanks anywhere between.

    A step says one class; the same class at neighbouring steps is said once, and blanks are left out. The probability
    is the sum over all ways to do so, by the forward algorithm. Source: A. Graves et al., "Connectionist temporal
    classification" (2006), section 4.1.

    Args:
        logits: [batch, time, classes], floats; logarithms of probabilities stay what they are.
        labels: [batch, most labels], integers that are no blanks; those beyond the length are not read.
        lengths: [batch], numbers of steps that count.
        label_lengths: [batch], numbers of labels.
        blank: the class that says nothing.

    Returns:
        [batch], infinite where there are too few steps for the labels; the gradient is 0 there.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: labels or lengths are no integers.
        AttributeValueError: the blank is no class.
    """
    x, labels, lengths, counts = floating(logits), as_tensor(labels), as_tensor(lengths), as_tensor(label_lengths)
    _check(x, labels, lengths, counts, blank)
    steps = log_softmax(x.astype(F32) if x.dtype.bits < 32 else x).transpose(1, 0, 2)
    time, batch, _ = steps.shape
    counts = counts.astype(I64)[:, None]
    real = arange(labels.shape[1])[None] < counts
    said = _between_blanks(where(real, labels.astype(I64), blank), blank)
    places = said.shape[1]
    heard = take_along_axis(steps, said[None], axis=2)
    alive = (arange(time)[:, None] < lengths.astype(I64)[None])[:, :, None]
    jumps = said.not_equal(blank) & said.not_equal(_moved(said, 2, blank))

    def step(paths: Tensor, at: tuple[Tensor, Tensor]) -> tuple[Tensor, None]:
        """The logarithms of the probabilities to stand at each place, one step later."""
        share, counts_too = at
        stay_or_next = logaddexp(paths, _moved(paths, 1, _NEVER))
        all_ways = logaddexp(stay_or_next, where(jumps, _moved(paths, 2, _NEVER), _NEVER))
        return where(counts_too, all_ways + share, paths), None

    # From the first place, a blank, a step reaches just those places that a path may begin with.
    place = arange(places)[None]
    start = broadcast_to(where(place.equal(0), as_tensor(0.0, steps.dtype), _NEVER), (batch, places))
    paths: Tensor
    paths, _ = scan(step, start, (heard, alive))
    over = place.equal(2 * counts) | place.equal(2 * counts - 1)
    cost = -logsumexp(where(over, paths, _NEVER), axis=1)
    return where(cost > -0.5 * _NEVER, np.inf, cost).astype(x.dtype)


def _between_blanks(labels: Tensor, blank: int) -> Tensor:
    """[batch, n] -> [batch, 2n + 1]: a blank before, between and behind all labels."""
    batch, n = labels.shape
    pairs = stack([full_like(labels, blank), labels], axis=2).reshape(batch, 2 * n)
    return concatenate([pairs, full((batch, 1), blank, I64)], axis=1)


def _moved(x: Tensor, count: int, first: float) -> Tensor:
    """Each row moved to the right by some places, which are filled."""
    batch, places = x.shape
    return concatenate([full((batch, count), first, x.dtype), x], axis=1)[:, :places]


def _check(x: Tensor, labels: Tensor, lengths: Tensor, counts: Tensor, blank: int) -> None:
    if (x.ndim, labels.ndim, lengths.ndim, counts.ndim) != (3, 2, 1, 1):
        raise ShapeError(
            "connectionist_cost: the ranks do not fit",
            expected="[batch, time, classes], [batch, labels], [batch], [batch]",
            got=", ".join(text(t.shape) for t in (x, labels, lengths, counts)),
            location=here(),
        )
    for tensor in (labels, lengths, counts):
        if not tensor.dtype.is_integer:
            raise DTypeError(
                "connectionist_cost: labels and lengths are integers",
                expected="an integer type",
                got=tensor.type,
                location=here(),
            )
    classes = x.shape[2]
    if (
        isinstance(blank, bool)
        or not isinstance(blank, int)
        or blank < 0
        or (isinstance(classes, int) and blank >= classes)
    ):
        raise AttributeValueError(
            "connectionist_cost: the blank is no class",
            expected=f"0 .. {classes - 1}",
            got=repr(blank),
            location=here(),
        )
