"""The manifest of an artifact: its interface as JSON that people can read, and the hashes of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigmagraph.dims import Size
from sigmagraph.dtypes import DType
from sigmagraph.errors import FileFormatError, ParseError
from sigmagraph.ir.interface import ABI, OWN_ERRORS, Function, Interface, Stored
from sigmagraph.ir.plan import Port, Requirement
from sigmagraph.ir.text.lexer import TokenStream

FORMAT = "sigmagraph artifact 1"
_FAMILY = "sigmagraph artifact "


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artifact is.

    Attributes:
        interface: what its library offers.
        files: names of its files, and their SHA-256 in hexadecimal digits.
    """

    interface: Interface
    files: Mapping[str, str]


def manifest_text(interface: Interface, files: Mapping[str, str]) -> str:
    """The manifest; equal artifacts give equal texts.

    Args:
        interface: what the library offers.
        files: hashes of the files beside it, by name.
    """
    state = {s.name: {"type": _type(s.dtype, s.shape), "offset": s.offset} for s in interface.stored}
    data = {**_outline(interface), "state": state, "files": {name: files[name] for name in sorted(files)}}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def info_text(interface: Interface) -> str:
    """What the library says of itself: the manifest in one line, without files, and the state in numbers."""
    held = sum(s.bytes for s in interface.stored)
    data = {**_outline(interface), "stored_values": len(interface.stored), "stored_bytes": held}
    return json.dumps(data, separators=(",", ":"), ensure_ascii=True)


def _outline(interface: Interface) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "abi": ABI,
        "name": interface.name,
        "sigmagraph": interface.version,
        "triple": interface.triple,
        "levels": list(interface.levels),
        "threads": interface.threads,
        "embedded": interface.embedded,
        "counter": interface.counter,
        "ignored": list(interface.ignored),
        "state_bytes": interface.state_bytes,
        "functions": {function.name: _function(function) for function in interface.functions},
    }


def _function(function: Function) -> dict[str, Any]:
    return {
        "dims": list(function.dims),
        "inputs": {port.name: _type(port.dtype, port.shape) for port in function.inputs},
        "outputs": {port.name: _type(port.dtype, port.shape) for port in function.outputs},
        "requirements": [[str(r.left), r.relation, str(r.right), r.what] for r in function.requirements],
        "checks": list(function.checks),
        "updates": list(function.updates),
        "arena": str(function.arena),
        "first_error": function.first_error,
    }


def _type(dtype: DType, shape: Sequence[Size]) -> str:
    return f"{dtype}[{','.join(map(str, shape))}]"


def read_manifest(text: str, file: str) -> Manifest:
    """The manifest that a text is.

    Args:
        text: of the file.
        file: what errors call it.

    Raises:
        FileFormatError: it is damaged, none of this kind, or of a newer version.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"{file} is no manifest", expected="JSON", got=str(error)) from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        newer = isinstance(found, str) and found.startswith(_FAMILY)
        raise FileFormatError(
            f"{file} is no manifest of this version",
            expected=FORMAT,
            got=repr(found),
            hint="a newer sigmagraph wrote it" if newer else None,
        )
    if data.get("abi") != ABI:
        raise FileFormatError(f"{file} is of a library that is called otherwise", expected=ABI, got=data.get("abi"))
    try:
        files = {_text(name): _text(value) for name, value in data["files"].items()}
        return Manifest(_interface(data), files)
    except (KeyError, TypeError, ValueError, AttributeError, ParseError) as error:
        raise FileFormatError(f"{file} is damaged", expected="a whole manifest", got=repr(error)) from error


def _interface(data: Mapping[str, Any]) -> Interface:
    stored = []
    for name, entry in data["state"].items():
        dtype, shape = _parsed_type(entry["type"])
        sizes = tuple(size for size in shape if isinstance(size, int))
        if len(sizes) != len(shape):
            raise ValueError(f"the stored value {name!r} has no fixed shape")
        stored.append(Stored(_text(name), dtype, sizes, _number(entry["offset"])))
    interface = Interface(
        _text(data["name"]),
        _text(data["sigmagraph"]),
        _text(data["triple"]),
        tuple(map(_text, data["levels"])),
        _number(data["threads"]),
        tuple(_parsed_function(name, entry) for name, entry in data["functions"].items()),
        tuple(stored),
        _number(data["state_bytes"]),
        bool(data["embedded"]),
        _text(data["counter"]),
        tuple(map(_text, data["ignored"])),
    )
    first = OWN_ERRORS
    for function in interface.functions:
        if function.first_error != first:
            raise ValueError(f"the errors of {function.name!r} begin elsewhere")
        first += len(function.errors)
    return interface


def _parsed_function(name: str, entry: Mapping[str, Any]) -> Function:
    return Function(
        _text(name),
        tuple(map(_text, entry["dims"])),
        tuple(_port(key, type) for key, type in entry["inputs"].items()),
        tuple(_port(key, type) for key, type in entry["outputs"].items()),
        tuple(
            Requirement(_relation(rel), _size(a), _size(b), _text(what)) for a, rel, b, what in entry["requirements"]
        ),
        tuple(map(_text, entry["checks"])),
        tuple(map(_text, entry["updates"])),
        _size(entry["arena"]),
        _number(entry["first_error"]),
    )


def _port(name: str, type: str) -> Port:
    return Port(_text(name), *_parsed_type(type))


def _parsed_type(text: str) -> tuple[DType, tuple[Size, ...]]:
    tokens = TokenStream(_text(text), "a type")
    dtype, shape = tokens.dtype(), tokens.sizes("[", "]")
    tokens.expect_kind("end", "nothing more")
    return dtype, shape


def _size(text: str) -> Size:
    tokens = TokenStream(_text(text), "a size")
    size = tokens.size()
    tokens.expect_kind("end", "nothing more")
    return size


def _relation(text: str) -> str:
    if text not in ("==", ">="):
        raise ValueError(f"no relation: {text!r}")
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"no text: {value!r}")
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"no number: {value!r}")
    return value
