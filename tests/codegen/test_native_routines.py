"""Routines in the subset of Python: they compute the same in Python and as native code, and nothing else is taken."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sigmagraph.codegen.cuda.library.routines import routines_in_c
from sigmagraph.codegen.llvm.archive import pack
from sigmagraph.codegen.llvm.compile import Loaded, compile_module, processor
from sigmagraph.codegen.llvm.generation import module_text
from sigmagraph.codegen.llvm.native.memory import F64, I64, Pointer, Ptr, load_i64, load_u8, stack, store_i64
from sigmagraph.codegen.llvm.native.selftest import NUMBERS, SELFTEST_ROUTINES, differs, fill, filled, half_bits, moved
from sigmagraph.codegen.llvm.native.state_file import STATE_ROUTINES, state_read, state_table, state_write
from sigmagraph.codegen.llvm.native.threads import quota
from sigmagraph.codegen.llvm.native.translate import routines_text
from sigmagraph.dtypes import DType
from sigmagraph.errors import CompileError
from sigmagraph.ir.interface import Interface, Status, Stored
from sigmagraph.options import Target

_C = {"I64": ctypes.c_int64, "I32": ctypes.c_int32, "F64": ctypes.c_double, "Ptr": ctypes.c_void_p, "None": None}


class InC:
    """Routines as C that the machine's compiler has compiled."""

    def __init__(self, *routines: Callable[..., Any]) -> None:
        text = re.sub(r"^static ", "", routines_in_c(routines), flags=re.MULTILINE)
        command = ["gcc", "-std=c99", "-O1", "-ffp-contract=off", "-w", "-shared", "-fPIC", "-x", "c", "-", "-o"]
        with tempfile.TemporaryDirectory() as folder:
            library = f"{folder}/routines.so"
            source = f"#include <stdint.h>\n#include <string.h>\n{text}"
            subprocess.run([*command, library], input=source, text=True, check=True)
            self._library = ctypes.CDLL(library)

    def address(self, name: str) -> int:
        found = ctypes.cast(self._library[f"rt_{name}"], ctypes.c_void_p).value
        assert found is not None
        return found


class Native:
    """Routines as native code, called like in Python with NumPy arrays for pointers.

    Where there is a C compiler, they are called as C, too, and have to do the same.
    """

    def __init__(self, *routines: Callable[..., Any]) -> None:
        self._in_c = InC(*routines) if shutil.which("gcc") else None
        here = processor(Target())
        text = module_text(routines_text(routines).replace("define internal", "define"), {}, here.attributes)
        names = tuple(r.__name__ for r in routines)
        self._code = Loaded(pack([compile_module(text, here).object]), names, here, "routines")
        self._types = {r.__name__: r.__annotations__ for r in routines}

    def __call__(self, routine: Callable[..., Any], *arguments: Any) -> Any:
        types = self._types[routine.__name__]
        *takes, gives = (_C[types[name]] for name in types)
        kind = ctypes.CFUNCTYPE(gives, *takes)
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        result = kind(self._code.address(routine.__name__))(*map(_passed, arguments))
        if self._in_c is not None:
            assert kind(self._in_c.address(routine.__name__))(*map(_passed, copies)) == result
            for ours, theirs in zip(copies, arguments, strict=True):
                assert not isinstance(ours, np.ndarray) or ours.tobytes() == theirs.tobytes()
        return result


def _passed(argument: Any) -> Any:
    return argument.ctypes.data if isinstance(argument, np.ndarray) else argument


@pytest.fixture(scope="module")
def native() -> Native:
    return Native(*STATE_ROUTINES, *SELFTEST_ROUTINES, quota)


# ---- the subset


def collatz(n: I64) -> I64:
    steps = 0
    while True:
        if n == 1 or steps > 1000:
            break
        if n % 2 == 0:
            n = n // 2
            steps += 1
            continue
        n = 3 * n + 1
        steps += 1
    return steps


def classify(text: Ptr, size: I64) -> I64:
    at = 0
    words = stack(2)
    store_i64(words, 8, 7)
    found = 0
    while at < size and not load_u8(text, at) == 0:  # noqa: SIM201
        if 0x30 <= load_u8(text, at) <= 0x39 or load_u8(text, at) == 0x2E:
            found = found + (1 if at > 2 else 2)
        at += 1
    return found - (size << 2 | 1)


def half(x: F64) -> F64:
    return -x * 0.5 if x < 0.0 else x * 0.5 + 0.0


