"""Pieces of C: texts, bytes and tables of numbers, and sizes as expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigmagraph.dims import Dim, Func, Size

_LINE = 6  # words of 64 bits on a line


def string_text(text: str) -> str:
    """A text between quotes; what is not ASCII goes as the bytes of UTF-8."""
    return '"' + "".join(map(_spelled, text.encode())) + '"'


def _spelled(byte: int) -> str:
    character = chr(byte)
    if character in '"\\?':  # two question marks begin a trigraph
        return f"\\{character}"
    return character if 32 <= byte < 127 else f"\\{byte:03o}"


def cut_text(text: str, most: int) -> str:
    """A text of so many bytes of UTF-8 at most; a longer one ends with dots."""
    data = text.encode()
    return text if len(data) <= most else data[: most - 3].decode(errors="ignore") + "..."


def words_text(name: str, data: bytes) -> str:
    """Bytes as a constant of words of 64 bits, the lowest byte first, as on all hosts of GPUs; zeros fill the last.

    A literal for text may have 4,095 characters, and numbers for each byte are twice as long.
    """
    padded = data + bytes(-len(data) % 8)
    return numbers_text(name, [int.from_bytes(padded[i : i + 8], "little") for i in range(0, len(padded), 8)])


def numbers_text(name: str, words: Sequence[int]) -> str:
    """Numbers as a constant of words of 64 bits; where there are none, of one that nobody reads."""
    spelled = [f"0x{word & (1 << 64) - 1:x}u" for word in words] or ["0"]
    lines = [", ".join(spelled[i : i + _LINE]) for i in range(0, len(spelled), _LINE)]
    return f"static const uint64_t {name}[] = {{\n    " + ",\n    ".join(lines) + "\n};"


def size_text(size: Size, names: Mapping[str, str]) -> str:
    """A size as an expression of int64_t.

    Args:
        size: what it is.
        names: what dims and turns are called.
    """
    if not isinstance(size, Dim):
        return str(size) if -(1 << 31) < size < 1 << 31 else f"INT64_C({size})"
    terms = []
    for monomial, factor in size.terms:
        factors = [_atom(atom, names) for atom in monomial]
        terms.append(" * ".join(factors if factor == 1 and factors else [size_text(factor, names), *factors]))
    return " + ".join(terms) if len(terms) == 1 else f"({' + '.join(terms)})"


def _atom(atom: str | Func, names: Mapping[str, str]) -> str:
    if isinstance(atom, str):
        return names[atom]
    arguments = [size_text(argument, names) for argument in atom.args]
    function = {"//": "sg_floor", "min": "sg_least", "max": "sg_most"}[atom.kind]
    text = arguments[0]
    for argument in arguments[1:]:
        text = f"{function}({text}, {argument})"
    return text
