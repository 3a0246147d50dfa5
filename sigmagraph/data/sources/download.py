"""Fetches a file over HTTP: in pieces, again where it broke off, and under its name only when all of it is there."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import fsync, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sigmagraph.errors import FileFormatError, InputError

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

# Bytes that are there, and all of them where the server says how many.
Progress: TypeAlias = Callable[[int, "int | None"], None]

_PIECE = 1 << 16
_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416
# Timeout, too many requests, and what servers say when they may be better soon (RFC 9110 15.5, 15.6; RFC 6585 4).
_PASSING = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Download:
    """What is to be fetched, and how.

    Attributes:
        url: from where.
        opener: makes the connections.
        sha256: of the whole content, in hex.
        retries: how often it is tried again.
        backoff: seconds before the first of those; twice as many before each further one.
        timeout: seconds without a byte after which a connection counts as broken.
        progress: is told how far it is.
    """

    url: str
    opener: OpenerDirector
    sha256: str | None
    retries: int
    backoff: float
    timeout: float
    progress: Progress | None

    def reply(self, method: str, headers: dict[str, str] | None = None) -> Any:
        """The server's answer, open; ``OSError`` and ``HTTPException`` pass."""
        from urllib.request import Request

        # Without the header, a server may compress what it sends, and lengths and ranges would be those of that.
        request = Request(self.url, headers={"Accept-Encoding": "identity", **(headers or {})}, method=method)  # noqa: S310
        return self.opener.open(request, timeout=self.timeout)

    def fetch(self, target: Path) -> None:
        """Fetch it to a file; what is there of an earlier try is gone on with.

        Raises:
            InputError: the server does not give it.
            FileFormatError: it is not what the checksum says.
        """
        part = target.with_name(target.name + ".part")
        for left in range(self.retries, -1, -1):
            problem = self._attempt(part)
            if problem is None:
                replace(part, target)
                _validator_of(part).unlink(missing_ok=True)
                return
            if left == 0 or not problem.passing:
                raise problem.error
            time.sleep(self.backoff * 2 ** (self.retries - left))

    def _attempt(self, part: Path) -> _Problem | None:
        from http.client import HTTPException
        from urllib.error import HTTPError

        try:
            resumed = self._receive(part)
        except HTTPError as error:
            error.close()
            if error.code == _NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
            return self._problem(f"HTTP {error.code} {error.reason}", error.code in (*_PASSING, _NOT_SATISFIABLE))
        except (HTTPException, OSError) as error:
            return self._problem(error, passing=True)
        except _ShortError as error:
            return self._problem(f"{error.got} of {error.total} bytes", passing=True)
        found = sha256_of(part) if self.sha256 else None
        if found == self.sha256:
            return None
        part.unlink()
        _validator_of(part).unlink(missing_ok=True)
        wrong = FileFormatError(f"{self.url} is not what it should be", expected=f"SHA-256 {self.sha256}", got=found)
        # What was gone on with may have been a part of something else: once more, from the start.
        return _Problem(wrong, passing=resumed)

    def _problem(self, got: object, passing: bool) -> _Problem:
        return _Problem(InputError(f"{self.url} cannot be fetched", got=got), passing)

    def _receive(self, part: Path) -> bool:
        """Receive what is missing; whether there was something before."""
        start, headers = self._rest(part)
        with contextlib.closing(self.reply("GET", headers)) as reply:
            start = _begin(reply, start, part)
            total = None if reply.length is None else start + reply.length
            _validator_of(part).write_text(_validator(reply), "utf-8")
            with part.open("ab" if start else "wb") as file:
                file.truncate(start)
                done = start
                for piece in _pieces(reply):
                    file.write(piece)
                    done += len(piece)
                    if self.progress:
                        self.progress(done, total)
                file.flush()
                fsync(file.fileno())
        if total is not None and done != total:
            raise _ShortError(done, total)
        return start > 0

    def _rest(self, part: Path) -> tuple[int, dict[str, str]]:
        """Where to go on, and how to ask for that.

        A part is gone on with only if it can be known that it belongs to the same content: by what the server said of
        it then, or by the checksum in the end.
        """
        have = part.stat().st_size if part.is_file() else 0
        known = _validator_of(part).read_text("utf-8") if _validator_of(part).is_file() else ""
        if not have or not (known or self.sha256):
            return 0, {}
        condition = {"If-Range": known} if known else {}
        return have, {"Range": f"bytes={have}-", **condition}


@dataclass(frozen=True)
class _Problem:
    error: InputError | FileFormatError
    passing: bool


class _ShortError(Exception):
    def __init__(self, got: int, total: int) -> None:
        self.got = got
        self.total = total
        super().__init__(got, total)


def _begin(reply: Any, asked: int, part: Path) -> int:
    """The place that the server's answer begins at: a server need not heed the wish for a range."""
    if reply.status != _PARTIAL:
        return 0
    says = reply.headers.get("Content-Range", "")
    if not says.startswith(f"bytes {asked}-"):
        part.unlink()
        raise OSError(f"the server sent the range '{says}' instead of one from {asked}")
    return asked


def _pieces(reply: Any) -> Iterator[bytes]:
    """What comes, as it comes, so that nothing that came is lost when the connection breaks."""
    while piece := reply.read1(_PIECE):
        yield piece


def _validator(reply: Any) -> str:
    """What tells the content from later ones: a strong tag, or else the time of its last change (RFC 9110 13.1.5)."""
    tag = str(reply.headers.get("ETag", ""))
    return tag if tag and not tag.startswith("W/") else str(reply.headers.get("Last-Modified", ""))


def _validator_of(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex; ``OSError`` passes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
