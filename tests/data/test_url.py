from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sigmagraph import data
from sigmagraph.errors import AttributeValueError, FileFormatError, InputError

CONTENT = hashlib.shake_256(b"content").digest(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves the content; the path says how it misbehaves. ``?n`` is how many requests it does so for."""

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.server.seen.append(("HEAD", self.path, None))  # type: ignore[attr-defined]
        code = {"/missing": 404, "/nohead": 405}.get(self.path, 200)
        self.send_response(code)
        self.end_headers()

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append(("GET", self.path, self.headers.get("Range")))
        kind, _, times = self.path[1:].partition("?")
        wrong = sum(1 for method, path, _ in server.seen if path == self.path and method == "GET") <= int(times or 99)
        if kind == "missing":
            self.send_error(404)
            return
        if kind == "busy" and wrong:
            self.send_error(503)
            return
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", "ftp://localhost/file")
            self.end_headers()
            return
        start = self._start(kind)
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if kind != "untagged":
            self.send_header("ETag", f'"{server.tag}"')
        if kind != "unknown":
            self.send_header("Content-Length", str(len(body) - (1000 if kind == "short" else 0)))
        self.end_headers()
        if wrong and kind in ("cut", "untagged", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if kind == "stall":
                server.stop.wait(10)
            return
        self.wfile.write(body[: len(body) - (1000 if kind == "short" else 0)])

    def _start(self, kind: str) -> int:
        asked = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        tag: str = self.server.tag  # type: ignore[attr-defined]
        if asked is None or kind == "norange" or condition not in (None, f'"{tag}"'):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, str | None]] = []
        self.tag = "1"
        self.stop = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.stop.set()
        server.shutdown()
        thread.join()


def source(server: Server, path: str, folder: Path, **options: Any) -> data.Url:
    return data.Url(server.url(path), folder=folder, backoff=0, timeout=options.pop("timeout", 5), **options)


def read(url: data.Url) -> bytes:
    with url.open() as stream:
        return stream.read()


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    url = source(server, "file.bin", tmp_path, sha256=SHA256, progress=lambda *state: told.append(state))
    assert server.seen == []
    assert url.exists()
    assert read(url) == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    seen = len(server.seen)
    again = source(server, "file.bin", tmp_path, sha256=SHA256)
    assert again.exists()
    assert read(again) == CONTENT
    assert again.local().name.endswith("-file.bin")
    assert len(server.seen) == seen
    assert again.fingerprint() == data.Memory(CONTENT).fingerprint()
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".bin", ".lock"]


def test_the_length_need_not_be_known(server: Server, tmp_path: Path) -> None:
    told: list[int | None] = []
    assert read(source(server, "unknown", tmp_path, progress=lambda _, total: told.append(total))) == CONTENT
    assert set(told) == {None}


@pytest.mark.parametrize(("kind", "timeout"), [("cut?1", 5), ("stall?1", 0.2)])
def test_a_broken_download_goes_on_where_it_broke_off(
    server: Server, tmp_path: Path, kind: str, timeout: float
) -> None:
    assert read(source(server, kind, tmp_path, timeout=timeout)) == CONTENT
    assert [asked for _, _, asked in server.seen] == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_later_process_goes_on_too(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be fetched") as caught:
        source(server, "cut?1", tmp_path, retries=0).open()
    assert caught.value.got == f"{len(CONTENT) // 2} of {len(CONTENT)} bytes"
    assert not any(path.name.endswith("cut") for path in tmp_path.iterdir())
    assert read(source(server, "cut?1", tmp_path, retries=0)) == CONTENT
    assert server.seen[1][2] == f"bytes={len(CONTENT) // 2}-"


def test_what_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        source(server, "cut?1", tmp_path, retries=0).open()
    server.tag = "2"
    part = next(path for path in tmp_path.iterdir() if path.suffix == ".part")
    part.write_bytes(b"x" * part.stat().st_size)
    assert read(source(server, "cut?1", tmp_path)) == CONTENT


def test_a_part_that_nothing_vouches_for_is_not_gone_on_with(server: Server, tmp_path: Path) -> None:
    assert read(source(server, "untagged?1", tmp_path)) == CONTENT
    assert [asked for _, _, asked in server.seen] == [None, None]


def test_a_server_need_not_know_ranges(server: Server, tmp_path: Path) -> None:
    url = source(server, "norange", tmp_path, sha256=SHA256)
    path = tmp_path / (url._path().name + ".part")
    path.write_bytes(CONTENT[:1000])
    assert read(url) == CONTENT
    assert server.seen[0][2] == "bytes=1000-"


def test_a_part_of_something_else_is_noticed_and_fetched_anew(server: Server, tmp_path: Path) -> None:
    url = source(server, "file", tmp_path, sha256=SHA256)
    (tmp_path / (url._path().name + ".part")).write_bytes(b"x" * 1000)
    assert read(url) == CONTENT
    assert [asked for _, _, asked in server.seen] == ["bytes=1000-", None]


def test_a_wrong_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="not what it should be") as caught:
        source(server, "file", tmp_path, sha256="0" * 64).open()
    assert caught.value.got == SHA256
    assert len(server.seen) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_lie_about_the_length_is_noticed_by_the_checksum(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="not what it should be"):
        source(server, "short", tmp_path, sha256=SHA256).open()


def test_a_damaged_file_of_the_folder_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    path = source(server, "file", tmp_path, sha256=SHA256).local()
    path.write_bytes(CONTENT[:-1])
    assert read(source(server, "file", tmp_path, sha256=SHA256)) == CONTENT


def test_busy_servers_are_asked_again_and_missing_files_are_not(server: Server, tmp_path: Path) -> None:
    assert read(source(server, "busy?2", tmp_path)) == CONTENT
    assert len(server.seen) == 3
    with pytest.raises(InputError, match="cannot be fetched") as caught:
        source(server, "missing", tmp_path).open()
    assert "404" in str(caught.value.got)
    assert len(server.seen) == 4
    assert not source(server, "missing", tmp_path).exists()
    assert source(server, "nohead", tmp_path).exists()


def test_a_redirection_to_another_kind_of_address_is_not_followed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be fetched") as caught:
        source(server, "redirect", tmp_path).open()
    assert "not followed" in str(caught.value.got)


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    url = data.Url("http://127.0.0.1:1/file", folder=tmp_path, retries=1, backoff=0)
    assert not url.exists()
    with pytest.raises(InputError, match="cannot be fetched"):
        url.open()


def test_a_proxy_is_asked(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    url = data.Url("http://nowhere.invalid/file", folder=tmp_path, proxy=server.url(""), sha256=SHA256, backoff=0)
    assert read(url) == CONTENT
    assert server.seen[0][1] == "http://nowhere.invalid/file"


def test_several_threads_fetch_once(server: Server, tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(read(source(server, "file", tmp_path)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 4
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("file:///etc/passwd", {}),
        ("ftp://host/file", {}),
        ("http:///file", {}),
        ("http://host/", {"sha256": "abc"}),
        ("http://host/", {"retries": -1}),
        ("http://host/", {"timeout": 0}),
    ],
)
def test_addresses_and_numbers_that_mean_nothing_are_refused(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError):
        data.Url(url, **options)
