"""Tokens of both textual forms, and errors that point at them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sigmagraph.dims import Dim, Size, floordiv, maximum, minimum
from sigmagraph.dtypes import DType
from sigmagraph.errors import DimError, ParseError
from sigmagraph.location import Location

VERSION = 1
DIGITS = 4000  # Python reads a few more, but not any number of them

_TOKEN = re.compile(
    r"""(?P<skip>[ \t\r\n]+|\#[^\n]*)
      | (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)
      | (?P<value>%(?:[A-Za-z0-9_.]+|"(?:[^"\\\n]|\\.)*")(?:\#\d+)?)
      | (?P<symbol>@(?:[A-Za-z0-9_.\-/]+|"(?:[^"\\\n]|\\.)*"))
      | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<punct>->|//|[-+*=:,(){}\[\]<>])
    """,
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text.

    ``kind`` is ``number``, ``value`` (%x), ``symbol`` (@x), ``name``, ``string``, ``punct`` or ``end``. Values and
    symbols that are no words are quoted (%"1-dense.weights").
    """

    kind: str
    text: str
    offset: int

    @property
    def label(self) -> str:
        """What a value or symbol is called, without its sign, its quotes and the number of the result."""
        body = self.text[1:]
        return _unquoted(body[: body.rindex('"') + 1]) if body.startswith('"') else body.partition("#")[0]

    @property
    def result(self) -> int | None:
        """Which result of a node a value is (``%5#1``), if it says so."""
        number = self.text.rpartition('"')[2].partition("#")[2]
        return int(number) if number else None


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), text[1:-1])


class TokenStream:
    """The tokens of a text, with one token of lookahead.

    A comment runs from ``#`` to the end of the line (``%5#1`` is a value, not a comment).

    Raises:
        ParseError: a character belongs to no token.
    """

    def __init__(self, text: str, file: str = "<text>") -> None:
        self.text = text
        self.file = file
        self._tokens = self._split()
        self._at = 0

    def _split(self) -> list[Token]:
        tokens: list[Token] = []
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise self.error("this character does not belong here", Token("bad", self.text[at], at))
            if match.lastgroup != "skip":
                tokens.append(Token(str(match.lastgroup), match.group(), at))
            at = match.end()
        tokens.append(Token("end", "", len(self.text)))
        return tokens

    @property
    def next(self) -> Token:
        """The token that comes next, without taking it."""
        return self._tokens[self._at]

    def ahead(self, count: int = 1) -> Token:
        """The token that comes ``count`` tokens after the next one."""
        return self._tokens[min(self._at + count, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Take the next token."""
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def at(self, text: str) -> bool:
        """Whether the next token is this punctuation or word."""
        return self.next.text == text and self.next.kind in ("punct", "name")

    def accept(self, text: str) -> bool:
        """Take the next token if it is this punctuation or word."""
        if self.at(text):
            self.take()
            return True
        return False

    def expect(self, text: str) -> Token:
        """Take this punctuation or word.

        Raises:
            ParseError: something else comes next.
        """
        if not self.at(text):
            raise self.error("unexpected text", expected=f"'{text}'")
        return self.take()

    def expect_kind(self, kind: str, expected: str) -> Token:
        """Take a token of a kind; ``expected`` describes it to the reader.

        Raises:
            ParseError: something else comes next.
        """
        if self.next.kind != kind:
            raise self.error("unexpected text", expected=expected)
        return self.take()

    def integer(self) -> int:
        """Take an integer, perhaps negative.

        Raises:
            ParseError: something else comes next.
        """
        sign = -1 if self.accept("-") else 1
        token = self.expect_kind("number", "an integer")
        if not token.text.isdigit() or len(token.text) > DIGITS:
            raise self.error("unexpected number", token, expected=f"an integer of at most {DIGITS} digits")
        return sign * int(token.text)

    def string(self) -> str:
        """Take a quoted string and undo its escapes."""
        return _unquoted(self.expect_kind("string", "a string in double quotes").text)

    def header(self) -> None:
        """Take ``sigmagraph 1``, with which every text begins.

        Raises:
            ParseError: it is missing, or of a version that cannot be read.
        """
        if not self.at("sigmagraph"):
            raise self.error("the version header is missing", expected=f"'sigmagraph {VERSION}'")
        self.take()
        token = self.next
        if self.integer() != VERSION:
            raise self.error("this version of the text form cannot be read", token, expected=str(VERSION))

    def dtype(self) -> DType:
        """Take an element type.

        Raises:
            ParseError: there is no such type.
        """
        names = [str(d) for d in DType]
        if self.next.kind != "name" or self.next.text not in names:
            raise self.error("this is not an element type", expected="one of " + ", ".join(names))
        return DType(self.take().text)

    def sizes(self, opening: str, closing: str) -> tuple[Size, ...]:
        """Take a list of sizes between brackets: a shape or an index."""
        self.expect(opening)
        out: list[Size] = []
        while not self.accept(closing):
            if out:
                self.expect(",")
            out.append(self.size())
        return tuple(out)

    def location(self) -> Location:
        """Take ``loc("file":line "scope" grad)``; parts may be missing, a scope without a file is ``scope "..."``."""
        file, line, scope = "", 0, ""
        self.expect("loc")
        self.expect("(")
        if self.next.kind == "string":
            file = self.string()
            self.expect(":")
            line = self.integer()
            if self.next.kind == "string":
                scope = self.string()
        elif self.accept("scope"):
            scope = self.string()
        gradient = self.accept("grad")
        self.expect(")")
        return Location(file, line, scope, gradient)

    def error(self, message: str, token: Token | None = None, *, expected: Any = None) -> ParseError:
        """The error to raise about a token (the next one by default)."""
        token = token or self.next
        before = self.text[: token.offset]
        line = before.count("\n") + 1
        start = before.rfind("\n") + 1
        end = self.text.find("\n", token.offset)
        source = self.text[start : end if end >= 0 else len(self.text)]
        return ParseError(
            message,
            file=self.file,
            line=line,
            column=token.offset - start + 1,
            source=source,
            expected=expected,
            got=f"'{token.text}'" if token.text else "the end of the text",
        )

    def size(self) -> Size:
        """Take a size or index expression: sums of products of integers, names, ``%names``, ``(a//b)``, min and max.

        Raises:
            ParseError: something else comes next.
        """
        out: Size = 0
        sign = -1 if self.accept("-") else 1
        while True:
            out = out + sign * self._product()
            if self.accept("+"):
                sign = 1
            elif self.accept("-"):
                sign = -1
            else:
                return out

    def _product(self) -> Size:
        out = self._factor()
        while True:
            if self.accept("*"):
                out = out * self._factor()
            elif self.at("//"):
                token = self.take()
                try:
                    out = floordiv(out, self._factor())
                except DimError as error:
                    raise self.error(error.message, token, expected=error.expected) from None
            else:
                return out

    def _factor(self) -> Size:
        token = self.next
        if token.kind == "number":
            return self.integer()
        if self.accept("("):
            inner = self.size()
            self.expect(")")
            return inner
        if token.text in ("min", "max") and self.ahead().text == "(":
            self.take()
            self.expect("(")
            args = [self.size()]
            while self.accept(","):
                args.append(self.size())
            self.expect(")")
            return minimum(*args) if token.text == "min" else maximum(*args)
        if token.kind in ("name", "value"):
            self.take()
            try:
                return Dim(token.text)
            except DimError:
                raise self.error("this is not the name of a size", token, expected="an identifier") from None
        raise self.error("unexpected text", expected="a size: a number, a name, %name, (..), min(..) or max(..)")
