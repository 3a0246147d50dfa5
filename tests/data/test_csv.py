from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sigmagraph import data
from sigmagraph.errors import AttributeValueError, DataWarning, DTypeError, FileFormatError, InputError

PLANTS = "length,width,kind\n5.1,3.5,setosa\n4.9,-3e0,virginica\n 7 ,+.5,setosa\n"


def csv(text: str | bytes, **options: Any) -> data.Csv:
    return data.Csv(data.Memory(text, "file.csv"), **options)


def whole(records: data.Records) -> dict[str, np.ndarray]:
    return records.read(0, len(records))


def plants(**options: Any) -> data.Table:
    table = csv(PLANTS, header=True, **options)
    return table.extract(inputs=["width", 0], targets="kind").map_values(2, ["setosa", "virginica"])


def test_columns_become_sections_and_texts_numbers() -> None:
    table = plants()
    assert table.columns == ("length", "width", "kind")
    assert table.sections == ("inputs", "targets")
    block = whole(table)
    assert block["inputs"].dtype == np.float32
    np.testing.assert_array_equal(block["inputs"], np.float32([[3.5, 5.1], [-3, 4.9], [0.5, 7]]))
    assert block["targets"].dtype == np.int32
    assert block["targets"].tolist() == [0, 1, 0]


def test_any_range_reads_the_same_in_any_order() -> None:
    table = csv("".join(f"{i},{i * i}\n" for i in range(50))).extract(inputs=[0], targets=-1)
    for start, stop in [(40, 50), (0, 3), (3, 7), (10, 12), (50, 50), (2, 30)]:
        block = table.read(start, stop)
        assert block["inputs"].tolist() == [[i] for i in range(start, stop)]
        assert block["targets"].tolist() == [i * i for i in range(start, stop)]
    for wrong in [(-1, 2), (3, 2), (0, 51)]:
        with pytest.raises(InputError, match="no such records"):
            table.read(*wrong)


def test_ranges_have_both_their_ends_and_lists_have_anything() -> None:
    table = csv("0,1,2,3,4\n")
    block = whole(table.extract(a=(1, 3), b=[0, (-2, -1)], c=2, d=[2], dtypes={"c": "int64", "d": np.float64}))
    assert {name: values.tolist() for name, values in block.items()} == {
        "a": [[1, 2, 3]],
        "b": [[0, 3, 4]],
        "c": [2],
        "d": [[2]],
    }
    assert (block["c"].dtype, block["d"].dtype) == (np.int64, np.float64)
    assert whole(table)["columns"].tolist() == [[0, 1, 2, 3, 4]]
    named = csv("a,b,c\n1,2,3\n", header=True).extract(x=("b", "c"))
    assert whole(named)["x"].tolist() == [[2, 3]]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('"a, b",x', ["a, b", "x"]),
        ('"say ""hi""",x', ['say "hi"', "x"]),
        ('"two\nlines",x', ["two\nlines", "x"]),
        ('"two\r\nlines",x\r\n\r\n', ["two\r\nlines", "x"]),
        ('"","x"', ["", "x"]),
        ("ʤ,x\n", ["ʤ", "x"]),
        ('"{""type"": ""Point"", ""at"": [1, 2]}",x', ['{"type": "Point", "at": [1, 2]}', "x"]),
        ("\ufeffa,x", ["a", "x"]),
        (" a , x ", ["a", "x"]),
    ],
)
def test_fields_are_what_their_quotes_say(text: str, fields: list[str]) -> None:
    table = csv(text).map_values(0, {fields[0]: 7}).map_values(1, {fields[1]: 0.5})
    assert whole(table)["columns"].tolist() == [[7, 0.5]]


def test_separators_and_encodings() -> None:
    table = csv("1;2\n3;4\n".encode("utf-16"), separator=";", encoding="utf-16")
    assert whole(table)["columns"].tolist() == [[1, 2], [3, 4]]
    assert whole(csv("ä\t1".encode("latin-1"), separator="\t", encoding="latin-1").map_values(0, ["ä"])) is not None
    for options in ({"separator": ";;"}, {"encoding": "nonsense"}, {"bad_rows": "drop"}, {"nothing": "NA"}):
        with pytest.raises(AttributeValueError, match="read like this"):
            csv("", **options)


def test_compressed_files_read_as_others(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(PLANTS.encode()))
    assert (
        whole(data.Csv(path, header=True).extract(x=0))["x"].tolist()
        == whole(csv(PLANTS, header=True).extract(x=0))["x"].tolist()
    )
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FileFormatError, match="damaged"):
        len(data.Csv(path))


def test_rows_of_another_width_are_errors_that_name_the_line() -> None:
    text = '1,"a\nb"\n\n2,x\n3\n4,x,5\n'
    with pytest.raises(FileFormatError, match=r"file\.csv:5: a row has another number") as caught:
        len(csv(text))
    assert (caught.value.expected, caught.value.got) == (2, 1)


