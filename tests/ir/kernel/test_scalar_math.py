"""The expansions of scalar ops: errors in ulp over the whole range, special values, exact results, random bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from expansions import evaluate, expansion

from sigmagraph.dtypes import BF16, F16, F32, F64, I64, DType
from sigmagraph.errors import LoweringError
from sigmagraph.ir.kernel.expr import Apply, Cast, walk
from sigmagraph.ir.kernel.philox import _mix, philox_bits, philox_block, philox_key
from sigmagraph.ir.kernel.scalar import SCALARS

Array = np.ndarray[Any, Any]
WIDER = {np.float32: np.float64, np.float64: np.longdouble}
POINTS = 60_000


def worst_ulp(op: str, x: Array) -> float:
    """The greatest error of an op, in units of the last place of the exact result."""
    wider = WIDER[x.dtype.type]
    with np.errstate(all="ignore"):
        exact = getattr(np, NAMES.get(op, op))(x.astype(wider))
        rounded = exact.astype(x.dtype)
        got = evaluate(op, x)
        finite = np.isfinite(rounded) & np.isfinite(got)
        error = np.abs(got[finite].astype(wider) - exact[finite]) / np.spacing(np.abs(rounded[finite])).astype(wider)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    number = ~np.isnan(got)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(rounded[number]))
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
    ("tanh", WIDE, -20.5, 20.5, 1.8),
    ("tanh", WIDE, -0.2, 0.2, 1.8),
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
@pytest.mark.parametrize(("op", "limit"), [("exp", 1.8), ("log", 1.6), ("tanh", 2.0)])
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


# ---- every function of one operand

NAMES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
}  # fmt: skip
LIMITS = {
    "exp2": 1.0,
    "expm1": 1.6,
    "sinh": 1.0,
    "cosh": 1.0,
    "log1p": 1.5,
    "log2": 1.5,
    "log10": 1.5,
    "asinh": 1.8,
    "acosh": 1.8,
    "atanh": 1.8,
    "sin": 0.8,
    "cos": 0.8,
    "tan": 0.9,
    "asin": 0.8,
    "acos": 0.8,
    "atan": 1.3,
}
INTERVALS = [(-1.0, 1.0), (-0.3, 0.3), (0.9, 1.1), (1.0, 4.0), (-12.0, 12.0), (-110.0, 100.0), (-750.0, 720.0)]


def arguments(rng: np.random.Generator, dtype: type) -> Array:
    """Numbers from intervals, of random bits, subnormal ones, whole ones, and the edges of the format."""
    limits = np.finfo(dtype)
    sizes = [0.0, 0.5, 1.0, 2.0, limits.max, limits.tiny, limits.smallest_subnormal, limits.eps, np.inf, np.nan]
    edges = np.array([*sizes, *(-s for s in sizes)], dtype)
    with np.errstate(over="ignore"):
        around = [np.nextafter(edges, dtype(end)) for end in (-np.inf, np.inf)]
    parts = [rng.uniform(low, high, 3000).astype(dtype) for low, high in INTERVALS]
    parts += [bits(rng, dtype)[:5000], bits(rng, dtype, 1 << limits.nmant)[:1000], np.arange(-50, 50).astype(dtype)]
    return np.concatenate([edges, *around, *parts])


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@pytest.mark.parametrize("op", LIMITS)
def test_error_of_a_function(op: str, dtype: type) -> None:
    skip_without_wider(dtype)
    x = arguments(np.random.default_rng(5), dtype)
    assert worst_ulp(op, x) < LIMITS[op]


def exact_erfc(x: float) -> Decimal:
    """The complementary error function to 50 digits: by a series near 0, by its continued fraction beyond 2."""
    if x < 0:
        return 2 - exact_erfc(-x)
    with localcontext(prec=60):
        square = Decimal(x) * Decimal(x)
        factor = (-square).exp() / Decimal("3.14159265358979323846264338327950288419716939937510582097494").sqrt()
        if x > 2:
            fraction = Decimal(x)
            for k in range(400, 0, -1):
                fraction = Decimal(x) + Decimal(k) / 2 / fraction
            return factor / fraction
        term = total = Decimal(x)
        for k in range(1, 80):
            term = term * 2 * square / (2 * k + 1)
            total += term
        return 1 - 2 * factor * total


def in_place(exact: Decimal, got: Any) -> float:
    """The error of a float in units of the last place of the exact number."""
    unit = np.spacing(abs(got.dtype.type(float(exact))))
    return abs(float((Decimal(float(got)) - exact) / Decimal(float(unit))))


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
def test_error_of_the_error_functions(dtype: type) -> None:
    x = np.concatenate([np.linspace(-5.9, 9.3, 90), [1e-300, 1e-9, 0.5, 0.99999, 1.0, 1.00001, 3.99, 8.7]]).astype(
        dtype
    )
    if dtype is WIDE:
        x = np.concatenate([x, np.linspace(10.0, 26.5, 12)])
    complement = [exact_erfc(float(v)) for v in x]
    assert max(map(in_place, complement, evaluate("erfc", x))) < 1.4
    # 1 - erfc loses what erfc lost before for small arguments only, where erf is x times a factor
    plain = [
        1 - c if abs(v) > 1e-8 else Decimal(float(v)) * Decimal("1.1283791670955125739")
        for v, c in zip(x, complement, strict=True)
    ]
    assert max(map(in_place, plain, evaluate("erf", x))) < 1.2
    edges = np.array([INF, -INF, NAN, 0.0, -0.0, 30.0, -30.0], dtype)
    np.testing.assert_array_equal(evaluate("erf", edges), [1.0, -1.0, NAN, 0.0, -0.0, 1.0, -1.0])
    np.testing.assert_array_equal(evaluate("erfc", edges), [0.0, 2.0, NAN, 1.0, 1.0, 0.0, 2.0])
    assert np.signbit(evaluate("erf", edges))[4]


@pytest.mark.parametrize(
    ("op", "x", "want"),
    [
        ("exp2", np.arange(-149.0, 128.0), lambda x: np.ldexp(1.0, x.astype(int))),
        ("log2", 2.0 ** np.arange(-149.0, 128.0), lambda x: np.arange(-149.0, 128.0)),
        ("log10", 10.0 ** np.arange(0.0, 11.0), lambda x: np.arange(0.0, 11.0)),
        ("asin", np.array([-1.0, 0.0, 1.0]), lambda x: x * (math.pi / 2)),
        ("acos", np.array([-1.0, 0.0, 1.0]), lambda x: np.array([math.pi, math.pi / 2, 0.0])),
        ("atan", np.array([-INF, 0.0, INF]), lambda x: np.array([-0.5, 0.0, 0.5]) * math.pi),
        ("cosh", np.array([0.0, -0.0]), lambda x: np.array([1.0, 1.0])),
    ],
)
@pytest.mark.parametrize("dtype", [NARROW, WIDE])
def test_exact_results(op: str, x: Array, want: Callable[[Array], Array], dtype: type) -> None:
    np.testing.assert_array_equal(evaluate(op, x.astype(dtype)), want(x).astype(dtype))


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@pytest.mark.parametrize("op", ["sin", "cos", "tanh", "erf"])
def test_bounded_functions_stay_in_their_bounds(op: str, dtype: type) -> None:
    x = np.concatenate([bits(np.random.default_rng(6), dtype)[:20_000], np.linspace(-9, 9, 20_001, dtype=dtype)])
    got = evaluate(op, x[np.isfinite(x)])
    assert (np.abs(got) <= 1).all()


@pytest.mark.parametrize(
    ("op", "want"),
    [
        ("sin", [1.0, -0.8522008497671888, 0.563127779850884]),
        ("cos", [-4.687165924254628e-19, 0.523214785395139, -0.826369834614148]),
    ],
)
def test_trigonometry_of_huge_arguments(op: str, want: list[float]) -> None:
    """The first of them comes nearer to a multiple of pi / 2 than any other double does."""
    x = np.array([6381956970095103.0 * 2.0**797, 1e22, 2.0**1023])
    np.testing.assert_allclose(evaluate(op, x), want, rtol=3e-16)


# ---- functions of two operands


@pytest.mark.parametrize(("op", "name", "limit"), [("power", "power", 0.8), ("atan2", "arctan2", 1.6)])
@pytest.mark.parametrize("dtype", [NARROW, WIDE])
def test_error_of_a_function_of_two_operands(op: str, name: str, limit: float, dtype: type) -> None:
    skip_without_wider(dtype)
    rng, wider = np.random.default_rng(7), WIDER[dtype]
    limits = np.finfo(dtype)
    edge = [0.0, 0.5, 1.0, 2.0, 3.0, 4.5, limits.max, limits.tiny, limits.smallest_subnormal, 1e10, np.inf, np.nan]
    grid = np.meshgrid(np.array([*edge, *(-e for e in edge)], dtype), np.array([*edge, *(-e for e in edge)], dtype))
    near = rng.uniform(0.9, 1.1, 4000), rng.uniform(-800, 800, 4000)
    far = np.exp(rng.uniform(-60, 60, 4000)), rng.uniform(-3, 3, 4000)
    whole = rng.uniform(-8, 8, 4000), np.rint(rng.uniform(-40, 40, 4000))
    some = [np.concatenate([g.ravel(), bits(rng, dtype)[:4000]]) for g in grid]
    x, y = (
        np.concatenate([s, *(p.astype(dtype) for p in parts)]) for s, *parts in zip(some, near, far, whole, strict=True)
    )
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(wider), y.astype(wider))
        rounded, got = exact.astype(dtype), evaluate(op, x, y)
        finite = np.isfinite(rounded) & np.isfinite(got)
        error = np.abs(got[finite].astype(wider) - exact[finite]) / np.spacing(np.abs(rounded[finite])).astype(wider)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    np.testing.assert_array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(rounded[~np.isnan(got)]))
    assert error.max() < limit


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
def test_remainders_are_exact(dtype: type) -> None:
    rng = np.random.default_rng(8)
    span = 90.0 if dtype is WIDE else 60.0
    x, y = (np.exp(rng.uniform(-span, span, 5000)) * rng.choice([-1, 1], 5000) for _ in range(2))
    edges = np.array([0.0, -0.0, 1.0, -1.0, 2.0, 7.5, -7.5, np.inf, -np.inf, np.nan, np.float32(1e-45)])
    grid = np.meshgrid(edges, edges)
    x, y = (np.concatenate([a, g.ravel()]).astype(dtype) for a, g in zip((x, y), grid, strict=True))
    with np.errstate(all="ignore"):
        for op, want in (("remainder", np.remainder(x, y)), ("floor_divide", np.floor_divide(x, y))):
            got = evaluate(op, x, y)
            np.testing.assert_array_equal(got, want)
            number = ~np.isnan(want)
            np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


def test_remainders_beyond_the_range_are_nan() -> None:
    x, y = np.array([1e300, 1e200, 5e-324]), np.array([3e-300, 3.0, 1e308])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(evaluate("remainder", x, y), [NAN, NAN, 5e-324])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_integer_remainders(dtype: type) -> None:
    limits = np.iinfo(dtype)
    numbers = np.array([limits.min, limits.min + 1, 0, 1, 2, 3, 7, 100, limits.max - 1, limits.max], dtype)
    numbers = np.unique(np.concatenate([numbers, -numbers]))
    x, y = (g.ravel() for g in np.meshgrid(numbers, numbers))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(evaluate("remainder", x, y), np.remainder(x, y))
        np.testing.assert_array_equal(evaluate("floor_divide", x, y), np.floor_divide(x, y))


# ---- special values


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


@pytest.mark.parametrize(("dtype", "low"), [(NARROW, -104.0), (WIDE, -746.0)])
def test_exp_is_zero_without_underflow(dtype: type, low: float) -> None:
    """Nothing is multiplied until it vanishes, which takes a processor a hundred cycles."""
    x = np.append(np.random.default_rng(6).uniform(2 * low, low, 2000), [-INF, -1e30, low * 1.0001]).astype(dtype)
    with np.errstate(all="raise"):
        got = evaluate("exp", x)
    np.testing.assert_array_equal(got, np.zeros_like(x))
    assert not np.signbit(got).any()


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
def test_exp_keeps_subnormal_results(dtype: type) -> None:
    """Down to the last number whose exponential is more than half of the smallest one, and NaN beside it."""
    least = np.nextafter(dtype(0), dtype(1))
    last = dtype(np.log(least.astype(WIDER[dtype]) / 2))
    x = np.concatenate([np.linspace(last, 0.8 * last, 5000, dtype=dtype), np.array([np.nan], dtype)])
    with np.errstate(all="ignore"):
        exact = np.exp(x.astype(WIDER[dtype]))
        got = evaluate("exp", x)
    skip_without_wider(dtype)
    assert np.isnan(got[-1])
    assert (got[1:-1] > 0).all()
    assert (np.abs(got[:-1].astype(WIDER[dtype]) - exact[:-1]) <= 1.8 * np.spacing(got[:-1])).all()


@pytest.mark.parametrize("op", ["exp", "log", "tanh"])
def test_nan_stays_nan_whatever_its_payload(op: str) -> None:
    narrow = np.array([0x7FC00000, 0xFFC00001, 0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    wide = np.array([0x7FF8 << 48, 0xFFF8 << 48 | 1, (0x7FF0 << 48) + 1, (1 << 64) - 1], np.uint64).view(np.float64)
    assert np.isnan(evaluate(op, narrow)).all()
    assert np.isnan(evaluate(op, wide)).all()


@pytest.mark.parametrize(
    ("op", "dtypes", "limit"),
    [
        ("exp", (F32,), 20),
        ("log", (F32,), 27),
        ("tanh", (F32,), 22),
        ("exp", (F64,), 25),
        ("log", (F64,), 39),
        ("tanh", (F64,), 41),
        ("exp", (F16,), 21),
        ("exp2", (F32,), 31),
        ("expm1", (F32,), 34),
        ("log1p", (F32,), 48),
        ("erf", (F32,), 77),
        ("sin", (F32,), 62),
        ("sin", (F64,), 214),
        ("power", (F32, F32), 94),
        ("power", (F64, F64), 143),
        ("philox", (I64,) * 4, 150),
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
            _, result = expansion(op.name, *[I64 if op.name == "philox" else F32] * op.arity)
            assert result.dtype is op.result([I64 if op.name == "philox" else F32] * op.arity)
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

    block, step = (low | high << 32 for low, high in (counter[:2], counter[2:]))
    if block < 1 << 61:  # else its elements cannot be counted in 64 bits
        seed, stream = key
        mixed = int(philox_key(seed, stream))
        words = [
            int(w[0])
            for w in philox_block(tuple(arrays[0]), (np.uint64([mixed & 0xFFFFFFFF]), np.uint64([mixed >> 32])))
        ]
        got = [int(philox_bits(seed, stream, signed(step), signed(4 * block + n))) & 0xFFFFFFFF for n in range(4)]
        assert got == words


def test_philox_keys_depend_on_all_bits_of_seed_and_stream() -> None:
    """The first output of SplitMix64 for the state 1234567 is 6457827717110365317; changed bits change half the bits."""
    assert int(_mix(np.array(1234567, np.uint64))) == 6457827717110365317
    seeds = np.concatenate([[0], 1 << np.arange(63), [-(1 << 63)]])
    keys = philox_key(seeds[:, None], np.concatenate([[0], 1 << np.arange(32)]))
    assert len(np.unique(keys)) == keys.size  # seed 2**32, stream 0 and seed 0, stream 1 were the same once
    changed = [int(key).bit_count() for key in np.concatenate([keys[0] ^ keys[0, 0], keys[:, 0] ^ keys[0, 0]])]
    assert all(14 <= count <= 50 for count in changed if count)


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
