from __future__ import annotations

import math

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph.errors import AttributeValueError, DTypeError

KEY = sg.constant(np.array([7, 3], np.int64))
COUNT = 20_000


def native(tensor: sg.Tensor) -> np.ndarray:  # type: ignore[type-arg]
    return sg.compile([], {"y": tensor})()["y"]


def distance(sample: np.ndarray, cdf: np.ndarray) -> float:  # type: ignore[type-arg]
    """The statistic of Kolmogorov and Smirnov, scaled: above 2 with probability 0.0007."""
    number = np.arange(1, sample.size + 1)
    return math.sqrt(sample.size) * float(np.abs(number / sample.size - cdf).max())


def phi(x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype: str) -> None:
    x = np.sort(native(sg.random.normal(KEY, (COUNT,), 2.0, 3.0, dtype)))
    assert x.dtype == dtype
    assert distance(x, phi((x - 2) / 3)) < 2
    x = np.sort(native(sg.random.uniform(KEY, (COUNT,), -1.0, 3.0, dtype)))
    assert distance(x, (x + 1) / 4) < 2
    x = np.sort(native(sg.random.exponential(KEY, (COUNT,), dtype)))
    assert distance(x, 1 - np.exp(-x)) < 2
    x = np.sort(native(sg.random.gumbel(KEY, (COUNT,), dtype)))
    assert distance(x, np.exp(-np.exp(-x))) < 2


@pytest.mark.parametrize(("low", "high"), [(-2.0, 2.0), (0.5, 4.0), (-math.inf, 1.0), (6.0, 7.0)])
def test_truncated_normal_numbers(low: float, high: float) -> None:
    x = np.sort(native(sg.random.truncated_normal(KEY, (COUNT,), low, high, "float64")))
    assert low <= x[0]
    assert x[-1] <= high
    ends = phi(-np.array([low, high]))
    assert distance(x, (ends[0] - phi(-x)) / (ends[0] - ends[1])) < 2


def test_normal_tails_and_streams() -> None:
    x = value(sg.random.normal(KEY, (200_000,)))
    for limit, expected in ((3.0, 2.7e-3), (4.0, 6.3e-5)):
        count = int((np.abs(x) > limit).sum())
        assert abs(count - expected * x.size) < 5 * math.sqrt(expected * x.size)
    other = value(sg.random.normal(KEY, (200_000,), stream=1))
    assert abs(np.corrcoef(x, other)[0, 1]) < 0.01


def test_integers_truths_and_classes() -> None:
    x = native(sg.random.randint(KEY, -3, 4, (COUNT,), "int32"))
    assert x.dtype == np.int32
    counts = np.bincount(x + 3, minlength=7)
    assert ((counts - COUNT / 7) ** 2 / (COUNT / 7)).sum() < 25
    truths = native(sg.random.bernoulli(KEY, 0.3, (COUNT,)))
    assert truths.dtype == np.bool_
    assert abs(truths.mean() - 0.3) < 0.015
    logits = np.log(np.array([0.5, 0.1, 0.4])).astype(np.float32)
    classes = native(sg.random.categorical(KEY, sg.broadcast_to(sg.constant(logits), (COUNT, 3))))
    np.testing.assert_allclose(np.bincount(classes) / COUNT, [0.5, 0.1, 0.4], atol=0.015)


def test_permutations() -> None:
    order = native(sg.random.permutation(KEY, 1000))
    assert sorted(order) == list(range(1000))
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.15
    rows = np.random.default_rng(1).normal(size=(1000, 2))
    np.testing.assert_array_equal(native(sg.random.permutation(KEY, sg.constant(rows))), rows[order])


def test_the_same_key_gives_the_same_numbers_everywhere() -> None:
    for tensor in (sg.random.bits(KEY, (5, 3)), sg.random.uniform(KEY, (5, 3)), sg.random.randint(KEY, 0, 9, (5, 3))):
        np.testing.assert_array_equal(native(tensor), value(tensor))
    once = value(sg.random.normal(KEY, (4,), stream=2))
    np.testing.assert_array_equal(once, value(sg.random.normal(KEY, (4,), stream=2)))


def test_seeds_beyond_32_bits_are_seeds_of_their_own() -> None:
    one, other = (sg.constant(np.array([seed, 0], np.int64)) for seed in (5, 5 + 2**32))
    a, b = value(sg.random.bits(one, (9,), stream=1)), value(sg.random.bits(other, (9,), stream=0))
    assert not (a == b).any()


def test_wrong_uses() -> None:
    with pytest.raises(AttributeValueError, match="no interval"):
        sg.random.truncated_normal(KEY, (3,), 2.0, -2.0)
    with pytest.raises(AttributeValueError, match="no such numbers"):
        sg.random.randint(KEY, 3, 3, (3,))
    with pytest.raises(DTypeError, match="no integers"):
        sg.random.randint(KEY, 0, 3, (3,), "float32")
