"""Makes a library of an object file, by a linker of the machine's or by that of the ``ziglang`` wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sigmagraph.artifact.formats import LibraryFile, inspect_library
from sigmagraph.artifact.targets import ArtifactTarget
from sigmagraph.errors import CompileError

HINT = 'pip install "sigmagraph[cross]"'
_TIMEOUT = 600  # seconds
_WASM_PAGE = 1 << 16
_WASM_STACK = 1 << 18
_OBJECT = "code.o"


@dataclass(frozen=True, slots=True)
class Linker:
    """A program that links.

    Attributes:
        name: for readers.
        command: how it is called, before its arguments.
        driver: whether it is a compiler that hands arguments on to a linker.
    """

    name: str
    command: tuple[str, ...]
    driver: bool = False


@dataclass(frozen=True, slots=True)
class Linked:
    """What came of an object file.

    Attributes:
        files: what was written, the library first.
        linker: who made it; empty where nobody did.
        seconds: how long that took.
        why: why there is no library, and what to do about it; empty where there is one.
        found: what the library, or else the object, says of itself.
    """

    files: tuple[Path, ...]
    linker: str
    seconds: float
    why: str
    found: LibraryFile

    @property
    def library(self) -> Path | None:
        """The library, if there is one."""
        return None if self.why else self.files[0]


def linkers(target: ArtifactTarget) -> tuple[Linker, ...]:
    """The linkers for a target that this machine has, the preferred one first."""
    if target.kind == "bare":
        return ()
    programs = {"elf": ["ld.lld"], "pe": ["lld-link"], "wasm": ["wasm-ld"], "macho": []}[target.kind]
    own = ["ld", "cc"] if target.kind == "elf" and target.loadable else []
    found = [(name, shutil.which(name)) for name in (*own, *([target.linker] if target.linker else []), *programs)]
    made = [Linker(name, (path,), driver=name == "cc") for name, path in found if path]
    if importlib.util.find_spec("ziglang"):
        sub = {"elf": "ld.lld", "pe": "lld-link", "wasm": "wasm-ld", "macho": "build-lib"}[target.kind]
        made.append(Linker(f"ziglang {sub}", (sys.executable, "-m", "ziglang", sub)))
    return tuple(made)


def link(
    code: bytes,
    target: ArtifactTarget,
    exports: Sequence[str],
    folder: Path,
    name: str,
    *,
    threads: int = 1,
    memory: int = 0,
    using: Sequence[Linker] | None = None,
) -> Linked:
    """Write a library into a folder; equal input gives equal bytes, wherever the folder is.

    Args:
        code: the object file.
        target: what it is for.
        exports: the symbols that others shall see; the object has to define them.
        folder: where files go; it is there.
        name: of the artifact.
        threads: with more than one, functions of the C library may be missing, which the program that loads it has.
        memory: bytes that a WebAssembly module has from the beginning; 0 for what it needs itself. It can grow.
        using: linkers, of which the first is used; ``None`` for those of this machine.

    Raises:
        CompileError: the linker refuses, or what it made is not as it should be.
    """
    if target.kind == "bare":
        return _collect(code, target, exports, folder, name)
    known = linkers(target) if using is None else using
    if not known:
        path = _write(folder / f"{name}.o", code)
        why = f"this machine has no linker for {target.machine} ({target.kind}); {HINT} brings one"
        return Linked((path,), "", 0.0, why, inspect_library(code))
    begin = time.perf_counter()
    made = _run(known[0], code, target, exports, name, threads, memory)
    seconds = time.perf_counter() - begin
    found = _checked(made[0][1], target, exports, known[0], threads)
    files = tuple(_write(folder / file, data) for file, data in made)
    return Linked(files, known[0].name, seconds, "", found)


def _write(path: Path, data: bytes) -> Path:
    """Put a file in its place as a whole: a process may be running what was there before."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    return part.replace(path)


def _collect(code: bytes, target: ArtifactTarget, exports: Sequence[str], folder: Path, name: str) -> Linked:
    """For machines without a system: the object, and an archive of it."""
    found = inspect_library(code)
    _complete(found, exports, "LLVM")
    archive = _write(folder / target.library(name), static_library(code, exports))
    return Linked((archive, _write(folder / f"{name}.o", code)), "sigmagraph", 0.0, "", found)


def static_library(code: bytes, symbols: Sequence[str]) -> bytes:
    """An ``ar`` archive of one object file, with the index of symbols that linkers ask for (System V's form)."""
    names = b"".join(symbol.encode() + b"\0" for symbol in symbols)
    size = 4 * (len(symbols) + 1) + len(names)
    at = 8 + 60 + size + size % 2
    index = struct.pack(f">{len(symbols) + 1}I", len(symbols), *[at] * len(symbols)) + names
    return b"!<arch>\n" + _member("/", index) + _member(f"{_OBJECT}/", code)


