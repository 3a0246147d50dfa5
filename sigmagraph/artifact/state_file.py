"""State files of artifacts: safetensors, of which equal states give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from safetensors.numpy import save

from sigmagraph.dtypes import DType
from sigmagraph.ir.interface import Stored

NDArray: TypeAlias = "np.ndarray[Any, Any]"


def state_file(arrays: Mapping[str, NDArray], metadata: Mapping[str, str]) -> bytes:
    """A file of arrays and texts.

    The format's library writes the texts in another order every time, so that they are put in here.
    """
    image = save({key: np.asarray(array, order="C") for key, array in arrays.items()})
    begin = 8 + int.from_bytes(image[:8], "little")
    texts = {"__metadata__": {key: metadata[key] for key in sorted(metadata)}} if metadata else {}
    head = json.dumps({**texts, **json.loads(image[8:begin])}, separators=(",", ":"), ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + image[begin:]


def file_order(state: bytes) -> tuple[bytes, list[Stored]]:
    """What a state file begins with, up to the first array, and what it holds in its order; nothing is placed yet."""
    begin = 8 + int.from_bytes(state[:8], "little")
    entries = {key: entry for key, entry in json.loads(state[8:begin]).items() if key != "__metadata__"}
    stored = [Stored(key, DType(e["dtype"].lower()), tuple(e["shape"]), 0) for key, e in entries.items()]
    return state[:begin], stored
