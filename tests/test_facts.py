"""Proofs about index expressions are right: what is shown holds for all numbers, also with powers of divisions."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from sigmagraph.dims import Dim, Size, evaluate, floordiv, maximum, minimum
from sigmagraph.facts import Facts

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
