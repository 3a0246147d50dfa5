from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sigmagraph import data
from sigmagraph.errors import FileFormatError, InputError

CONTENT = b"".join(b"%d\n" % (i * i) for i in range(2000))
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(members: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry in others:
            archive.addfile(entry)
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def read(source: data.Source) -> bytes:
    with source.open() as stream:
        return stream.read()


MEMBERS = {"a.txt": b"first", "inner/b.txt": CONTENT}
ARCHIVES = {
    "zip": zipped(MEMBERS),
    "tar": tarred(MEMBERS),
    **{f"tar.{name}": pack(tarred(MEMBERS)) for name, pack in PACKERS.items()},
}


def test_files_are_read_and_their_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(CONTENT)
    source = data.File(path)
    assert source.exists()
    assert read(source) == CONTENT
    before = source.fingerprint()
    assert data.File(path).fingerprint() == before
    path.write_bytes(CONTENT[:-1])
    assert data.File(path).fingerprint() != before


def test_missing_files_are_named(tmp_path: Path) -> None:
    source = data.File(tmp_path / "nowhere")
    assert not source.exists()
    for use in (source.open, source.fingerprint):
        with pytest.raises(InputError, match="nowhere"):
            use()
    with pytest.raises(InputError, match="cannot be read"):
        data.File(tmp_path).open()
    with pytest.raises(InputError, match="no file"):
        data.File(3)  # type: ignore[arg-type]


def test_the_first_source_that_exists_is_taken(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"there")
    first = data.First(tmp_path / "a", tmp_path / "b", data.Memory("last"))
    assert read(first) == b"there"
    assert first.local() == tmp_path / "b"
    assert first.fingerprint() == data.File(tmp_path / "b").fingerprint()
    nothing = data.First(tmp_path / "x", tmp_path / "y")
    assert not nothing.exists()
    with pytest.raises(InputError, match="none of these") as caught:
        nothing.open()
    assert "x or " in caught.value.expected


@pytest.mark.parametrize("pack", PACKERS)
def test_compressed_files_are_known_by_their_bytes(tmp_path: Path, pack: str) -> None:
    path = tmp_path / "without_ending"
    path.write_bytes(PACKERS[pack](CONTENT))
    assert read(data.Compressed(path)) == CONTENT
    assert data.Compressed(path).fingerprint() != data.File(path).fingerprint()
    path.write_bytes(PACKERS[pack](b""))
    assert read(data.Compressed(path)) == b""


@pytest.mark.parametrize("pack", PACKERS)
def test_truncated_compressed_files_are_named(tmp_path: Path, pack: str) -> None:
    path = tmp_path / "cut"
    whole = PACKERS[pack](CONTENT)
    for keep in (len(whole) - 3, len(whole) // 2, 11):
        path.write_bytes(whole[:keep])
        with pytest.raises(FileFormatError, match="cut is"):
            read(data.Compressed(path))


@pytest.mark.parametrize("content", [b"", b"plain", b"BZh is how a text may begin", b"\x1f"])
def test_what_is_not_compressed_is_refused_unless_it_may_be_plain(content: bytes) -> None:
    with pytest.raises(FileFormatError, match="not compressed"):
        data.Compressed(data.Memory(content)).open()
    assert read(data.Compressed(data.Memory(content), required=False)) == content


@pytest.mark.parametrize("kind", ARCHIVES)
def test_members_of_archives_are_read(tmp_path: Path, kind: str) -> None:
    for source in (data.Memory(ARCHIVES[kind]), data.File(tmp_path / "archive")):
        (tmp_path / "archive").write_bytes(ARCHIVES[kind])
        member = data.Member(source, "inner/b.txt")
        assert member.exists()
        assert read(member) == CONTENT
        assert read(member) == CONTENT
        assert member.fingerprint() != data.Member(source, "a.txt").fingerprint()
        missing = data.Member(source, "c.txt")
        assert not missing.exists()
        with pytest.raises(InputError, match=r"no file 'c.txt'") as caught:
            missing.open()
        assert caught.value.expected == "a.txt, inner/b.txt"


@pytest.mark.parametrize("kind", ARCHIVES)
def test_truncated_archives_are_named(kind: str) -> None:
    whole = ARCHIVES[kind]
    for keep in (1, 100, len(whole) // 2, len(whole) * 9 // 10 if kind != "tar" else 512 + 512):
        with pytest.raises(FileFormatError, match="cut"):
            read(data.Member(data.Memory(whole[:keep], "cut"), "a.txt"))


def test_a_wrong_checksum_in_a_zip_file_is_damage() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", CONTENT)
    with pytest.raises(FileFormatError, match="bad/a is damaged"):
        read(data.Member(data.Memory(out.getvalue().replace(b"\n100\n", b"\n101\n"), "bad"), "a"))


@pytest.mark.parametrize("kind", ARCHIVES)
def test_whole_archives_are_unpacked(tmp_path: Path, kind: str) -> None:
    where = tmp_path / "new" / "folder"
    files = data.extract_all(data.Memory(ARCHIVES[kind]), where)
    assert files == [where / "a.txt", where / "inner" / "b.txt"]
    assert [file.read_bytes() for file in files] == [b"first", CONTENT]
    assert sorted(path.name for path in where.rglob("*")) == ["a.txt", "b.txt", "inner"]
    with pytest.raises(FileFormatError, match="too large"):
        data.extract_all(data.Memory(ARCHIVES[kind]), where, limit=1000)


def zip_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "../../etc/passwd")
    return out.getvalue()


@pytest.mark.parametrize(
    "archive",
    [
        *(
            pack({"good": b"", name: b"x"})
            for pack in (zipped, tarred)
            for name in ("../out", "a/../../out", "/out", "C:/out")
        ),
        tarred({"good": b"", "a\\..\\out": b"x"}),
        tarred({"good": b""}, special("link", tarfile.SYMTYPE, "../out")),
        tarred({"good": b""}, special("link", tarfile.SYMTYPE, "/etc/passwd")),
        tarred({"good": b""}, special("link", tarfile.LNKTYPE, "../out")),
        tarred({"good": b""}, special("link", tarfile.SYMTYPE, "link")),
        tarred({"good": b""}, special("d", tarfile.DIRTYPE), special("link", tarfile.SYMTYPE, "d")),
        tarred({"good": b""}, special("device", tarfile.CHRTYPE)),
        tarred({"good": b""}, special("pipe", tarfile.FIFOTYPE)),
        tarred({"good": b"", "good/inside": b""}),
        zip_link(),
    ],
)
def test_what_would_leave_the_folder_is_refused_before_anything_is_written(tmp_path: Path, archive: bytes) -> None:
    with pytest.raises(FileFormatError, match="not unpacked"):
        data.extract_all(data.Memory(archive), tmp_path / "inner" / "folder")
    assert list(tmp_path.iterdir()) == []


def test_links_within_an_archive_become_copies(tmp_path: Path) -> None:
    archive = tarred(
        {"d/good": b"x"}, special("d/soft", tarfile.SYMTYPE, "good"), special("hard", tarfile.LNKTYPE, "d/good")
    )
    files = data.extract_all(data.Memory(archive), tmp_path)
    assert [(file.name, file.read_bytes(), file.is_symlink()) for file in files] == [
        ("good", b"x", False),
        ("soft", b"x", False),
        ("hard", b"x", False),
    ]


def test_a_link_in_the_folder_is_not_followed_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "d").symlink_to(tmp_path / "outside")
    with pytest.raises(FileFormatError, match="not unpacked"):
        data.extract_all(data.Memory(tarred({"d/a": b"x"})), tmp_path / "folder")
    assert list((tmp_path / "outside").iterdir()) == []


def test_what_is_no_archive_is_refused() -> None:
    for content in (b"", CONTENT):
        with pytest.raises(FileFormatError, match="no archive"):
            data.Member(data.Memory(content), "a").open()
