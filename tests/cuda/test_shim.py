"""The shim that executes GPU programs: right kernels give right numbers, and each planted defect is found."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import cuda_shim
import ml_dtypes
import numpy as np
import pytest

from sigmagraph.errors import DeviceError, DeviceMemoryError
from sigmagraph.ir.kernel.scalar import SCALARS

pytestmark = pytest.mark.skipif(not cuda_shim.available(), reason="there is no g++")

_TEXT = (Path(__file__).parent / "shim_kernels.cu").read_text()
_SEEDS = range(4)
_BARRIER = "__syncthreads();"
_WAIT = "sg_cp_async_wait<1>();"

# Copies of kernels with a defect: the name of the kernel, what stands there, which of the places, and what is put there.
_DEFECTS = {
    **{f"softmax_without_{n}": ("softmax", _BARRIER, n, ";") for n in range(4)},
    "matmul_without": ("matmul", _BARRIER, 0, ";"),
    "matmul_bf16_without": ("matmul_bf16", _BARRIER, 0, ";"),
    "matmul_tf32_without": ("matmul_tf32", _BARRIER, 0, ";"),
    "matmul_bf16_no_wait": ("matmul_bf16", _WAIT, 0, ";"),
    "matmul_tf32_late_wait": ("matmul_tf32", _WAIT, 0, "sg_cp_async_wait<2>();"),
    "turn_without": ("turn", _BARRIER, 0, ";"),
    "turn_read": ("turn", "s[127 - t]", 0, "s[128 - t]"),
    "turn_write": ("turn", "s[t] =", 0, "s[t + 1] ="),
    "turn_before": ("turn", "s[t] =", 0, "s[t - 1] ="),
    "turn_half": ("turn", _BARRIER, 0, f"if (t < 40) {_BARRIER}"),
    "turn_return": ("turn", _BARRIER, 0, f"if (t == 5) return;\n{_BARRIER}"),
    "turn_two": ("turn", _BARRIER, 0, f"if (t < 64) {_BARRIER}\nelse {_BARRIER}"),
    "turn_local": ("turn", "own[t & 1] = x", 0, "own[t & 3] = x"),
    "scale_write": ("scale", "i < n", 0, "i <= n"),
    "scale_read": ("scale", "x[i]", 0, "x[i + 1]"),
    "scale_before": ("scale", "y[i]", 0, "y[i - 1]"),
    "scale_unwritten": ("scale", "i < n", 0, "i < n - 1"),
    "scale_deep": ("scale", "if (i < n)", 0, "volatile float deep[40000];\ndeep[i] = 0.0f;\nif (i < n)"),
    "scale_divides": ("scale", "i < n", 0, "i / (n - n) < n"),
    "scale_null": ("scale", "y[i]", 0, "((float*)0)[i]"),
    "add4_misaligned": ("add4", "(x + i)", 0, "(x + i + 1)"),
    "softmax_partly": ("softmax", "m = larger(m, __shfl", 0, "if (lane < 16) m = larger(m, __shfl"),
    "softmax_mask": ("softmax", "0xffffffffu", 0, "0x7fffffffu"),
    "softmax_inactive": ("softmax", "__shfl_down_sync(0xffffffffu, sum, o)", 0, "__shfl_down_sync(1u << lane, sum, o)"),
    "softmax_ended": ("softmax", "if (lane == 0)", 0, "if (t == 37) return;\nif (lane == 0)"),
}


def _kernel(name: str) -> str:
    start = re.search(rf'extern "C" __global__ void __launch_bounds__\(\d+\)\s+{name}\(', _TEXT)
    assert start is not None
    return _TEXT[start.start() : _TEXT.index("\n}\n", start.start()) + 3]


def _defective(name: str, kernel: str, what: str, place: int, instead: str) -> str:
    parts = _kernel(kernel).split(what)
    assert len(parts) > place + 1, name
    text = what.join(parts[: place + 1]) + instead + what.join(parts[place + 1 :])
    return text.replace(f" {kernel}(", f" {name}(", 1)


@pytest.fixture(scope="module")
def image() -> cuda_shim.HostImage:
    """All kernels and their defective copies, one text."""
    text = _TEXT + "".join(_defective(name, *defect) for name, defect in _DEFECTS.items())
    return cuda_shim.HostDriver().load(cuda_shim.build(text))


def _random(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


class _Case:
    """A kernel, what it is launched on, and what comes out."""

    def __init__(
        self, launch: tuple[int, int, int], arrays: list[Any], ints: list[int], out: int, expected: Any
    ) -> None:
        self.launch, self.arrays, self.ints, self.out = launch, arrays, ints, out
        self.expected = np.asarray(expected, np.float64)

    def error(self, image: cuda_shim.HostImage, name: str, seed: int) -> float:
        """The largest error, NaN where there is one."""
        got = cuda_shim.call(image, name, *self.launch, self.arrays, self.ints, seed)[self.out]
        return float(np.max(np.abs(got - self.expected)))


def _softmax() -> _Case:
    x = _random(6, 200) - 8  # the greatest number is less than any sum
    e = np.exp(x.astype(np.float64))
    return _Case((3, 128, 16), [x, (x.shape, "f4")], [6, 200], 1, e / e.sum(1, keepdims=True))


def _matmul() -> _Case:
    a, b = _random(64, 40), _random(40, 32)
    return _Case((2, 64, 4096), [a, b, ((64, 32), "f4")], [64, 32, 40], 2, a.astype(np.float64) @ b)


def _matmul_bf16() -> _Case:
    a, b = (_random(*s).astype(ml_dtypes.bfloat16) for s in ((40, 72), (72, 56)))
    expected = a.astype(np.float64) @ b.astype(np.float64)
    return _Case((4, 128, 8448), [a.view("u2"), b.view("u2"), ((40, 56), "f4")], [40, 56, 72], 2, expected)


def _matmul_tf32() -> _Case:
    a, b = _random(40, 52), _random(52, 36)
    return _Case((4, 128, 8448), [a, b, ((40, 36), "f4")], [40, 36, 52], 2, a.astype(np.float64) @ b)


def _turn() -> _Case:
    x = _random(256)
    return _Case((2, 128, 512), [x, ((256,), "f4")], [], 1, x.reshape(2, 128)[:, ::-1].reshape(-1))


def _scale(n: int = 256) -> _Case:
    x = _random(n)
    return _Case((n // 128 + 1, 128, 0), [x, ((n,), "f4")], [n], 1, 2 * x)


def _add4() -> _Case:
    x, z = _random(303), _random(3, 101).reshape(-1)
    return _Case((2, 64, 0), [x, z, ((303,), "f4")], [303], 2, x + z)


# By kernel: a case, and the error that is allowed. tf32 has ten bits behind the point, of two factors each.
_RIGHT = {
    "scale": (_scale, 0.0),
    "add4": (_add4, 0.0),
    "turn": (_turn, 0.0),
    "softmax": (_softmax, 1e-7),
    "matmul": (_matmul, 1e-5),
    "matmul_bf16": (_matmul_bf16, 1e-5),
    "matmul_tf32": (_matmul_tf32, 52 * 2**-11),
}


@pytest.mark.parametrize("name", _RIGHT)
def test_right_kernels_give_right_numbers_in_any_order(image: cuda_shim.HostImage, name: str) -> None:
    case, allowed = _RIGHT[name]
    for seed in _SEEDS:
        assert case().error(image, name, seed) <= allowed


def test_tf32_is_not_float32(image: cuda_shim.HostImage) -> None:
    assert _matmul_tf32().error(image, "matmul_tf32", 0) > 1e-4


@pytest.mark.parametrize(
    "name", [n for n in _DEFECTS if "_without" in n or n in {"matmul_bf16_no_wait", "matmul_tf32_late_wait"}]
)
def test_a_missing_barrier_or_wait_gives_wrong_numbers(image: cuda_shim.HostImage, name: str) -> None:
    case, allowed = _RIGHT[_DEFECTS[name][0]]
    errors = [case().error(image, name, seed) for seed in _SEEDS]
    assert any(not error <= 100 * allowed + 1e-6 for error in errors), errors


_REPORTED = {
    "turn_read": ("no access", "0 bytes behind the end of 'shared memory' (512 bytes)", "thread 0"),
    "turn_write": ("no access", "0 bytes behind the end of 'shared memory' (512 bytes)", "thread 127"),
    "turn_before": ("a write at", "before the start of 'shared memory'"),
    "turn_half": ("wait for ever: of 128 threads 40 wait at __syncthreads", "88 have ended", "block"),
    "turn_return": ("of 128 threads 127 wait at __syncthreads", "1 have ended"),
    "turn_two": ("different barriers: __syncthreads of line",),
    "turn_local": ("an index outside of a local array",),
    "scale_write": ("no access", "0 bytes behind the end of 'buffer", "block 2, thread 0"),
    "scale_read": ("no access", "0 bytes behind the end of 'buffer 0' (1024 bytes)", "block 1, thread 127"),
    "scale_before": ("a write to 4 bytes before the start of 'buffer 1'",),
    "scale_deep": ("a thread needs more than 131072 bytes of stack",),
    "scale_divides": ("divided by zero",),
    "scale_null": ("no access at address", "near nothing"),
    "add4_misaligned": ("a misaligned access", "block"),
    "softmax_partly": ("wait for ever", "for other lanes of their warp"),
    "softmax_mask": ("the mask 7fffffff does not name the lane 31 itself",),
    "softmax_inactive": ("a shuffle takes the value of lane", "not in the mask"),
    "softmax_ended": ("wait for ever: of 128 threads 127 wait at __syncthreads", "1 have ended"),
}


@pytest.mark.parametrize("name", _REPORTED)
def test_defects_are_reported(image: cuda_shim.HostImage, name: str) -> None:
    case, allowed = _RIGHT[_DEFECTS[name][0]]
    for seed in (0, 1):
        with pytest.raises(DeviceError) as caught:
            case().error(image, name, seed)
        assert f"'{name}'" in str(caught.value)
        for words in _REPORTED[name]:
            assert words in str(caught.value)
    assert case().error(image, _DEFECTS[name][0], 0) <= allowed  # all goes on


def test_every_defect_is_tested() -> None:
    wrong = {n for n in _DEFECTS if "_without" in n or "_wait" in n or n == "scale_unwritten"}
    assert wrong | set(_REPORTED) == set(_DEFECTS)
    assert len(re.findall(re.escape(_BARRIER), _TEXT)) == sum("_without" in n for n in _DEFECTS)


def test_what_is_not_written_is_not_a_number(image: cuda_shim.HostImage) -> None:
    case = _scale()
    got = cuda_shim.call(image, "scale_unwritten", *case.launch, case.arrays, case.ints)[1]
    assert np.isnan(got[-1])
    np.testing.assert_array_equal(got[:-1], case.expected[:-1])


def test_ends_that_are_no_multiple_of_16_bytes(image: cuda_shim.HostImage) -> None:
    """Up to 15 bytes behind an array can be touched: what is read there is NaN, and writes are noticed."""
    case = _scale(253)
    with pytest.raises(DeviceError, match="a write to 0 bytes behind the end of 'buffer 1'"):
        case.error(image, "scale_write", 0)
    assert np.isnan(cuda_shim.call(image, "scale_read", *case.launch, case.arrays, case.ints)[1][-1])
    assert case.error(image, "scale", 0) == 0


def test_votes_shuffles_and_atomic_additions(image: cuda_shim.HostImage) -> None:
    x = np.random.default_rng(1).integers(0, 10, 64).astype(np.int32)
    x[32:] += 8
    lanes, orders = x.reshape(2, 32), set()
    for seed in _SEEDS:
        y, total, order = cuda_shim.call(
            image, "votes", 1, 64, 0, [x, ((384,), "i4"), np.zeros(2, "i4"), ((64,), "i4")], (), seed
        )[1:]
        odd = [sum(int(v & 1) << i for i, v in enumerate(row)) for row in lanes]
        np.testing.assert_array_equal(y[:64].view(np.uint32), np.repeat(odd, 32))
        np.testing.assert_array_equal(y[64:128], np.repeat([1, 3], 32))
        np.testing.assert_array_equal(y[128:192], np.roll(lanes, -1, 1).reshape(-1))
        up = np.concatenate([lanes[:, :2], lanes[:, :-2]], 1)
        np.testing.assert_array_equal(y[192:256], up.reshape(-1))
        within = np.where(np.arange(32) < 8, lanes[:, np.arange(32) ^ 3], -1)
        np.testing.assert_array_equal(y[256:320], within.reshape(-1))
        assert y[320:].all()
        assert list(total) == [lanes[0, 0] + lanes[1, 0], 64]
        assert sorted(order) == list(range(64))
        orders.add(tuple(order))
    assert len(orders) == len(_SEEDS)  # each seed has an order of its own


def test_conversions_of_short_floats(image: cuda_shim.HostImage) -> None:
    every = np.arange(65536, dtype=np.uint16)
    wide, back = cuda_shim.call(image, "halves", 256, 256, 0, [every, ((65536,), "f4"), ((65536,), "u2")], [65536])[1:]
    number = ~np.isnan(every.view(np.float16))
    np.testing.assert_array_equal(wide, every.view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(back[number], every[number])
    assert np.isnan(back[~number].view(np.float16)).all()
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.integers(0, 1 << 32, 20000, np.uint32).view("f4"),
            rng.integers(0x32000000, 0x48000000, 20000, np.uint32).view("f4"),
            wide[number] * np.float32(1.0004882),
        ]
    )
    x = np.ascontiguousarray(x[~np.isnan(x)])
    n = len(x)
    f16, bf16 = cuda_shim.call(image, "narrow", -(-n // 256), 256, 0, [x, ((n,), "u2"), ((n,), "u2")], [n])[1:]
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(f16, x.astype(np.float16).view(np.uint16))
    np.testing.assert_array_equal(bf16, x.astype(ml_dtypes.bfloat16).view(np.uint16))


def test_powers_of_two_are_as_far_off_as_they_may_be(image: cuda_shim.HostImage) -> None:
    rng = np.random.default_rng(0)
    edges = [0.0, -0.0, 1e-40, -125.9, -126.0, -126.1, -149.0, -200.0, 128.0, np.inf, -np.inf, np.nan]
    x = np.concatenate([np.array(edges), rng.uniform(-130, 128, 1000)]).astype(np.float32)
    n = len(x)
    got = cuda_shim.call(image, "powers", -(-n // 256), 256, 0, [x, ((n,), "f4")], [n])[1]
    with np.errstate(over="ignore"):
        want = SCALARS["exp2_approx"].evaluate(x)
    tiny = np.finfo(np.float32).tiny
    least = want == tiny  # what is below is 0
    assert least.any()
    np.testing.assert_array_equal(got[least], 0)
    inner = (want != 0) & (abs(x) >= tiny) & np.isfinite(want) & ~least
    np.testing.assert_array_equal(got[~inner & ~least], want[~inner & ~least])  # small results are 0, and 2^0 is 1
    ulps = got[inner].view(np.int32) - want[inner].view(np.int32)
    assert set(ulps) == {-2, 2}


def test_roundings_are_to_ten_bits(image: cuda_shim.HostImage) -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 1 << 32, 1000, np.uint32)
    ties = whole[:100] & np.uint32(0xFFFFE000) | np.uint32(0x1000)
    x = np.concatenate([whole, ties, ties + np.uint32(1), ties - np.uint32(1)]).view(np.float32)
    x = np.concatenate([x, np.array([0.0, -0.0, 1e-40, np.inf, -np.inf, np.nan, 3.4e38], np.float32)])
    n = len(x)
    got = cuda_shim.call(image, "rounded", -(-n // 256), 256, 0, [x, ((n,), "f4")], [n])[1]
    np.testing.assert_array_equal(got, SCALARS["round_tf32_even"].evaluate(x))
    exact = np.isfinite(x) & (abs(x) > 1e-30) & (abs(x) < 1e38)
    scale = np.exp2(np.floor(np.log2(abs(x[exact].astype(np.float64)))) - 10)
    np.testing.assert_array_equal(got[exact], np.rint(x[exact] / scale) * scale)


def test_the_driver_does_what_the_protocol_says(image: cuda_shim.HostImage) -> None:
    driver = cuda_shim.HostDriver(seed=3, limit=1 << 20)
    x, y = (driver.allocate(1024, name) for name in "xy")
    assert x.address % 16 == 0
    data, got = _random(256), np.zeros(256, np.float32)
    function = image.function("scale", "PPi", 128, 0)

    def work() -> None:
        driver.launch(function, 2, [x.address, y.address, 256])
        driver.copy(x.address, y.address, 1024)

    graph = driver.capture(work)
    driver.upload(x.address, data)
    assert driver.counts["launches"] == 0
    graph.replay()
    graph.replay()
    work()
    driver.fill(x.address, 4, 0)
    driver.synchronize()
    driver.download([(got, y.address)])
    np.testing.assert_array_equal(got, 8 * data)
    assert driver.counts == {
        "allocations": 2, "captures": 1, "replays": 2, "launches": 3, "copies": 3, "uploads": 1, "uploaded": 1024,
        "fills": 1, "downloads": 1, "downloaded": 1024,
    }  # fmt: skip
    assert driver.launched == {"scale": 3}
    with pytest.raises(DeviceMemoryError, match="not enough memory for too much"):
        driver.allocate(1 << 21, "too much")


def test_wrong_launches_are_refused(image: cuda_shim.HostImage) -> None:
    driver = cuda_shim.HostDriver()
    for symbol, signature, threads, shared in (
        ("other", "PPi", 128, 0),
        ("scale", "PPq", 128, 0),
        ("scale", "PPi", 129, 0),
        ("scale", "PPi", 128, 232449),
    ):
        with pytest.raises(DeviceError):
            image.function(symbol, signature, threads, shared)
    function = image.function("scale", "PPi", 128, 0)
    for blocks, arguments in ((0, [0, 0, 0]), (1, [0, 0])):
        with pytest.raises(DeviceError, match="cannot be launched"):
            driver.launch(function, blocks, arguments)
    with pytest.raises(DeviceError, match="does not take the code"):
        driver.load(b"no library")
    with pytest.raises(RuntimeError, match="not C\\+\\+"):
        cuda_shim.build('extern "C" __global__ void __launch_bounds__(1) f(int* x) { undeclared; }')


def test_another_thread_may_launch(image: cuda_shim.HostImage) -> None:
    errors: list[float] = []

    def work() -> None:
        errors.append(_softmax().error(image, "softmax", 1))
        with pytest.raises(DeviceError, match="no access"):
            _scale().error(image, "scale_write", 1)
        errors.append(_scale().error(image, "scale", 1))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(errors) == 2
    assert max(errors) <= 1e-7
