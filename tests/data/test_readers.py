from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from test_idx import idx

from sigmagraph import data
from sigmagraph.errors import AttributeValueError, DTypeError, FileFormatError, InputError, ShapeError

IMAGES = np.arange(7 * 3 * 2, dtype="u1").reshape(7, 3, 2)


def check(records: data.Records, **expected: Any) -> None:
    """The records are these arrays, in whatever order they are read."""
    size = len(next(iter(expected.values())))
    assert len(records) == size
    assert records.sections == tuple(expected)
    for start, stop in [(size // 2, size), (0, size), (1, 2), (0, 0), (0, 1)]:
        block = records.read(start, stop)
        assert tuple(block) == tuple(expected)
        for name, array in expected.items():
            assert block[name].dtype == array.dtype
            np.testing.assert_array_equal(block[name], array[start:stop])
    for wrong in [(-1, 1), (1, 0), (0, size + 1)]:
        with pytest.raises(InputError, match="no such records"):
            records.read(*wrong)
    assert records.fingerprint() == records.fingerprint()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_idx_records_are_read_from_where_they_are(tmp_path: Path, pack: Any, dtype: str) -> None:
    (tmp_path / "a").write_bytes(pack(idx(IMAGES.astype(dtype))))
    records = data.Idx(tmp_path / "a")
    assert records.shape == (7, 3, 2)
    check(records, inputs=IMAGES.astype(dtype))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files_of_another_length_are_refused(pack: Any) -> None:
    whole = idx(IMAGES)
    for content, got in ((whole[:-1], "41"), (whole + b"\0", "more")):
        with pytest.raises(FileFormatError, match="another length") as caught:
            data.Idx(data.Memory(pack(content))).read(3, 7)
        assert caught.value.got == got
    with pytest.raises(FileFormatError, match="no axis"):
        len(data.Idx(data.Memory(b"\0\0\x08\0\1")))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bytes_are_cut_into_records(tmp_path: Path, pack: Any) -> None:
    rows = np.arange(5 * 9, dtype="u1").reshape(5, 9)
    (tmp_path / "a").write_bytes(pack(b"head" + rows.tobytes()))
    check(data.Bytes(tmp_path / "a", 4, 9, np.uint8, (2, 4)), inputs=rows[:, :8].reshape(5, 2, 4))
    fields = np.dtype([("targets", "u1"), ("inputs", ">u2", (4,))])
    big = np.ascontiguousarray(rows[:, 1:]).view(">u2").astype("u2")
    check(data.Bytes(tmp_path / "a", 4, dtype=fields), targets=rows[:, 0], inputs=big)
    with pytest.raises(FileFormatError, match="whole records"):
        len(data.Bytes(tmp_path / "a", 3, 9))
    with pytest.raises(AttributeValueError, match="no layout"):
        data.Bytes(tmp_path / "a", 0, 3, np.float32)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_npy_files(tmp_path: Path, pack: Any) -> None:
    array = np.arange(12.0).reshape(6, 2)
    (tmp_path / "a.npy").write_bytes(pack(npy(array)))
    check(data.Npy(tmp_path / "a.npy", "values"), values=array)
    for content in (
        npy(array)[:-1],
        npy(array)[:20],
        b"",
        b"PK\3\4" + npy(array),
        npy(np.array([{}], object)),
        npy(np.array(1)),
    ):
        (tmp_path / "b.npy").write_bytes(pack(content))
        with pytest.raises(FileFormatError, match=r"b\.npy"):
            len(data.Npy(tmp_path / "b.npy"))


def test_npz_files(tmp_path: Path) -> None:
    a, b = np.arange(6), np.arange(12.0).reshape(6, 2)
    np.savez_compressed(tmp_path / "a.npz", a=a, b=b, other=np.zeros(2))
    check(data.Npz(tmp_path / "a.npz", inputs="b", targets="a"), inputs=b, targets=a)
    with pytest.raises(FileFormatError, match="equally long"):
        len(data.Npz(tmp_path / "a.npz"))
    with pytest.raises(AttributeValueError, match="no such array"):
        len(data.Npz(tmp_path / "a.npz", inputs="c"))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    with pytest.raises(FileFormatError, match="damaged"):
        len(data.Npz(tmp_path / "a.npz", inputs="b"))


def test_arrays_and_joined_records() -> None:
    a, b = np.arange(6), np.arange(12.0).reshape(6, 2)
    arrays = data.Arrays(inputs=b, targets=a)
    check(arrays, inputs=b, targets=a)
    assert arrays.fingerprint() != data.Arrays(inputs=b, targets=a + 1).fingerprint()
    with pytest.raises(ValueError, match="read-only"):
        arrays.read(0, 1)["targets"][0] = 1
    joined = data.Joined(inputs=data.Arrays(x=b), more=arrays)
    check(joined, **{"inputs": b, "more.inputs": b, "more.targets": a})
    for wrong in ({}, {"a": a, "b": b[:5]}, {"a": np.array(1)}):
        with pytest.raises(ShapeError, match="does not consist"):
            data.Arrays(**wrong)
    with pytest.raises(ShapeError, match="do not fit"):
        len(data.Joined(a=data.Arrays(x=a), b=data.Arrays(x=b[:5])))


TABLE = pa.table(
    {
        "a": pa.array([1.5, 2.5, 3.5, 4.5, 5.5], pa.float64()),
        "n": pa.array([1, 2, 3, 4, 5], pa.int64()),
        "kind": pa.array(["x", "y", "x", None, "y"]),
        "code": pa.array(["p", "q", "p", "p", "q"]).dictionary_encode(),
        "flag": pa.array([True, False, True, True, False]),
        "gap": pa.array([0.5, None, float("nan"), 1.0, 2.0]),
        "list": pa.array([[1]] * 5),
    }
)


def arrow_files(folder: Path) -> list[data.Table]:
    pyarrow.parquet.write_table(TABLE, folder / "a.parquet", row_group_size=2)
    with pa.OSFile(str(folder / "a.arrow"), "wb") as file, pa.ipc.new_file(file, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=2)
    packed = data.Memory((folder / "a.parquet").read_bytes(), "a.parquet")
    return [data.Parquet(folder / "a.parquet"), data.ArrowFile(folder / "a.arrow"), data.Parquet(packed)]


def test_parquet_and_arrow_files(tmp_path: Path) -> None:
    for table in arrow_files(tmp_path):
        assert table.columns == tuple(TABLE.column_names)
        chosen = table.extract(inputs=["a", "n"], targets="code", flags="flag", numbers="n").map_values(
            "code", ["p", "q"]
        )
        check(
            chosen,
            inputs=np.float32([[1.5, 1], [2.5, 2], [3.5, 3], [4.5, 4], [5.5, 5]]),
            targets=np.int32([0, 1, 0, 0, 1]),
            flags=np.int32([1, 0, 1, 1, 0]),
            numbers=np.int32([1, 2, 3, 4, 5]),
        )
        assert chosen.read(1, 4)["numbers"].tolist() == [2, 3, 4]
        with pytest.raises(FileFormatError, match=r"record 3: a missing value in column 2 \(kind\)"):
            table.map_values("kind", ["x", "y"]).extract(y="kind").read(0, 5)
        with pytest.raises(FileFormatError, match="record 1: a missing value in column 5"):
            table.extract(y="gap").read(0, 5)
        with pytest.raises(DTypeError, match="another type"):
            table.extract(y="list").read(0, 5)
    filled = data.Parquet(tmp_path / "a.parquet", missing=-1).extract(y="gap")
    assert filled.read(0, 5)["y"].tolist() == [0.5, -1, -1, 1, 2]


@pytest.mark.parametrize("reader", [data.Parquet, data.ArrowFile])
def test_damaged_parquet_and_arrow_files_are_named(tmp_path: Path, reader: Any) -> None:
    arrow_files(tmp_path)
    whole = next(tmp_path.glob("*.parquet" if reader is data.Parquet else "*.arrow")).read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"PAR1" * 5):
        (tmp_path / "cut").write_bytes(content)
        with pytest.raises(FileFormatError, match="cut"):
            len(reader(tmp_path / "cut"))
    with pytest.raises(InputError, match="nowhere"):
        len(reader(tmp_path / "nowhere"))


def picture(value: int, size: tuple[int, int] = (4, 3), mode: str = "L", kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, value if mode != "RGB" else (value, 0, 255)).save(out, kind)
    return out.getvalue()


PICTURES = {
    "set/cat/b.png": picture(51),
    "set/cat/a.PNG": picture(0),
    "set/dog/c.bmp": picture(255, kind="BMP"),
    "set/dog/read.me": b"no image",
}


def write_pictures(folder: Path, pictures: dict[str, bytes] | None = None) -> None:
    for name, content in (PICTURES if pictures is None else pictures).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def zipped(pictures: dict[str, bytes]) -> data.Memory:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in pictures.items():
            archive.writestr(name, content)
    return data.Memory(out.getvalue(), "pictures.zip")


def test_images_of_folders_archives_and_lists(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    inputs = np.broadcast_to(np.float32([0, 51, 255])[:, None, None] / np.float32(255), (3, 3, 4))
    listed = [tmp_path / f"set/{name}" for name in ("cat/a.PNG", "cat/b.png", "dog/c.bmp")]
    for source in (tmp_path, tmp_path / "set", zipped(PICTURES), listed):
        images = data.Images(source)
        assert images.classes == ("cat", "dog")
        check(images, inputs=inputs, targets=np.int32([0, 0, 1]))
    assert data.Images(tmp_path, classes=["dog", "cat"]).read(0, 3)["targets"].tolist() == [1, 1, 0]
    with pytest.raises(FileFormatError, match="other classes"):
        data.Images(tmp_path, classes=["dog"]).read(0, 1)
    flat = data.Images(tmp_path / "set" / "cat")
    assert (flat.sections, flat.classes) == (("inputs",), ())
    sized = data.Images(tmp_path, size=(6, 5), mode="RGB").read(1, 3)["inputs"]
    assert (sized.shape, sized.dtype) == ((2, 6, 5, 3), np.float32)
    np.testing.assert_array_equal(sized[0], np.full((6, 5, 3), np.float32(51) / np.float32(255)))


def test_colours_come_in_order(tmp_path: Path) -> None:
    write_pictures(tmp_path, {"a.png": picture(51, mode="RGB"), "b.png": picture(51, mode="RGB")})
    np.testing.assert_array_equal(
        data.Images(tmp_path, mode="RGB").read(1, 2)["inputs"][0, 0, 0], np.float32([51, 0, 255]) / np.float32(255)
    )


def test_images_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    good = picture(7, (64, 64), kind="JPEG")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    for name, content, match in [
        ("cut.jpg", good[: len(good) // 2], "damaged"),
        ("cut.png", out.getvalue()[:2000], "damaged"),
        ("text.png", b"no image", "damaged"),
        ("empty.png", b"", "damaged"),
        ("deep.png", picture(7, mode="I;16"), "another kind"),
        ("other.png", picture(7, (5, 5)), "another size"),
    ]:
        images = data.Images(zipped({"0.png": picture(1), name: content}))
        with pytest.raises(FileFormatError, match=name.replace(".", r"\.") + f" (is|has|is of) {match}"):
            images.read(0, 2)
    with pytest.raises(FileFormatError, match=r"big\.png is too large"):
        data.Images(zipped({"big.png": picture(1, (40, 40))}), most_pixels=1000).read(0, 1)
    with pytest.raises(InputError, match="no images"):
        len(data.Images(tmp_path))
    with pytest.raises(InputError, match="nowhere"):
        len(data.Images(tmp_path / "nowhere"))
    with pytest.raises(AttributeValueError):
        data.Images(tmp_path, size=(0, 3))


def test_images_that_claim_to_be_huge_are_refused() -> None:
    small = picture(0)
    for size in (9_500, 60_000):  # Pillow warns of the first and refuses the second
        header = b"IHDR" + struct.pack(">II", size, size) + small[24:29]
        bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
        with pytest.raises(FileFormatError, match=r"bomb\.png is (too large|damaged)"):
            data.Images(zipped({"bomb.png": bomb})).read(0, 1)


def test_text_by_characters() -> None:
    text = data.Text(data.Memory("to be or not"), 3)
    assert "".join(text.vocabulary.symbols) == " benort"
    codes = text.vocabulary.encode("to be or not")
    check(text, inputs=codes[:9].reshape(3, 3), targets=codes[1:10].reshape(3, 3))
    assert "".join(text.vocabulary.decode(codes)) == "to be or not"
    strided = data.Text(data.Memory("abcde"), 2, stride=1)
    check(strided, inputs=np.int32([[0, 1], [1, 2], [2, 3]]), targets=np.int32([[1, 2], [2, 3], [3, 4]]))
    assert len(data.Text(data.Memory("abcd"), 3)) == 1


def test_text_by_tokens() -> None:
    source = data.Memory("a b a, c a. b b a d")
    text = data.Text(source, 4, split=r"\w+|[^\w\s]", most=3, unknown="?")
    assert text.vocabulary.symbols == ("?", "a", "b")
    check(text, inputs=np.int32([[1, 2, 1, 0], [0, 1, 0, 2]]), targets=np.int32([[2, 1, 0, 0], [1, 0, 2, 2]]))
    other = data.Text(data.Memory("b b a"), 2, split=r"\w+", vocabulary=text.vocabulary)
    assert other.read(0, 1)["inputs"].tolist() == [[2, 2]]
    assert other.fingerprint() != data.Text(data.Memory("b b a"), 2, split=r"\w+").fingerprint()


def test_texts_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(FileFormatError, match="file:2: bytes that are no text"):
        len(data.Text(data.Memory(b"good\nb\xffd\n", "file"), 2))
    for content in ("", "abc"):
        with pytest.raises(FileFormatError, match="shorter than a window"):
            len(data.Text(data.Memory(content), 3))
    with pytest.raises(InputError, match="file: symbol 2 is not in the vocabulary") as caught:
        len(data.Text(data.Memory("abc", "file"), 1, vocabulary="ab"))
    assert caught.value.got == "'c'"
    assert data.Text(data.Memory("abc"), 2, vocabulary="ab?", unknown="?").read(0, 1)["targets"].tolist() == [[1, 2]]
    for options in (
        {"length": 0},
        {"stride": 0},
        {"split": "("},
        {"split": "(a)"},
        {"encoding": "x"},
        {"vocabulary": "aa"},
    ):
        with pytest.raises(AttributeValueError):
            data.Text(data.Memory("abc"), **{"length": 1, **options})
    with pytest.raises(AttributeValueError, match="no such vocabulary"):
        len(data.Text(data.Memory("abc"), 1, most=2))
