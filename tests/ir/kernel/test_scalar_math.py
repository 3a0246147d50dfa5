"""The expansions of exp, log, tanh and philox: errors in ulp over the whole range, special values, random bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sigmagraph.dtypes import BF16, F16, F32, F64, I64, DType, as_dtype
from sigmagraph.errors import LoweringError
from sigmagraph.ir.kernel.expr import Apply, Bitcast, Cast, Const, Expr, Var, walk
from sigmagraph.ir.kernel.math import expand
from sigmagraph.ir.kernel.philox import philox_bits, philox_block
from sigmagraph.ir.kernel.scalar import SCALARS, convert

Array = np.ndarray[Any, Any]
WIDER = {np.float32: np.float64, np.float64: np.longdouble}
POINTS = 60_000


def expansion(op: str, *dtypes: DType) -> tuple[list[tuple[str, Expr]], Expr]:
    """Lets and result of an op on the variables %x0, %x1, ..."""
    lets: list[tuple[str, Expr]] = []

    def let(value: Expr) -> Expr:
        if isinstance(value, (Var, Const)):
            return value
        lets.append((f"%t{len(lets)}", value))
        return Var(lets[-1][0], value.dtype)

    result = expand(op, tuple(Var(f"%x{i}", dtype) for i, dtype in enumerate(dtypes)), let)
    return lets, result


def evaluate(op: str, *args: Array) -> Array:
    """An op on arrays, by way of its expansion."""
    lets, result = expansion(op, *(as_dtype(a.dtype) for a in args))
    known: dict[str, Array] = {f"%x{i}": a for i, a in enumerate(args)}

    def value(expr: Expr) -> Array:
        match expr:
            case Const(number, dtype):
                return np.asarray(number, dtype.numpy)
            case Var(name, _):
                return known[name]
            case Apply(name, operands, dtype):
                return np.asarray(SCALARS[name].evaluate(*map(value, operands))).astype(dtype.numpy)
            case Cast(inner, dtype):
                return np.asarray(convert(value(inner), dtype))
            case Bitcast(inner, dtype):
                return value(inner).view(dtype.numpy)
        raise AssertionError(expr)

    with np.errstate(all="ignore"):
        for name, expr in lets:
            known[name] = value(expr)
        return value(result)


def worst_ulp(op: str, x: Array) -> float:
    """The greatest error of an op, in units of the last place of the exact result."""
    wider = WIDER[x.dtype.type]
    with np.errstate(all="ignore"):
        exact = getattr(np, op)(x.astype(wider))
        rounded = exact.astype(x.dtype)
        got = evaluate(op, x)
        finite = np.isfinite(rounded) & np.isfinite(got)
        error = np.abs(got[finite].astype(wider) - exact[finite]) / np.spacing(np.abs(rounded[finite])).astype(wider)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    return float(error.max(initial=0.0))


def bits(rng: np.random.Generator, dtype: type, high: int | None = None) -> Array:
    """Numbers of random bit patterns; only the nonnegative ones with bits below ``high``, if it is given."""
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
    return rng.integers(0, high or np.iinfo(unsigned).max, POINTS, unsigned, endpoint=not high).view(dtype)


NARROW, WIDE = np.float32, np.float64
RANGES = [
    ("exp", NARROW, -104.5, 89.5, 1.5),
    ("exp", NARROW, -103.98, -86.0, 1.5),
    ("exp", NARROW, -1.0, 1.0, 1.5),
    ("exp", WIDE, -746.0, 710.0, 1.8),
    ("exp", WIDE, -745.2, -708.0, 1.8),
    ("exp", WIDE, -1.0, 1.0, 1.8),
    ("log", NARROW, 0.0, 4.0, 1.2),
    ("log", NARROW, 0.999, 1.001, 1.0),
    ("log", WIDE, 0.0, 4.0, 1.6),
    ("log", WIDE, 0.999, 1.001, 1.0),
    ("tanh", NARROW, -10.5, 10.5, 2.0),
    ("tanh", NARROW, -0.2, 0.2, 2.0),
    ("tanh", WIDE, -20.5, 20.5, 2.2),
    ("tanh", WIDE, -0.2, 0.2, 2.2),
]


def skip_without_wider(dtype: type) -> None:
    """Skip where the platform has no type to measure float64 against."""
    if dtype is WIDE and np.finfo(np.longdouble).nmant <= np.finfo(WIDE).nmant:
        pytest.skip("the platform's long double is a double")


@pytest.mark.parametrize(("op", "dtype", "low", "high", "limit"), RANGES)
def test_error_over_an_interval(op: str, dtype: type, low: float, high: float, limit: float) -> None:
    skip_without_wider(dtype)
    x = np.random.default_rng(1).uniform(low, high, POINTS).astype(dtype)
    assert worst_ulp(op, x) < limit


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@pytest.mark.parametrize(("op", "limit"), [("exp", 1.8), ("log", 1.6), ("tanh", 2.2)])
def test_error_over_all_bit_patterns(op: str, dtype: type, limit: float) -> None:
    skip_without_wider(dtype)
    assert worst_ulp(op, bits(np.random.default_rng(2), dtype)) < limit


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@pytest.mark.parametrize(("op", "limit"), [("exp", 0.5), ("log", 1.3), ("tanh", 0.5)])
def test_error_on_subnormal_numbers(op: str, dtype: type, limit: float) -> None:
    skip_without_wider(dtype)
    subnormal = bits(np.random.default_rng(3), dtype, 1 << np.finfo(dtype).nmant)
    assert worst_ulp(op, subnormal) <= limit


@pytest.mark.parametrize("dtype", [F16, BF16])
@pytest.mark.parametrize("op", ["exp", "log", "tanh"])
def test_half_precision_is_computed_in_single(op: str, dtype: DType) -> None:
    x = np.arange(1 << 16, dtype=np.uint16).view(dtype.numpy)
    got = evaluate(op, x)
    assert got.dtype == dtype.numpy
    with np.errstate(all="ignore"):
        want = evaluate(op, x.astype(np.float32)).astype(dtype.numpy)
        np.testing.assert_array_equal(got.astype(np.float32), want.astype(np.float32))


INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@pytest.mark.parametrize(
    ("op", "x", "want"),
    [
        ("exp", [0.0, -0.0, INF, -INF, 1e4, -1e4], [1.0, 1.0, INF, 0.0, INF, 0.0]),
        ("log", [1.0, 0.0, -0.0, INF, -1.0, -INF, -1e-42], [0.0, -INF, -INF, INF, NAN, NAN, NAN]),
        ("tanh", [0.0, -0.0, INF, -INF, 50.0, -1e-42], [0.0, -0.0, 1.0, -1.0, 1.0, -1e-42]),
    ],
)
def test_special_values(op: str, x: list[float], want: list[float], dtype: type) -> None:
    got, expected = evaluate(op, np.array(x, dtype)), np.array(want, dtype)
    np.testing.assert_array_equal(got, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(expected[number]))


@pytest.mark.parametrize("op", ["exp", "log", "tanh"])
def test_nan_stays_nan_whatever_its_payload(op: str) -> None:
    narrow = np.array([0x7FC00000, 0xFFC00001, 0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    wide = np.array([0x7FF8 << 48, 0xFFF8 << 48 | 1, (0x7FF0 << 48) + 1, (1 << 64) - 1], np.uint64).view(np.float64)
    assert np.isnan(evaluate(op, narrow)).all()
    assert np.isnan(evaluate(op, wide)).all()


@pytest.mark.parametrize(
    ("op", "dtypes", "limit"),
    [
        ("exp", (F32,), 18),
        ("log", (F32,), 27),
        ("tanh", (F32,), 22),
        ("exp", (F64,), 24),
        ("log", (F64,), 39),
        ("tanh", (F64,), 27),
        ("exp", (F16,), 20),
        ("philox", (I64,) * 4, 134),
    ],
)
def test_expansions_are_primitive_and_stay_short(op: str, dtypes: tuple[DType, ...], limit: int) -> None:
    lets, result = expansion(op, *dtypes)
    nodes = [e for expr in [*(e for _, e in lets), result] for e in walk(expr)]
    assert all(SCALARS[e.op].primitive for e in nodes if isinstance(e, Apply))
    assert sum(isinstance(e, (Apply, Cast)) for e in nodes) <= limit
    assert result.dtype is SCALARS[op].result(dtypes)


def test_only_what_is_not_primitive_has_an_expansion() -> None:
    for op in SCALARS.values():
        if not op.primitive:
            expansion(op.name, *[I64 if op.name == "philox" else F32] * op.arity)
    with pytest.raises(LoweringError, match="'add' has no expansion"):
        expansion("add", F32, F32)


# ---- random numbers


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_words(
    counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]
) -> None:
    """The known-answer vectors of Random123's philox4x32-10, as a block and as elements."""
    arrays = [np.array([c], np.uint64) for c in counter], [np.array([k], np.uint64) for k in key]
    assert [int(w[0]) for w in philox_block(tuple(arrays[0]), tuple(arrays[1]))] == list(words)

    def signed(value: int) -> Array:
        return np.array(value & (1 << 64) - 1, np.uint64).view(np.int64)

    block, step, seed = (low | high << 32 for low, high in (counter[:2], counter[2:], key))
    if block < 1 << 61:  # else its elements cannot be counted in 64 bits
        got = [int(philox_bits(signed(seed), 0, signed(step), signed(4 * block + n))) & 0xFFFFFFFF for n in range(4)]
        assert got == list(words)


@pytest.mark.parametrize("key", [(0, 0, 0), (-5, 7, 1 << 40), (123_456_789_012_345, -3, -1), (1 << 62, 1 << 33, 2**31)])
def test_philox_expansion_is_exact(key: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(4)
    element = np.concatenate([np.arange(64), rng.integers(0, 1 << 62, 64), [(1 << 63) - 1]])
    seed, stream, step = (np.full(element.shape, k, np.int64) for k in key)
    got = evaluate("philox", seed, stream, step, element)
    np.testing.assert_array_equal(got, philox_bits(*key, element))
    assert got.min() >= -(1 << 31)
    assert got.max() < 1 << 31


def test_philox_takes_narrow_integers() -> None:
    element = np.arange(8, dtype=np.int32)
    key = [np.full(8, k, np.int32) for k in (3, 1, 2)]
    got = evaluate("philox", *key, element)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, philox_bits(3, 1, 2, element))


def test_philox_words_differ_by_seed_stream_step_and_element() -> None:
    words = [int(philox_bits(*key)) for key in np.eye(4, dtype=np.int64) + 5]
    assert len(set(words)) == 4
    mean = philox_bits(1, 2, 3, np.arange(20_000)).mean() / 2**31
    assert abs(mean) < 0.02