def _member(name: str, data: bytes) -> bytes:
    """Name, time, owner, group, mode and size, in columns; members begin at even places."""
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(data):<10}`\n"
    return header.encode() + data + b"\n" * (len(data) % 2)


def _run(
    linker: Linker,
    code: bytes,
    target: ArtifactTarget,
    exports: Sequence[str],
    name: str,
    threads: int,
    memory: int,
) -> list[tuple[str, bytes]]:
    """The files that a linker makes, by name. It works in a folder of its own, so that no path gets into them."""
    library = target.library(name)
    with tempfile.TemporaryDirectory(prefix="sigmagraph-") as place:
        here = Path(place)
        (here / _OBJECT).write_bytes(code)
        if target.kind == "elf":
            shown = "".join(f"{symbol};" for symbol in exports)
            (here / "exports").write_text("{" + f"global:{shown}local:*;" + "};\n", "ascii")
            arguments = _elf(linker, target, library, undefined=threads > 1)
        elif target.kind == "pe":
            arguments = _pe(target, library, exports, name)
        elif target.kind == "wasm":
            arguments = _wasm(library, exports, memory)
        else:
            arguments = _macho(target, library, name)
        if linker.driver:
            arguments = ["-shared", "-nostdlib", *(part for a in arguments for part in ("-Xlinker", a))]
        _call(linker, arguments, here)
        made = [library, *([f"{name}.lib"] if target.kind == "pe" else [])]
        return [(path, (here / path).read_bytes()) for path in made]


def _call(linker: Linker, arguments: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # a linker, without a shell
            [*linker.command, *arguments],
            cwd=folder,
            env=_surroundings(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompileError("the linker does not work", expected=linker.name, got=str(error)) from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").replace(str(folder), ".").strip()
        raise CompileError(f"{linker.name} does not link the library", got=said or f"exit status {done.returncode}")


def _surroundings() -> dict[str, str] | None:
    """Variables for a linker: some, like LD_RUN_PATH, would get into the library. Windows needs its own."""
    return {"PATH": os.pathsep.join(os.get_exec_path()), "LC_ALL": "C"} if os.name == "posix" else None


def _elf(linker: Linker, target: ArtifactTarget, library: str, undefined: bool) -> list[str]:
    # GNU's linkers fill files up to a page of the greatest size for it: 64 kB on aarch64.
    protected = "lld" in linker.name or target.machine != "aarch64"
    settings = ["-m", target.mode, "-shared", "-soname", library, "-Bsymbolic", "--gc-sections", "--hash-style=gnu"]
    settings += ["--build-id=none", "--version-script=exports", "--strip-all", "--no-eh-frame-hdr"]
    settings += ["-z", "noexecstack", "-z", "relro" if protected else "norelro", "-z", "now", "-z", "noseparate-code"]
    return [*settings, *([] if undefined else ["--no-undefined"]), "-o", library, _OBJECT]


def _pe(target: ArtifactTarget, library: str, exports: Sequence[str], name: str) -> list[str]:
    settings = ["/nologo", "/dll", "/noentry", "/nodefaultlib", f"/machine:{target.mode}", "/brepro", "/opt:ref"]
    # Code with floats names this for the sake of Microsoft's C library; what it stands for is not looked at.
    settings += [f"/alternatename:_fltused={exports[0]}"]
    return [*settings, *(f"/export:{e}" for e in exports), f"/out:{library}", f"/implib:{name}.lib", _OBJECT]


def _wasm(library: str, exports: Sequence[str], memory: int) -> list[str]:
    settings = ["--no-entry", "--gc-sections", "--strip-all", "--stack-first", "-z", f"stack-size={_WASM_STACK}"]
    settings += ["--export=__heap_base", *(f"--export={symbol}" for symbol in exports)]
    if memory:
        settings.append(f"--initial-memory={-(-memory // _WASM_PAGE) * _WASM_PAGE}")
    return [*settings, "-o", library, _OBJECT]


def _macho(target: ArtifactTarget, library: str, name: str) -> list[str]:
    settings = ["-dynamic", "-target", target.zig, "-fno-compiler-rt", "-fno-ubsan-rt", "-fstrip", "-dead_strip"]
    settings += ["-O", "ReleaseSmall", "-install_name", f"@rpath/{library}", "--name", name]
    caches = ["--cache-dir", "cache", "--global-cache-dir", "cache"]
    return [*settings, *caches, f"-femit-bin={library}", _OBJECT]


def _checked(data: bytes, target: ArtifactTarget, exports: Sequence[str], linker: Linker, threads: int) -> LibraryFile:
    """What a library says of itself, which has to be what was asked for."""
    found = inspect_library(data)
    if (found.kind, found.machine) != (target.kind, target.machine):
        raise CompileError(
            f"{linker.name} made something else",
            expected=f"{target.kind} for {target.machine}",
            got=f"{found.kind} for {found.machine}",
        )
    _complete(found, exports, linker.name)
    # What every library for macOS names; it is in every process there.
    own = ("/usr/lib/libSystem.B.dylib", "dyld_stub_binder") if target.kind == "macho" else ()
    others = [name for name in (*found.needed, *(found.undefined if threads == 1 else ())) if name not in own]
    if others:
        raise CompileError("the library needs others", expected="none", got=", ".join(others))
    return found


def _complete(found: LibraryFile, exports: Sequence[str], who: str) -> None:
    known = frozenset(found.exports)
    missing = [symbol for symbol in exports if symbol not in known]
    if missing:
        raise CompileError(f"{who} left out functions", expected="the symbols of the header", got=", ".join(missing))
