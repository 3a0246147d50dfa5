"""Bytes that are in memory already as sources."""

from __future__ import annotations

import hashlib
import io
from typing import BinaryIO

from sigmagraph.data.digests import digest
from sigmagraph.data.sources.base import Source


class Memory(Source):
    """Bytes that are in memory already, or a text, which is taken as UTF-8.

    Args:
        content: the bytes or the text.
        name: for readers and errors.
    """

    def __init__(self, content: bytes | str, name: str = "memory") -> None:
        self.content = content.encode() if isinstance(content, str) else bytes(content)
        self.name = name

    def exists(self) -> bool:
        return True

    def open(self) -> BinaryIO:
        return io.BytesIO(self.content)

    def fingerprint(self) -> str:
        return digest("content", hashlib.sha256(self.content).hexdigest())
