"""Tokens, sizes and the shared pieces of both textual forms."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from random_kernels import draw_size

from sigmagraph.dims import Dim, Size, floordiv, maximum, minimum
from sigmagraph.dtypes import DType
from sigmagraph.errors import ParseError
from sigmagraph.ir.text.lexer import TokenStream
from sigmagraph.ir.text.writer import location, number, string, typed
from sigmagraph.location import UNKNOWN, Location

N, V = Dim("n"), Dim("%v.1")


@st.composite
def sizes(draw: st.DrawFn) -> Size:
    return draw_size(draw, ["n", "m_2", "%i", "%v.1"], 3)


def test_tokens() -> None:
    tokens = TokenStream('%a#1 = x.y(1.5e-3, "q\\"\\n") -> @f/2 // # the rest\n{', "file")
    found = []
    while tokens.next.kind != "end":
        token = tokens.take()
        found.append((token.kind, token.text))
    assert found == [
        ("value", "%a#1"), ("punct", "="), ("name", "x.y"), ("punct", "("), ("number", "1.5e-3"), ("punct", ","),
        ("string", '"q\\"\\n"'), ("punct", ")"), ("punct", "->"), ("symbol", "@f/2"), ("punct", "//"), ("punct", "{"),
    ]  # fmt: skip
    assert tokens.take().kind == "end"
    assert tokens.take().kind == "end"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("3", 3),
        ("-n", -N),
        ("2*n-3", 2 * N - 3),
        ("n*(n+1)", N * N + N),
        ("(n+7)//8*8", floordiv(N + 7, 8) * 8),
        ("min(n, %v.1, 4)", minimum(N, V, 4)),
        ("max(0, n-%v.1)", maximum(0, N - V)),
        ("17//5", 3),
        ("n-n", 0),
    ],
)
def test_sizes(text: str, size: Size) -> None:
    assert TokenStream(text).size() == size


@given(sizes())
def test_sizes_are_printed_losslessly(size: Size) -> None:
    tokens = TokenStream(str(size))
    assert tokens.size() == size
    assert tokens.next.kind == "end"


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "a size"),
        ("n+", 3, "a size"),
        ("(n", 3, "')'"),
        ("min(n", 6, "')'"),
        ("n//0", 2, "at least 1"),
        ("%0", 1, "an identifier"),
        ("1.5", 1, "an integer"),
        ("9" * 5000, 1, "an integer of at most 4000 digits"),
    ],
)
def test_wrong_sizes(text: str, column: int, expected: str) -> None:
    with pytest.raises(ParseError) as caught:
        TokenStream(text, "f").size()
    assert (caught.value.line, caught.value.column) == (1, column)
    assert expected in str(caught.value)


def test_an_error_shows_its_line_with_a_caret() -> None:
    tokens = TokenStream("one\n\ttwo three", "some.sg")
    tokens.take()
    tokens.take()
    assert str(tokens.error("not this", expected="that")) == (
        "some.sg:2:6: not this\n  \ttwo three\n  \t    ^\n  expected: that\n  got: 'three'"
    )


def test_a_character_that_belongs_nowhere() -> None:
    with pytest.raises(ParseError, match=r"f:2:3: this character does not belong here"):
        TokenStream("a\nb ?", "f")


@pytest.mark.parametrize("text", ["", "sigma 1", "sigmagraph", "sigmagraph 2", "sigmagraph x"])
def test_wrong_headers(text: str) -> None:
    with pytest.raises(ParseError):
        TokenStream(text).header()


def test_shapes_and_types() -> None:
    tokens = TokenStream("f32[n, 4] bf16[] f31")
    assert (tokens.dtype(), tokens.sizes("[", "]")) == (DType.F32, (N, 4))
    assert (tokens.dtype(), tokens.sizes("[", "]")) == (DType.BF16, ())
    with pytest.raises(ParseError, match="not an element type"):
        tokens.dtype()


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Location("a b.py", 3), 'loc("a b.py":3)'),
        (Location("a.py", 3, 'x"y', True), 'loc("a.py":3 "x\\"y" grad)'),
        (Location(scope="net/fc"), 'loc(scope "net/fc")'),
        (Location(gradient=True), "loc(grad)"),
    ],
)
def test_locations(place: Location, text: str) -> None:
    assert location(place) == text
    assert TokenStream(text).location() == place


def test_an_unknown_place_is_not_written() -> None:
    assert location(UNKNOWN) == ""
    assert TokenStream("loc()").location() == UNKNOWN


@given(st.text())
def test_strings_are_lossless(text: str) -> None:
    text = text.replace("\x00", "")
    written = string(text)
    if "\n" not in written:
        assert TokenStream(written).string() == text


@given(st.floats(allow_nan=False))
def test_numbers_are_lossless(value: float) -> None:
    assert float(number(value)) == value
    assert float(typed(value, DType.F64).partition(":")[0]) == value


def digits(number: str) -> str:
    """The digits of a number without zeros in front and behind."""
    return number.partition("e")[0].replace("-", "").replace(".", "").strip("0")


@given(st.floats(width=32, allow_nan=False))
@example(999999995904.0)  # 1e12 in f32: few digits, but the longer text
def test_single_precision_numbers_are_short_and_lossless(value: float) -> None:
    text = typed(value, DType.F32).partition(":")[0]
    assert DType.F32.numpy.type(float(text)) == value
    assert len(digits(text)) <= len(digits(number(value)))
