"""Wrong kernel texts: the error says file, line, column and what was expected."""

from __future__ import annotations

import pytest

from sigmagraph.errors import ParseError
from sigmagraph.ir.kernel.parser import parse_kernel, parse_kernels

HEAD = "sigmagraph 1\nkernel @k stage(loops) dims(n) params(%x: in f32[n], %y: out f32[n])"


def broken(text: str) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse_kernel(text, "k.sgk")
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, 1, "the version header is missing"),
        ("kernel @k", 1, 1, "'sigmagraph 1'"),
        ("sigmagraph 2\nkernel", 1, 12, "this version"),
        ("sigmagraph 1", 1, 13, "'kernel'"),
        ("sigmagraph 1\nkernel k", 2, 8, "@name"),
        ("sigmagraph 1\nkernel @k stage(fast)", 2, 17, "one of loops, scheduled, legal"),
        ("sigmagraph 1\nkernel @k stage(loops) dims(%n)", 2, 29, "the name of a dim"),
        ("sigmagraph 1\nkernel @k stage(loops) dims(n m)", 2, 31, "','"),
        ("sigmagraph 1\nkernel @k stage(loops) {", 2, 24, "'params'"),
        ("sigmagraph 1\nkernel @k stage(loops) params(x)", 2, 31, "%name"),
        ("sigmagraph 1\nkernel @k stage(loops) params(%0: f32[])", 2, 31, "not the name of something local"),
        ("sigmagraph 1\nkernel @k stage(loops) params(%x: f31[])", 2, 35, "one of f16, bf16, f32"),
        ("sigmagraph 1\nkernel @k stage(loops) params(%x: in f32)", 2, 41, "'['"),
        ('sigmagraph 1\nkernel @k stage(loops) params() loc("a.py")', 2, 43, "':'"),
        ("sigmagraph 1\nkernel @k stage(loops) params() { } kernel @k", 2, 44, "may not be called so"),
        ("sigmagraph 1\nkernel @k stage(loops) params() {", 2, 34, "for, let, if"),
        ("sigmagraph 1\nkernel @k stage(loops) params() { } rest", 2, 37, "'kernel'"),
        ("sigmagraph 1 ?", 1, 14, "does not belong here"),
    ],
)
def test_headers(text: str, line: int, column: int, says: str) -> None:
    error = broken(text)
    assert (error.file, error.line, error.column) == ("k.sgk", line, column), str(error)
    assert says in str(error)


@pytest.mark.parametrize(
    ("body", "at", "says"),
    [
        ("while", "while", "for, let, if"),
        ("for i in n { }", "i", "loop variable"),
        ("for %i n { }", "n", "'in'"),
        ("for %i in { }", "{", "a size"),
        ("for %i in n fast { }", "fast", "one of serial, unrolled, vectorized"),
        ("for %i in n { ", "", "the end of the text"),
        ("for %i in n//0 { }", "//", "at least 1"),
        ("for %i in n+ { }", "{", "a size"),
        ("let %t = 1.0:f32", "=", "':'"),
        ("let %t: f32 1.0:f32", "1.0", "'='"),
        ("let %t: f64 = 1.0:f32", "f64", "f32"),
        ("let %t: f32 = %z", "%z", "%x, %y"),
        ("let %t: i64 = %i", "%i", "no buffer or let of this name"),
        ("let %t: f32 = %x", "}", "'['"),
        ("let %t: f32 = %x[0", "}", "','"),
        ("let %t: f32 = %x[0] when", "}", "'('"),
        ("let %t: f32 = frob(%x[0])", "frob", "there is no such operation"),
        ("let %t: f32 = add(%x[0])", "add", "2 operands"),
        ("let %t: f32 = add(%x[0], 1:i32)", "add", "does not take these operands"),
        ("let %t: f32 = @k", "@k", "a value"),
        ("let %t: f32 = 1.0", "}", "':'"),
        ("let %t: i32 = 1.5:i32", "1.5", "no such value"),
        ("let %t: u8 = 256:u8", "256", "no such value"),
        ("let %t: u8 = -1:u8", "-", "no such value"),
        ("let %t: f32 = 1e60:f32", "1e60", "no such value"),
        ("let %t: i32 = inf:i32", "inf", "no such value"),
        (f"let %t: i64 = {'9' * 5000}:i64", "9", "no such value"),
        (f"let %t: i64 = {'9' * 19}:i64", "9", "no such value"),
        (f"let %t: f32 = {'9' * 5000}.0:f32", "9", "inf:f32 for infinity"),
        (f"for %i in {'9' * 5000} {{ }}", "9", "an integer of at most 4000 digits"),
        (f"let %t: f32 = {'abs(' * 3000}", "abs", "nested too deeply"),
        (f"let %t: i64 = index{'(' * 3000}", "(", "nested too deeply"),
        ("let %t: bool = 1:bool", "1", "true:bool"),
        ("let %t: i32 = true:i32", "true", "true:bool"),
        ("let %t: bool = -true:bool", "-", "true:bool"),
        ("let %t: f32 = -%x[0]", "%x", "a number"),
        ("let %t: f32 = cast(%x[0], f31)", "f31", "one of f16"),
        ("let %t: f32 = cast(%x[0])", ")", "','"),
        ("let %t: i64 = index()", ")", "a size"),
        ("%z[0] = 1.0:f32", "%z", "no buffer of this name"),
        ("%x[0] 1.0:f32", "1.0", "'='"),
        ("%x[0] = 1.0:f32 when(n)", "when", "for, let, if"),
        ("alloc x: f32[4]", "x", "%name"),
        ("alloc %t: f32[4] far", "far", "for, let, if"),
        ("call @other() ()", "@other", "none is known here"),
        ("call @k(n) ()", "@k", "no kernel of this name stands before"),
        ("if n { }", "n", "'('"),
        ("if (n) { } else barrier", "barrier", "'{'"),
        ("barrier barrier2", "barrier2", "for, let, if"),
    ],
)
def test_bodies(body: str, at: str, says: str) -> None:
    text = f"{HEAD} {{\n  {body}\n}}"
    if body.endswith("{ "):
        text = f"{HEAD} {{\n  {body}"
    error = broken(text)
    rest = text.splitlines()[error.line - 1][error.column - 1 :]
    assert rest.startswith(at), str(error)
    assert says in str(error), str(error)


def test_the_caret_stands_under_the_mistake() -> None:
    assert str(broken(HEAD + " {\n  %x[n] = oops(1)\n}")) == (
        "k.sgk:3:11: there is no such operation\n"
        "    %x[n] = oops(1)\n"
        "            ^\n"
        "  expected: " + str(broken(HEAD + " { %x[n] = oops(1) }").expected) + "\n"
        "  got: 'oops'"
    )


def test_comments_and_space_do_not_matter() -> None:
    plain = parse_kernel(HEAD + " { for %i in n { %y[%i] = %x[%i] } }")
    text = HEAD + "\n# a comment\n{ for\t%i in n # extent\n {%y[%i]=%x[ %i ]} }\r\n# the end"
    assert parse_kernels(text) == (plain,)
