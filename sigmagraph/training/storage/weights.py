"""Arrays by name in safetensors files: written whole or not at all, and checked before they are used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import save

from sigmagraph.dtypes import DType, as_dtype
from sigmagraph.errors import AttributeValueError, DTypeError, FileFormatError, InputError
from sigmagraph.runtime.whole_files import write_whole

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_METADATA = "__metadata__"  # the format's own entry among the arrays


def write_arrays(path: str | PathLike[str], arrays: Mapping[str, NDArray], metadata: Mapping[str, str]) -> None:
    """Write arrays to a file. Until all is on disk, a file that was there stays as it was.

    Raises:
        InputError: the file cannot be written.
        DTypeError: an array is of a type that there is no element type for.
        AttributeValueError: a name cannot stand in a file.
    """
    content = {_checked_name(name): _checked(name, array) for name, array in arrays.items()}
    write_whole(Path(path), save(content, dict(metadata)))


def _checked_name(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise AttributeValueError(
            "this is no name of an array in a file", expected="text in Unicode", got=repr(name)
        ) from error
    if name == _METADATA:
        raise AttributeValueError("this is no name of an array in a file", expected="another one", got=name)
    return name


def _checked(name: str, array: NDArray) -> NDArray:
    array = np.asarray(array, order="C")
    try:
        as_dtype(array.dtype)
    except DTypeError as error:
        raise error.at(node=name) from None
    return array


def read_parameters(path: str | PathLike[str]) -> dict[str, NDArray]:
    """The parameters and states of a network, by identifier: all of its own file, or those of a checkpoint.

    Raises:
        InputError: the file does not exist or cannot be opened.
        FileFormatError: it is no safetensors file, is damaged, or holds a type that there is no element type for.
    """
    arrays, metadata = read_file(path)
    if not metadata.get("format", "").startswith("sigmagraph checkpoint"):
        return arrays
    prefix = "network/"
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def read_file(path: str | PathLike[str]) -> tuple[dict[str, NDArray], dict[str, str]]:
    """All arrays of a file, and its metadata.

    Raises:
        InputError: the file does not exist or cannot be opened.
        FileFormatError: it is no safetensors file, is damaged, or holds a type that there is no element type for.
    """
    source = Path(path)
    try:
        content = source.read_bytes()
        return dict(_arrays(content)), _metadata(content)
    except OSError as error:
        raise InputError(f"{source} cannot be read", got=error.strerror or error) from error
    except (SafetensorError, ValueError) as error:
        raise FileFormatError(f"{source} cannot be used", expected="a whole safetensors file", got=error) from error


def _arrays(content: bytes) -> Iterator[tuple[str, NDArray]]:
    """What a file holds. The element types are called there as here, in capitals; NumPy's own reader has no bf16."""
    for name, tensor in deserialize(content):  # type: ignore[no-untyped-call]
        dtype = DType(tensor["dtype"].lower())
        yield name, np.frombuffer(tensor["data"], dtype.numpy).reshape(tensor["shape"])


def _metadata(content: bytes) -> dict[str, str]:
    """The texts in the header of a file that was found to be whole."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return dict(header.get(_METADATA) or {})


def read_metadata(path: str | PathLike[str]) -> dict[str, str]:
    """The metadata of a file alone.

    Raises:
        InputError: the file does not exist or cannot be opened.
        FileFormatError: it is no safetensors file, or is damaged.
    """
    source = Path(path)
    try:
        with safe_open(source, framework="numpy") as file:
            return dict(file.metadata() or {})
    except OSError as error:
        raise InputError(f"{source} cannot be read", got=error.strerror or error) from error
    except (SafetensorError, ValueError) as error:
        raise FileFormatError(f"{source} cannot be used", expected="a whole safetensors file", got=error) from error
