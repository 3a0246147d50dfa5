"""Files of the web as sources: fetched once, then read from a folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from sigmagraph.data.digests import digest
from sigmagraph.data.sources.base import Source, as_path, unreadable
from sigmagraph.data.sources.download import Download, sha256_of
from sigmagraph.data.sources.file import File
from sigmagraph.data.sources.lock import held
from sigmagraph.errors import AttributeValueError

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

_SCHEMES = ("http", "https")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Servers that do not answer HEAD say so (RFC 9110 15.5.6, 15.6.2); then GET tells whether there is something.
_NO_HEAD = (405, 501)


class Url(Source):
    """A file of the web. It is fetched when it is first used, and from then on read from a folder, without the network.

    A broken download goes on where it broke off, also in a later process. No proxy is used unless one is given.

    Args:
        url: of http or https.
        sha256: the content's checksum in hex; what differs from it is refused, whether it was fetched now or long ago.
        folder: where files are kept; ``downloads`` in the user's cache folder unless given.
        retries: how often a download that failed is tried again.
        backoff: seconds before the first of those; twice as many before each further one.
        timeout: seconds without a byte after which a connection counts as broken.
        proxy: address of a proxy, such as ``http://proxy:3128``.
        progress: is called with the bytes that are there and with all of them (``None`` where the server does not say).

    Raises:
        AttributeValueError: the address, the checksum or a number means nothing.
    """

    def __init__(
        self,
        url: str,
        *,
        sha256: str | None = None,
        folder: str | PathLike[str] | None = None,
        retries: int = 2,
        backoff: float = 0.5,
        timeout: float = 30.0,
        proxy: str | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.netloc:
            raise AttributeValueError("this is no address of the web", expected="http:// or https://", got=repr(url))
        if sha256 is not None and not _SHA256.fullmatch(sha256.lower()):
            raise AttributeValueError("this is no SHA-256", expected="64 hex digits", got=repr(sha256))
        if retries < 0 or backoff < 0 or timeout <= 0:
            raise AttributeValueError(
                "downloads cannot be tried like this",
                expected="retries and backoff of 0 or more, a timeout above 0",
                got=(retries, backoff, timeout),
            )
        self.name = url
        self._sha256 = sha256.lower() if sha256 else None
        self._folder = None if folder is None else as_path(folder)
        self._proxy = proxy
        self._how = (retries, backoff, timeout, progress)
        self._checked = False

    def exists(self) -> bool:
        """Whether it was fetched before, or the server says that it has it."""
        from http.client import HTTPException
        from urllib.error import HTTPError

        if self._path().is_file():
            return True
        try:
            self._download().reply("HEAD").close()
        except HTTPError as error:
            error.close()
            return error.code in _NO_HEAD and self._gives()
        except (HTTPException, OSError):
            return False
        return True

    def open(self) -> BinaryIO:
        return File(self.local()).open()

    def local(self) -> Path:
        """The file in the folder, which is fetched if it is not there.

        Raises:
            InputError: the server does not give it, or the folder cannot be written.
            FileFormatError: it is not what the checksum says.
        """
        path = self._path()
        if self._checked and path.is_file():
            return path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with held(path.with_name(path.name + ".lock")):
                if not self._is_there(path):
                    self._download().fetch(path)
        except OSError as error:
            raise unreadable(path, error) from error
        self._checked = True
        return path

    def fingerprint(self) -> str:
        """The checksum's where one is known, whatever the address; else that of the address and the file."""
        if self._sha256:
            return digest("content", self._sha256)
        return digest("url", self.name, File(self.local()).fingerprint())

    def _is_there(self, path: Path) -> bool:
        """Whether it was fetched before and is whole; what is not, goes."""
        if not path.is_file():
            return False
        if self._sha256 is None or sha256_of(path) == self._sha256:
            return True
        path.unlink()
        return False

    def _gives(self) -> bool:
        from http.client import HTTPException

        try:
            self._download().reply("GET").close()
        except (HTTPException, OSError):
            return False
        return True

    def _path(self) -> Path:
        """Where it is kept: the address's digest keeps files of the same name apart."""
        import platformdirs

        folder = self._folder or Path(platformdirs.user_cache_dir("sigmagraph")) / "downloads"
        last = re.sub(r"[^\w.-]", "_", PurePosixPath(unquote(urlsplit(self.name).path)).name)
        return folder / f"{digest(self.name)[:16]}-{last[-80:] or 'file'}"

    def _download(self) -> Download:
        return Download(self.name, _opener(self._proxy), self._sha256, *self._how)


def _opener(proxy: str | None) -> OpenerDirector:
    """Connections of http and https and nothing else; the environment has no say in which proxy is used."""
    from urllib import request
    from urllib.error import HTTPError

    class Redirects(request.HTTPRedirectHandler):
        """Goes where a server points, but neither to another kind of address nor from https to http."""

        def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
            there = urlsplit(newurl).scheme
            if there not in _SCHEMES or (req.type == "https" and there != "https"):
                raise HTTPError(newurl, code, f"a redirection to '{there}' is not followed", headers, fp)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(dict.fromkeys(_SCHEMES, proxy) if proxy else {}),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        Redirects(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
