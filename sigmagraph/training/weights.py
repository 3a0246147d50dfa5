"""Arrays by name in safetensors files: written whole or not at all, and checked before they are used."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from os import PathLike, fsync, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from sigmagraph.dtypes import DType
from sigmagraph.errors import FileFormatError, InputError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


def write_arrays(path: str | PathLike[str], arrays: Mapping[str, NDArray], metadata: Mapping[str, str]) -> None:
    """Write arrays to a file. Until all is on disk, a file that was there stays as it was.

    Raises:
        InputError: the file cannot be written.
    """
    target = Path(path)
    content = save({name: np.asarray(array, order="C") for name, array in arrays.items()}, dict(metadata))
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            fsync(file.fileno())
        replace(part, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"{target} cannot be written", got=error.strerror) from error


def read_arrays(path: str | PathLike[str]) -> dict[str, NDArray]:
    """All arrays of a file.

    Raises:
        InputError: the file does not exist or cannot be opened.
        FileFormatError: it is no safetensors file, is damaged, or holds a type that there is no element type for.
    """
    return read_file(path)[0]


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
        raise InputError(f"{source} cannot be read", got=error.strerror) from error
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
    return dict(header.get("__metadata__") or {})