def test_rows_of_another_width_are_counted_when_they_are_skipped() -> None:
    table = csv("1,2\n3\n4,5,6\n7,8\n", bad_rows="skip")
    with pytest.warns(DataWarning, match="left out: 2, the first in line 2"):
        assert len(table) == 2
    assert table.skipped_rows == 2
    assert whole(table)["columns"].tolist() == [[1, 2], [7, 8]]
    assert csv("1,2\n", bad_rows="skip").skipped_rows == 0


@pytest.mark.parametrize("nothing", ["", " ", "?", "NA", "nan"])
def test_missing_values_are_errors_or_filled(nothing: str) -> None:
    text = f"1,a\n{nothing},b\n3,{nothing}\n"
    table = csv(text).extract(x=0)
    with pytest.raises(FileFormatError, match=r"file\.csv:2: a missing value in column 0"):
        whole(table)
    filled = csv(text, missing=-1).map_values(1, ["a", "b"]).extract(x=0, y=1)
    assert {name: values.tolist() for name, values in whole(filled).items()} == {"x": [1, -1, 3], "y": [0, 1, -1]}
    values = whole(csv(text, missing=float("nan")).extract(x=0))["x"]
    assert np.isnan(values).tolist() == [False, True, False]
    assert whole(csv(text).map_values(1, ["a", "b", nothing]).extract(y=1))["y"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("text", ["1,5", "x", "0x10", "1_000", "--1", "1e999", "inf", "-nan", "1e39", "1;2"])
def test_what_is_no_finite_number_is_named(text: str) -> None:
    table = csv(f'a,b\n1,2\n3,"{text}"\n', header=True)
    with pytest.raises(FileFormatError, match=r"file\.csv:3: .*in column 1 \(b\)") as caught:
        whole(table.extract(x="b"))
    assert caught.value.got == repr(text)


def test_whole_types_hold_whole_numbers_only() -> None:
    for text in ("0.5", "3000000000"):
        with pytest.raises(FileFormatError, match="no finite int32"):
            whole(csv(text).extract(x=0, dtypes={"x": "int32"}))
    with pytest.raises(FileFormatError, match="no finite int32"):
        whole(csv("a\n?\n", missing=float("nan")).map_values(0, ["a"]).extract(x=0))
    with pytest.raises(DTypeError):
        csv("1").extract(x=0, dtypes={"x": "U3"})


def test_unknown_texts_are_named_with_line_and_column() -> None:
    table = csv(PLANTS, header=True).map_values("kind", ["setosa"]).extract(y="kind")
    with pytest.raises(FileFormatError, match=r"file\.csv:3: an unknown value in column 2 \(kind\)") as caught:
        whole(table)
    assert (caught.value.expected, caught.value.got) == ("setosa", "'virginica'")


def test_meanings_may_be_any_numbers() -> None:
    table = csv("a\nb\n").map_values(0, {"a": 0.25, "b": -1}).extract(y=0)
    assert whole(table)["y"].tolist() == [0.25, -1]
    for wrong in ("MB", ["a", "a"], [], {"a": float("inf")}, [1, 2]):
        with pytest.raises(AttributeValueError, match="no meanings"):
            csv("a").map_values(0, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("column", [3, -4, "nowhere", "length ", True])
def test_columns_that_are_not_there_are_refused(column: object) -> None:
    with pytest.raises(AttributeValueError, match="no such column"):
        whole(csv(PLANTS, header=True).extract(x=column))  # type: ignore[arg-type]
    with pytest.raises(AttributeValueError, match="no such column"):
        whole(csv("a,a\n1,2\n", header=True).extract(x="a"))


@pytest.mark.parametrize("content", [b"1,\xff\n", b"1,2\n3,\xc3\n"])
def test_bytes_that_are_no_text_are_named(content: bytes) -> None:
    line = content.count(b"\n")
    with pytest.raises(FileFormatError, match=rf"file\.csv:{line}: bytes that are no text"):
        len(csv(content))


def test_wrong_quotes_are_named() -> None:
    for text, line in (('1,2\n"3" 4,5\n', 2), ('1,2\n3,"4\n5,6\n', 2)):
        with pytest.raises(FileFormatError, match=rf"file\.csv:{line}: a row is wrong"):
            len(csv(text))


def test_empty_files_are_refused_and_files_of_names_have_no_records() -> None:
    for text in ("", "\n\n"):
        with pytest.raises(FileFormatError, match="no rows"):
            len(csv(text))
    table = csv("a,b\n", header=True)
    assert len(table) == 0
    assert whole(table)["columns"].shape == (0, 2)


def test_fingerprints_know_all_options() -> None:
    tables = [
        csv(PLANTS),
        csv(PLANTS, header=True),
        csv(PLANTS + "\n", header=True),
        csv(PLANTS, header=True, missing=0),
        plants(),
        plants().map_values(2, ["virginica", "setosa"]),
        csv(PLANTS, header=True).extract(inputs=["width", 0], targets="kind", dtypes={"inputs": "float64"}),
    ]
    prints = [table.fingerprint() for table in tables]
    assert len(set(prints)) == len(prints)
    assert plants().fingerprint() == plants().fingerprint()