def test_control_flow_is_that_of_python() -> None:
    native = Native(collatz, classify, half)
    for n in (1, 2, 27, 97):
        assert native(collatz, n) == collatz(n)
    for text in (b"", b"12.x9\0 5", b"abc", b"9" * 20):
        array = np.frombuffer(text + b"\1", np.uint8).copy()
        assert native(classify, array, len(text)) == classify(Pointer(bytearray(text)), len(text))
    for x in (-3.0, 0.0, 2.5):
        assert native(half, x) == half(x)


def for_loop(n: I64) -> I64:
    for _ in range(3):
        n += 1
    return n


def unknown(n: I64) -> I64:
    return n + lowercase  # type: ignore[name-defined]  # noqa: F821


def mixed_types(n: I64, x: F64) -> F64:
    return n + x


def retyped(n: I64) -> I64:
    a = 1.5
    a = n  # type: ignore[assignment]
    return a  # type: ignore[return-value]  # noqa: RET504


def endless_result(n: I64) -> I64:  # noqa: RET503
    if n == 1:
        return n


def truthy(n: I64) -> I64:
    if n:
        return 1
    return 0


def bad_type(n: int) -> I64:
    return n


@pytest.mark.parametrize(
    "routine", [for_loop, unknown, mixed_types, retyped, endless_result, truthy, bad_type], ids=lambda r: r.__name__
)
def test_what_is_not_in_the_subset_is_refused_with_its_line(routine: Callable[..., Any]) -> None:
    for translate in (routines_text, routines_in_c):
        with pytest.raises(CompileError, match=rf"test_native_routines\.py:\d+, in {routine.__name__}"):
            translate((routine,))


def counted(p: Ptr) -> I64:
    store_i64(p, 0, load_i64(p, 0) + 1)
    return load_i64(p, 0)


def which_is_first(p: Ptr) -> I64:
    return counted(p) - 2 * counted(p)


def between(p: Ptr) -> I64:
    if 0 < counted(p) < 3:
        return 1
    return 0


@pytest.mark.parametrize("routine", [which_is_first, between], ids=lambda r: r.__name__)
def test_what_c_may_do_in_another_order_is_refused(routine: Callable[..., Any]) -> None:
    assert routines_text((routine, counted))
    with pytest.raises(CompileError, match=rf"in {routine.__name__}"):
        routines_in_c((routine, counted))


# ---- state files


def interface(
    stored: dict[str, np.ndarray[Any, Any]], ignored: tuple[str, ...] = ("skip/",)
) -> tuple[Interface, bytes]:
    """An artifact that holds these values, and the beginning of its files."""
    image = save(stored, {"about": 'a "quoted" text'})
    begin = 8 + int.from_bytes(image[:8], "little")
    names = [name for name in json.loads(image[8:begin]) if name != "__metadata__"]
    places, at = [], 0
    for name in names:
        array = stored[name]
        places.append(Stored(name, DType(_TYPES[array.dtype.str[1:]]), array.shape, at))
        at += -(-array.nbytes // 64) * 64
    return Interface("m", "0", "t", ("x",), 1, (), tuple(places), at, False, "", ignored), image[:begin]


_TYPES = {"f4": "f32", "f8": "f64", "i8": "i64", "i4": "i32", "u1": "u8"}
VALUES = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    'odd "name" ü': np.arange(3, dtype=np.int64),
    "scalar": np.array(7, np.int64),
    "empty": np.zeros((0, 4), np.float32),
    "bytes": np.arange(5, dtype=np.uint8),
    "d": np.arange(4, dtype=np.float64) / 3,
}


class State:
    """A state in memory that state files are read to and written from, by native code and by Python."""

    def __init__(self, native: Native) -> None:
        self.native = native
        self.interface, self.head = interface(VALUES)
        words, text = state_table(self.interface, self.head)
        self.table = np.array(words, np.int64)
        self.text = np.frombuffer(text, np.uint8).copy()

    def read(self, image: bytes) -> tuple[int, bytes]:
        """The status and the values; native code and Python agree on both."""
        size = self.interface.state_bytes
        values = np.full(size, 0xEE, np.uint8)
        array = np.frombuffer(image + b"\0", np.uint8).copy()
        status = self.native(state_read, array, len(image), self.table, self.text, values)
        memory = bytearray(b"\xee" * size)
        pointers = Pointer(bytearray(self.table.tobytes())), Pointer(bytearray(self.text.tobytes()))
        assert state_read(Pointer(bytearray(image)), len(image), *pointers, Pointer(memory)) == status
        assert bytes(memory) == values.tobytes()
        return status, values.tobytes()

    def write(self, values: bytes, size: int) -> tuple[int, bytes]:
        out = np.zeros(size + 1, np.uint8)
        array = np.frombuffer(values, np.uint8).copy()
        return self.native(state_write, self.table, self.text, array, out, size), out.tobytes()[:size]


