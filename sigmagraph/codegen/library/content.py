"""What a library holds besides code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigmagraph.codegen.library.trials import Trials


@dataclass(frozen=True, slots=True)
class Content:
    """What a library holds besides code.

    Attributes:
        values: the bytes of stored values by name, where they are to be embedded.
        file_head: what state files begin with, up to the first value.
        info: the text of ``info_json``.
        trials: what the self-test does.
    """

    values: Mapping[str, bytes]
    file_head: bytes
    info: str
    trials: Trials
