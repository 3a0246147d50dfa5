from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmagraph.dims import Dim, evaluate
from sigmagraph.errors import ShapeError
from sigmagraph.tensor import shapes

N, M = Dim("n"), Dim("m")


@pytest.mark.parametrize(
    ("given_shapes", "expected"),
    [
        ([(3, 1), (4,)], (3, 4)),
        ([(), (2, 3)], (2, 3)),
        ([(1, 1), (5, 1), (1, 7)], (5, 7)),
        ([(0, 3), (1, 3)], (0, 3)),
        ([(N, 3), (3,)], (N, 3)),
        ([(N, 1), (1, M)], (N, M)),
        ([(N,), (5,)], (5,)),
        ([(5,), (N,)], (5,)),
        ([(N,), (M,)], (N,)),
        ([], ()),
    ],
)
def test_broadcast(given_shapes: list[Any], expected: tuple[Any, ...]) -> None:
    assert shapes.broadcast(given_shapes) == expected


@pytest.mark.parametrize("given_shapes", [[(3,), (4,)], [(N,), (N + 1,)], [(2, 3), (3, 2)], [(0,), (2,)]])
def test_broadcast_refuses_what_differs_for_all_dims(given_shapes: list[Any]) -> None:
    with pytest.raises(ShapeError, match="cannot be broadcast together"):
        shapes.broadcast(given_shapes)


def test_stretched_leaves_sizes_that_are_only_equal_at_run_time() -> None:
    assert shapes.stretched((N, 1), (5, 7)) == (N, 7)
    assert shapes.stretched((3,), (2, 3)) == (2, 3)


@pytest.mark.parametrize(
    ("shape", "wanted", "expected"),
    [
        ((2, 6), (3, -1), (3, 4)),
        ((2, 6), (-1,), (12,)),
        ((N, 8, 8), (N, -1), (N, 64)),
        ((N, 8, 8), (-1, 64), (N, 64)),
        ((N, M, 3), (-1, 3), (N * M, 3)),
        ((4,), (2, 2), (2, 2)),
        ((), (-1,), (1,)),
        ((0, 3), (-1, 3), (0, 3)),
    ],
)
def test_reshaped(shape: Any, wanted: Any, expected: Any) -> None:
    assert shapes.reshaped(shape, wanted) == expected


@pytest.mark.parametrize(
    ("shape", "wanted", "message"),
    [
        ((2, 6), (-1, -1), "one size only"),
        ((2, 6), (5, -1), "do not come out even"),
        ((N,), (2, -1), "do not come out even"),
        ((0, 3), (0, -1), "do not come out even"),
        ((2, 6), (-2, 6), "negative"),
        ((2, 6), (1.5, 8), "neither an int nor a Dim"),
    ],
)
def test_reshaped_refuses(shape: Any, wanted: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        shapes.reshaped(shape, wanted)


_BOUND = st.none() | st.integers(-9, 9)
_SLICE = st.builds(slice, _BOUND, _BOUND, st.none() | st.integers(-4, 4).filter(bool))


@given(st.lists(st.integers(0, 6), max_size=3), st.data())
def test_selections_are_those_of_numpy(sizes: list[int], data: st.DataObject) -> None:
    array = np.arange(int(np.prod(sizes))).reshape(sizes)
    items: list[Any] = []
    for size in sizes[: data.draw(st.integers(0, len(sizes)))]:
        choices = [_SLICE] + ([st.integers(-size, size - 1)] if size else [])
        items.append(data.draw(st.one_of(choices)))
    for _ in range(data.draw(st.integers(0, 2))):
        items.insert(data.draw(st.integers(0, len(items))), None)
    if data.draw(st.booleans()):
        items.append(...)
    key = tuple(items)
    chosen = shapes.select(key, tuple(sizes))
    ranges = tuple(slice(*r) for r in zip(chosen.start, chosen.stop, chosen.step, strict=True))
    np.testing.assert_array_equal(np.flip(array, chosen.backwards)[ranges].reshape(chosen.shape), array[key])
    assert all(0 <= a <= b <= n for a, b, n in zip(chosen.start, chosen.stop, sizes, strict=True))


def test_an_ellipsis_stands_for_the_axes_in_between() -> None:
    chosen = shapes.select((0, ..., slice(1, 3)), (2, 3, 4, 5))
    assert (chosen.start, chosen.stop, chosen.shape) == ((0, 0, 0, 1), (1, 3, 4, 3), (3, 4, 2))


@pytest.mark.parametrize(
    ("key", "start", "stop", "shape"),
    [
        (slice(1, None), 1, N, (N - 1,)),
        (slice(-3, None), N - 3, N, (3,)),
        (slice(None, -1), 0, N - 1, (N - 1,)),
        (slice(None, 5), 0, 5, (5,)),
        (slice(None, M), 0, M, (M,)),
        (-1, N - 1, N, ()),
        (4, 4, 5, ()),
        (M, M, M + 1, ()),
    ],
)
def test_bounds_of_symbolic_axes(key: Any, start: Any, stop: Any, shape: Any) -> None:
    chosen = shapes.select(key, (N,))
    assert (chosen.start, chosen.stop, chosen.shape) == ((start,), (stop,), shape)


@pytest.mark.parametrize(
    ("key", "start", "stop", "shape"),
    [
        (slice(None, None, -1), 0, N, (N,)),
        (slice(3, None, -1), N - 4, N, (4,)),
        (slice(-2, 1, -1), 1, N - 2, (N - 3,)),
        (slice(M, 0, -1), N - M - 1, N - 1, (M,)),
    ],
)
def test_ranges_of_symbolic_axes_that_are_read_backwards(key: Any, start: Any, stop: Any, shape: Any) -> None:
    chosen = shapes.select(key, (N,))
    assert (chosen.start, chosen.stop, chosen.shape, chosen.backwards) == ((start,), (stop,), shape, (0,))


@pytest.mark.parametrize("size", range(7))
@pytest.mark.parametrize("step", [-1, -2, -3])
def test_steps_backwards_along_a_symbolic_axis(size: int, step: int) -> None:
    chosen = shapes.select(slice(None, None, step), (N,))
    start, stop, count = (evaluate(s, {"n": size}) for s in (chosen.start[0], chosen.stop[0], chosen.shape[0]))
    line = np.arange(size)
    assert 0 <= start <= stop <= size
    assert list(line[::-1][start:stop:-step]) == list(line[::step])
    assert len(line[::step]) == count


def test_a_step_along_a_symbolic_axis_rounds_up() -> None:
    assert shapes.select(slice(None, None, 2), (N,)).shape == ((N + 1) // 2,)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (3, "axis 0 is out of range"),
        ((0, -5), "axis 1 is out of range"),
        ((0, 0, 0), "more indices than axes"),
        ((..., ...), "more than one ellipsis"),
        (True, "another kind"),
        ([0, 1], "another kind"),
        (1.5, "another kind"),
        (slice(None, None, 0), "no step"),
        (slice(None, None, 1.5), "no step"),
        (slice(1.5, None), "no size"),
    ],
)
def test_select_refuses(key: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        shapes.select(key, (3, 4))