@pytest.fixture(scope="module")
def state(native: Native) -> State:
    return State(native)


def test_a_state_file_is_what_safetensors_writes_and_reads(state: State) -> None:
    image = save(VALUES, {"about": 'a "quoted" text'})
    status, values = state.read(image)
    assert status == Status.OK
    for stored in state.interface.stored:
        assert values[stored.offset : stored.offset + stored.bytes] == VALUES[stored.name].tobytes()
    assert state.write(values, len(image)) == (Status.OK, image)
    assert state.write(values, len(image) - 1)[0] == Status.SIZE


def test_ignored_arrays_are_skipped_and_others_refused(state: State) -> None:
    assert state.read(save(VALUES | {"skip/more": np.ones(3, np.float32)}))[0] == Status.OK
    status, values = state.read(save(VALUES | {"more": np.ones(3, np.float32)}))
    assert status == Status.MODEL
    assert set(values) == {0xEE}
    assert state.read(save({k: v for k, v in VALUES.items() if k != "w"}))[0] == Status.MODEL
    assert state.read(save(VALUES | {"w": VALUES["w"].reshape(3, 2)}))[0] == Status.MODEL
    assert state.read(save(VALUES | {"w": VALUES["w"].astype(np.int32)}))[0] == Status.MODEL
    assert state.read(save(VALUES | {"d": np.arange(5, dtype=np.float64)}))[0] == Status.MODEL


def image_of(header: str, data: bytes) -> bytes:
    text = header.encode()
    return struct.pack("<Q", len(text)) + text + data


def whole(header: str) -> str:
    """The header of a whole file with another text in place of ``w``'s entry."""
    image = save(VALUES)
    begin = 8 + int.from_bytes(image[:8], "little")
    entries = json.loads(image[8:begin])
    entries["w"] = "@"
    return json.dumps(entries, ensure_ascii=False).replace('"@"', header)


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        ('{"shape" : [ 2 ,\n3 ] ,"data_offsets":[64, 88],\t"dtype":"F32"}', Status.OK),
        ('{"dtype":"F32","shape":[2,3],"data_offsets":[64,88],"more":1}', Status.FILE),
        ('{"dtype":"F32","shape":[2,3],"data_offsets":[64,88],"dtype":"F32"}', Status.FILE),
        ('{"dtype":"F32","shape":[2,3]}', Status.FILE),
        ('{"dtype":"F32","shape":[2,03],"data_offsets":[64,88]}', Status.FILE),
        ('{"dtype":"F32","shape":[2,-3],"data_offsets":[64,88]}', Status.FILE),
        ('{"dtype":"F32","shape":[2,3e0],"data_offsets":[64,88]}', Status.FILE),
        ('{"dtype":"F32","shape":[2,3,],"data_offsets":[64,88]}', Status.FILE),
        ('{"dtype":"F32","shape":[2,3],"data_offsets":[64,9999999999999999999]}', Status.FILE),
        ('{"dtype":"F32","shape":[2,3],"data_offsets":[60,84]}', Status.FILE),
        ('{"dtype":"F32","shape":[2,3],"data_offsets":[88,64]}', Status.FILE),
        ('{"dtype":"F32","shape":[2,3],"data_offsets":[64,88,90]}', Status.FILE),
        ('{"dtype":"F32","shape":[2,3],"data_offsets":[64]}', Status.FILE),
        ('{"dtype":"F16","shape":[2,3],"data_offsets":[64,88]}', Status.MODEL),
        ('{"dtype":"F32","shape":[],"data_offsets":[64,88]}', Status.MODEL),
        ("{}", Status.FILE),
        ("[]", Status.FILE),
        ("{", Status.FILE),
        ("[[[[[[[[[[", Status.FILE),
    ],
)
def test_an_entry_is_read_strictly(state: State, entry: str, status: Status) -> None:
    image = save(VALUES)
    begin = 8 + int.from_bytes(image[:8], "little")
    assert json.loads(image[8:begin])["w"]["data_offsets"] == [64, 88]
    got, values = state.read(image_of(whole(entry), image[begin:]))
    assert got == status
    assert (set(values) == {0xEE}) == (status != Status.OK)


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"\0" * 7,
        b"\0" * 8,
        b"\xff" * 16,
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 1 << 63) + b"{}",
        image_of('{"__metadata__":{"a":1}}', b""),
        image_of('{"__metadata__":{"a":"\\q"}}', b""),
        image_of('{"__metadata__":{"a":"\\u12g4"}}', b""),
        image_of('{"__metadata__":{},"__metadata__":{}}', b""),
    ],
)
def test_what_is_no_state_file_is_refused(state: State, image: bytes) -> None:
    assert state.read(image)[0] in (Status.FILE, Status.MODEL)


