from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from sigmagraph.data.datasets import mnist
from sigmagraph.data.readers.idx import read_idx
from sigmagraph.errors import FileFormatError, InputError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array: np.ndarray) -> bytes:
    """The array as an IDX file."""
    big = array.astype(array.dtype.newbyteorder(">"))
    code = CODES[array.dtype.str[1:]]
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + big.tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_element_type_reads_back(tmp_path: Path, dtype: str, pack: type[bytes]) -> None:
    array = np.arange(2 * 3 * 5).reshape(2, 3, 5).astype(dtype)
    read = read_idx(write(tmp_path / "a", pack(idx(array))))
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


def test_an_empty_array_reads_back(tmp_path: Path) -> None:
    assert read_idx(write(tmp_path / "a", idx(np.zeros((0, 28), "u1")))).shape == (0, 28)


WHOLE = idx(np.arange(60, dtype="u1").reshape(3, 4, 5))


@pytest.mark.parametrize(
    ("content", "message", "expected", "got"),
    [
        (b"", "no IDX file", "00 00", ""),
        (b"PK\3\4" + WHOLE, "no IDX file", "00 00", "50 4b 03 04"),
        (b"\0\0\x0a\1" + WHOLE[4:], "no IDX file", "00 00", "00 00 0a 01"),
        (WHOLE[:9], "another length", "16 bytes of header", "9"),
        (WHOLE[:-7], "another length", "60 bytes", "53"),
        (WHOLE + b"\0", "another length", "60 bytes", "more"),
        (b"\0\0\x08\3" + b"\xff" * 12, "another length", f"{(2**32 - 1) ** 3} bytes", "0"),
    ],
    ids=["empty", "zip", "type", "header", "truncated", "longer", "lying header"],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_damage_is_named(
    tmp_path: Path, content: bytes, message: str, expected: str, got: str, pack: type[bytes]
) -> None:
    path = write(tmp_path / "train-images", pack(content))
    with pytest.raises(FileFormatError, match=message) as caught:
        read_idx(path)
    assert str(path) in caught.value.message
    assert expected in caught.value.expected
    assert caught.value.got == got


@pytest.mark.parametrize("keep", [12, 25, -4])
def test_truncated_gzip_is_damaged(tmp_path: Path, keep: int) -> None:
    with pytest.raises(FileFormatError, match="damaged"):
        read_idx(write(tmp_path / "a.gz", gzip.compress(WHOLE)[:keep]))


def test_garbage_in_gzip_is_damaged(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(WHOLE))
    packed[12:20] = b"\xff" * 8
    with pytest.raises(FileFormatError, match="damaged"):
        read_idx(write(tmp_path / "a.gz", bytes(packed)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        read_idx(tmp_path)


def mnist_files(records: int = 6) -> dict[str, bytes]:
    images = np.arange(records * 20, dtype="u1").reshape(records, 4, 5)
    labels = (np.arange(records) % 10).astype("u1")
    return {
        "train-images-idx3-ubyte": idx(images),
        "train-labels-idx1-ubyte": idx(labels),
        "t10k-images-idx3-ubyte": idx(images[:2]),
        "t10k-labels-idx1-ubyte": idx(labels[:2]),
    }


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_reads_its_four_files(tmp_path: Path, packed: bool) -> None:
    for name, content in mnist_files().items():
        write(tmp_path / (name + ".gz" * packed), gzip.compress(content) if packed else content)
    train, test = mnist(tmp_path)
    assert train.inputs.shape == (6, 4, 5)
    assert train.inputs.dtype == np.float32
    assert train.inputs[5, 3, 4] == np.float32(119 / 255)
    assert train.targets.tolist() == [0, 1, 2, 3, 4, 5]
    assert (len(test), test.targets.dtype) == (2, np.int32)


def test_mnist_names_the_file_that_is_missing(tmp_path: Path) -> None:
    for name, content in list(mnist_files().items())[:3]:
        write(tmp_path / name, content)
    with pytest.raises(InputError) as caught:
        mnist(tmp_path)
    assert caught.value.expected == "t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz"


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(7, "u1"), "do not fit together"),
        ("train-labels-idx1-ubyte", np.zeros((6, 1), "u1"), "something else"),
        ("train-images-idx3-ubyte", np.zeros((6, 4, 5), "f4"), "something else"),
        ("t10k-images-idx3-ubyte", np.zeros((2, 5, 5), "u1"), "differ in size"),
    ],
)
def test_mnist_refuses_files_that_do_not_fit(tmp_path: Path, name: str, array: np.ndarray, message: str) -> None:
    for file, content in mnist_files().items():
        write(tmp_path / file, idx(array) if file == name else content)
    with pytest.raises(FileFormatError, match=message):
        mnist(tmp_path)
