"""Proofs about index expressions are right: what is shown holds for all numbers, also with powers of divisions."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from sigmagraph.dims import Dim, Size, evaluate, floordiv, maximum, minimum
from sigmagraph.facts import ENOUGH, FEW, Facts

N, M, A, B = (Dim(name) for name in ("n", "m", "%i", "%j"))


def test_the_number_of_a_panel_is_not_taken_for_a_full_one() -> None:
    """The proof goes through ``panels * panels``, where a division occurs squared."""
    panels = (N + 15) // 16
    task = Dim("%task")
    facts = Facts({"%task": (0, panels * ((M + 11) // 12) - 1)})
    panel = task - (task // panels) * panels
    assert facts.nonnegative(panel)
    assert facts.nonnegative(panels - 1 - panel)
    assert not facts.nonnegative(-1 - panel)
    assert not facts.nonnegative(N - 16 - 16 * panel)


def test_powers_of_what_may_be_negative_are_not_positive() -> None:
    facts = Facts({"%i": (-5, 5)})
    assert not facts.nonnegative(A * A * A)
    cube = floordiv(N - 9, 3)
    assert not Facts().nonnegative(cube * cube * cube)
    assert Facts().nonnegative(floordiv(N + 2, 3) * floordiv(N + 2, 3))


@pytest.mark.parametrize("steps", [FEW, ENOUGH])
def test_trying_refutes_nothing_that_is_true(steps: int) -> None:
    """Ranges that depend on each other, an assumption, a quotient, and a range that is empty."""
    facts = Facts({"%i": (0, N - 1), "%j": (2, A)}, (M - 3,))
    for size in (A, N - 1 - A, B - 2, A - B, M - 3, N - 1 - B, (N - 1 - A) // (A + 1)):
        assert facts.nonnegative(size, steps), size
    for size in (A - N, B - 3, 1 - A, M - 4, N - 65):
        assert not facts.nonnegative(size, steps), size
    nowhere = Facts({"%i": (5, 4)})
    assert nowhere.nonnegative(A - 5, steps)
    assert nowhere.nonnegative(4 - A, steps)


def test_digits_of_a_sum_are_in_range() -> None:
    """A row of an image from the number of a tile, a row of tiles and a place in it."""
    row = 96 * N + 6 * A + B
    facts = Facts({"n": (0, 10), "%i": (0, 15), "%j": (0, 5)}, (56 * 18 - 1 - row,))
    y, x = row // 56, row - 56 * (row // 56)
    image = y // 6
    y = y - 6 * image
    for digit, extent in ((x, 56), (y, 6), (image, 3)):
        assert facts.nonnegative(digit)
        assert facts.less(digit, extent)
        assert not facts.less(digit, extent - 1)
    assert facts.less((image * 6 + y) * 60 + x + 4, 18 * 60)


def test_an_assumption_about_quotients_bounds_what_is_left() -> None:
    """``i + j // 3 <= 10`` where the greatest of both are far beyond."""
    facts = Facts({"%i": (0, 100), "%j": (0, 100)}, (10 - A - B // 3,))
    assert facts.less(6 * A + 2 * (B // 3), 61)
    assert not facts.less(6 * A + 2 * (B // 3), 60)


def random_size(rng: random.Random, depth: int, divisors: tuple[Size, ...]) -> Size:
    kind = rng.choice(("leaf", "leaf", "+", "-", "*", "//", "min", "max"))
    if depth == 0 or kind == "leaf":
        return rng.choice((N, M, A, B, rng.randint(-6, 6)))
    a, b = random_size(rng, depth - 1, divisors), random_size(rng, depth - 1, divisors)
    match kind:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "//":
            return floordiv(a, rng.choice(divisors))
        case "min":
            return minimum(a, b)
        case _:
            return maximum(a, b)


def points(low: int, outer: Size, inner: Size) -> Iterator[dict[str, int]]:
    for n, m in itertools.product(range(low, 7), range(1, 6)):
        sizes = {"n": n, "m": m}
        for i in range(evaluate(outer, sizes)):
            for j in range(evaluate(inner, {**sizes, "%i": i})):
                yield {**sizes, "%i": i, "%j": j}


@pytest.mark.parametrize("seed", range(8))
def test_what_is_shown_holds_at_every_point(seed: int) -> None:
    rng = random.Random(seed)
    shown = 0
    for _ in range(60):
        low = rng.randint(0, 1)
        outer = rng.choice((N, M, N * M, 4, (N + 3) // 4, minimum(4, N)))
        inner = rng.choice((M, 5, minimum(3, N - A), (N + 2) // 3, A + 1))
        divisors = (2, 3, 5, M) if low == 0 else (2, 3, N, M)
        size = random_size(rng, 3, divisors)
        ranges: dict[str, tuple[Size, Size | None]] = {"n": (0, None)} if low == 0 else {}
        facts = Facts({**ranges, "%i": (0, outer - 1), "%j": (0, inner - 1)})
        positive, simple = facts.nonnegative(size), facts.simplify(size)
        shown += positive or simple != size
        for values in points(low, outer, inner):
            exact = evaluate(size, values)
            assert not positive or exact >= 0, (size, values)
            assert evaluate(simple, values) == exact, (size, simple, values)
    assert shown > 10


def test_a_quotient_is_bounded_by_what_is_known_between_its_names_and_the_dims() -> None:
    batch, t, q, j = map(Dim, ("batch", "t", "q", "j"))
    blocks = floordiv(2 * batch + 17, 48)
    facts = Facts({"t": (0, blocks - 1), "q": (0, 15), "j": (0, 5)}, [4 * batch - 96 * t - 6 * q - 6])
    row = 96 * t + 6 * q + j
    assert facts.less(4 * row + 16 * floordiv(row, 4) + 19, 32 * batch)
    assert not facts.less(4 * row + 16 * floordiv(row, 4) + 20, 32 * batch)


BATCH, T, Q, J, K0, K1, K2, K3 = (Dim(n) for n in ("batch", "%t", "%q", "%jl", "%k0", "%k1", "%k2", "%k3"))


def test_quotients_of_shifted_numbers_are_compared() -> None:
    """``(a + 96 t) // 20`` is ``(a // 4 + 24 t) // 5``: windows over the rows of images, in blocks of rows."""
    rows, place = floordiv(10 * BATCH + 2, 3), J + 6 * Q
    ranges = {"%t": (0, floordiv(rows + 15, 16) - 1), "%q": (0, minimum(rows - 16 * T, 16) - 1)}
    kernel = {"%k0": (0, 1), "%k1": (0, 2), "%k2": (0, 3), "%jl": (0, 5)}
    facts = Facts({**ranges, **kernel}, (20 * BATCH - 6 - 6 * Q - 96 * T,))
    index = place + 144 * T + 2 * floordiv(place, 4) + 138 * floordiv(place + 96 * T, 20) + 12 * K0 + K1 + 42 * K2
    assert facts.less(index, 168 * BATCH)
    assert not facts.less(index + 12, 168 * BATCH)


def test_windows_of_a_volume_stay_inside_it() -> None:
    """The number of the record is bounded by a number of rows that depends on the block."""
    place = J + 6 * Q
    fine, middle, coarse = (floordiv(place, parts) for parts in (4, 12, 48))
    ranges = {"%t": (0, floordiv(BATCH + 1, 2) - 1), "%q": (0, minimum(8 * BATCH - 16 * T, 16) - 1)}
    kernel = {"%k0": (0, 1), "%k1": (0, 2), "%k2": (0, 1), "%k3": (0, 1), "%jl": (0, 5)}
    depth, height = K0 + 2 * middle - 8 * coarse - 1, K1 - 6 * middle + 2 * fine - 1
    inside = (depth, 5 - depth, height, 4 - height, 2 * J + K2 + 12 * Q - 8 * fine - 1)
    facts = Facts({**ranges, **kernel}, (48 * BATCH - 6 * Q - 96 * T - 6, *inside))
    width = 2 * (place - 4 * fine) + K2 - 1
    index = 420 * (coarse + 2 * T) + 210 * K3 + 35 * depth + 7 * height + width
    assert facts.less(index, 420 * BATCH)
    assert not facts.less(index + 1, 420 * BATCH)


def test_a_bound_is_rounded_once_inner_names_are_gone() -> None:
    """``4 q + r < 4 (batch - 4 t)`` leaves ``q < batch - 4 t``."""
    q, r, t, side = Dim("%q.2"), Dim("%q.3"), Dim("%t.1"), Dim("%t.0")
    rows = minimum(4 * BATCH - 16 * t, 16)
    tasks = {"%t.0": (0, 1), "%t.1": (0, floordiv(BATCH + 3, 4) - 1)}
    blocks = {"%q.2": (0, floordiv(rows + 3, 4) - 1), "%q.3": (0, 3)}
    place = J + K0
    inside = (place + 6 * r - 1, 25 - place - 6 * r, 3 * floordiv(place + 2, 3) - place - 2)
    facts = Facts(
        {**tasks, **blocks, "%k0": (0, 3), "%k1": (0, 1), "%jl": (0, 5)},
        (rows - 4 * q - r - 1, 24 * BATCH - 24 * q - 6 * r - 96 * t - 6, *inside),
    )
    index = 36 * (q + 4 * t) + 8 * r + 2 * side + K1 + 4 * floordiv(place + 2, 3) - 4
    assert facts.less(index, 36 * BATCH)
    assert not facts.less(index + 1, 36 * BATCH)


def test_half_of_an_assumption_is_enough() -> None:
    """``x - 2 (x // 2)`` says twice what a transposed convolution of stride 2 needs to know of its columns."""
    place = J + 28 * Q + 84 * T
    column, row, record = floordiv(J + K1 + 1, 2), floordiv(place, 8), floordiv(place, 80)
    groups = floordiv(20 * BATCH + 6, 7)
    ranges = {"%t": (0, floordiv(groups + 2, 3) - 1), "%q": (0, minimum(groups - 3 * T, 3) - 1)}
    kernel = {"%k0": (0, 2), "%k1": (0, 2), "%k2": (0, 1), "%jl": (0, 27)}
    line = floordiv(K0 + row + 1, 2)
    inside = (
        *(K0 + row - 10 * record - 1, 9 - K0 - row + 10 * record, 2 * line - K0 - row - 1),
        *(place + K1 - 8 * row - 1, 7 - place - K1 + 8 * row, 2 * column - J - K1 - 1),
    )
    facts = Facts({**ranges, **kernel}, (80 * BATCH - 28 - 28 * Q - 84 * T, *inside))
    index = 20 * K2 + 14 * Q + 42 * T + column - 4 * row + 20 * record + 4 * line - 5
    assert facts.nonnegative(index)
    assert facts.less(index, 40 * BATCH)
    assert not facts.less(index + 1, 40 * BATCH)