def test_a_name_that_stands_twice_is_refused(state: State) -> None:
    image = save(VALUES)
    begin = 8 + int.from_bytes(image[:8], "little")
    text = image[8:begin].decode().replace('"scalar"', '"odd \\"name\\" ü"')
    assert state.read(image_of(text, image[begin:]))[0] == Status.MODEL


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_damage_is_taken_for_a_state(state: State, data: st.DataObject) -> None:
    """Where the format's library refuses a file, so do we; Python's meaning finds every read outside of it."""
    image = bytearray(save(VALUES))
    begin = 8 + int.from_bytes(image[:8], "little")
    if data.draw(st.booleans()):
        del image[data.draw(st.integers(0, len(image) - 1)) :]
    else:
        image[data.draw(st.integers(0, begin - 1))] = data.draw(st.integers(0, 255))
    status, values = state.read(bytes(image))
    if status == Status.OK:
        read = load(bytes(image))
        for stored in state.interface.stored:
            assert values[stored.offset : stored.offset + stored.bytes] == read[stored.name].tobytes()
    else:
        assert set(values) == {0xEE}
        try:
            load(bytes(image))
        except (SafetensorError, ValueError):
            return
        assert status in (Status.MODEL, Status.FILE)  # stricter than the library, or of another model


# ---- self-tests


@pytest.mark.parametrize("dtype", list(DType), ids=str)
def test_numbers_are_made_up_alike(native: Native, dtype: DType) -> None:
    bounds = (0.0, 2.0) if dtype is DType.BOOL else (3.0, 100.0) if not dtype.is_float else (-2.5, 1e-3)
    expected = filled((33,), dtype, 12345, *bounds)
    out = np.zeros(33 * dtype.itemsize, np.uint8)
    native(fill, out, 33, NUMBERS[dtype], 12345, *bounds)
    assert out.tobytes() == expected.tobytes()
    assert len(set(expected.astype(np.float64).tolist())) > 1
    wanted = expected.astype(np.float64)
    assert native(differs, out, wanted, 1, 33, NUMBERS[dtype], 1e-9) == 0
    assert native(differs, out, wanted * 1.5 + 1, 1, 33, NUMBERS[dtype], 1e-3) == 1


def test_every_half_is_rounded_as_by_numpy(native: Native) -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    between = (halves[:-1] + halves[1:]) / 2
    some = np.concatenate([halves[::37], between[::41], between[::43] * (1 + 2**-20), -between[:2000:7]])
    for value in some:
        assert native(half_bits, value) == int(np.float32(value).astype(np.float16).view(np.uint16)), value


def test_changes_are_compared_with_changes(native: Native) -> None:
    old = np.linspace(1, 2, 20).astype(np.float32)
    new = old + np.float32(1e-3)
    kind = NUMBERS[DType.F32]
    assert native(moved, old, new, new.astype(np.float64), 1, 20, kind, 1e-2, 2.0**-24) == 0
    assert native(moved, old, old, new.astype(np.float64), 1, 20, kind, 1e-2, 2.0**-24) == 1
    assert native(differs, old, new.astype(np.float64), 1, 20, kind, 1e-3) == 0  # which would have missed it
    nan = old.copy()
    nan[4] = np.nan
    assert native(differs, nan, old.astype(np.float64), 1, 20, kind, 1e-3) == 1
    assert native(differs, nan, nan.astype(np.float64), 1, 20, kind, 1e-3) == 0
    assert native(moved, old, nan, new.astype(np.float64), 1, 20, kind, 1e-2, 2.0**-24) == 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("max 100000\n", 0),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("50000 100000", 1),
        ("", 0),
        ("7", 0),
        ("x 1", 0),
    ],
)
def test_the_quota_of_a_control_group_is_rounded_up(native: Native, text: str, count: int) -> None:
    array = np.frombuffer(text.encode() + b"\0", np.uint8).copy()
    assert native(quota, array, len(text)) == count
