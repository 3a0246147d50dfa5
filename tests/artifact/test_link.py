from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_objects import EXPORTS, PROCESSORS, needy, toy

from sigmagraph.artifact.link import HINT, Linker, link, linkers
from sigmagraph.artifact.targets import artifact_target
from sigmagraph.errors import CompileError, TargetError

HOST = "x86_64-unknown-linux-gnu"
LIBRARIES = [triple for triple in PROCESSORS if "none" not in triple]
here = pytest.mark.skipif(not artifact_target(HOST).loadable, reason="x86-64 Linux libraries are loaded")


def folders(path: Path) -> tuple[Path, Path]:
    made = path / "a", path / "elsewhere" / "b"
    for folder in made:
        folder.mkdir(parents=True)
    return made


@pytest.mark.parametrize("triple", LIBRARIES)
def test_every_linker_gives_equal_libraries_that_offer_what_they_should(triple: str, tmp_path: Path) -> None:
    target = artifact_target(triple)
    known = linkers(target)
    if not known:
        pytest.skip(f"no linker for {triple}")
    first, second = folders(tmp_path)
    for linker in known:
        made = link(toy(triple), target, EXPORTS, first, "toy", using=[linker])
        again = link(toy(triple), target, EXPORTS, second, "toy", using=[linker])
        assert [f.read_bytes() for f in made.files] == [f.read_bytes() for f in again.files]
        assert made.library == first / target.library("toy")
        assert made.linker == linker.name
        assert sorted(f.name for f in first.iterdir()) == sorted(f.name for f in made.files)
        assert (made.found.kind, made.found.machine) == (target.kind, target.machine)
        assert set(EXPORTS) <= set(made.found.exports)
        if target.kind != "macho":  # where all is seen that the object does not hide
            assert set(made.found.exports) - {"memory", "__heap_base"} == set(EXPORTS)
            assert made.found.needed == made.found.undefined == ()
            assert len(made.library.read_bytes()) < 6000


@here
def test_variables_of_the_shell_do_not_get_into_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = artifact_target(HOST)
    if not linkers(target):
        pytest.skip(f"no linker for {HOST}")
    before = link(toy(HOST), target, EXPORTS, tmp_path, "toy").files[0].read_bytes()
    monkeypatch.setenv("LD_RUN_PATH", "/somewhere/else")
    after = link(toy(HOST), target, EXPORTS, tmp_path, "toy").files[0].read_bytes()
    assert after == before
    assert b"/somewhere/else" not in after


def test_a_library_for_macos_is_signed_and_found_beside_its_program(tmp_path: Path) -> None:
    triple = "arm64-apple-macosx11.0.0"
    target = artifact_target(triple)
    if not linkers(target):
        pytest.skip("no linker for macOS")
    made = link(toy(triple), target, EXPORTS, tmp_path, "toy")
    data = made.files[0].read_bytes()
    assert b"@rpath/libtoy.dylib" in data
    assert b"\xfa\xde\x0c\xc0" in data  # the beginning of a signature
    assert made.found.needed == ("/usr/lib/libSystem.B.dylib",)


@here
def test_a_library_is_called(tmp_path: Path) -> None:
    made = link(toy(HOST), artifact_target(HOST), EXPORTS, tmp_path, "toy")
    library = ctypes.CDLL(str(made.library))
    library.toy_nth.restype, library.toy_nth.argtypes = ctypes.c_float, (ctypes.c_int32, ctypes.c_float)
    library.toy_text.restype = ctypes.c_char_p
    assert [library.toy_nth(k, 2.0) for k in range(4)] == [2.0, 4.0, 6.0, 10.0]
    assert library.toy_text() == b"toy"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is missing")
def test_a_module_is_called_and_its_memory_grows(tmp_path: Path) -> None:
    triple = "wasm32-unknown-unknown"
    target = artifact_target(triple)
    if not linkers(target):
        pytest.skip("no linker for WebAssembly")
    made = link(toy(triple), target, EXPORTS, tmp_path, "toy", memory=600_000)
    program = f"""
        const {{toy_nth, memory, __heap_base}} = new WebAssembly.Instance(
            new WebAssembly.Module(require("fs").readFileSync({str(made.library)!r}))).exports;
        const size = memory.buffer.byteLength;
        memory.grow(3);
        console.log(toy_nth(3, 0.5), size, memory.buffer.byteLength - size, __heap_base.value < size);
    """
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2.5", "655360", "196608", "true"]


@pytest.mark.parametrize("triple", ["thumbv7em-none-eabihf", "x86_64-unknown-none-elf"])
def test_without_a_system_there_are_an_object_and_an_archive(triple: str, tmp_path: Path) -> None:
    target = artifact_target(triple)
    first, second = folders(tmp_path)
    made, again = (link(toy(triple), target, EXPORTS, folder, "toy") for folder in (first, second))
    assert [f.name for f in made.files] == ["libtoy.a", "toy.o"]
    assert [f.read_bytes() for f in made.files] == [f.read_bytes() for f in again.files]
    assert made.files[1].read_bytes() == toy(triple)
    assert (made.found.kind, made.found.machine, made.found.undefined) == ("object", target.machine, ())
    assert set(EXPORTS) <= set(made.found.exports)


@here
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")
def test_a_linker_finds_a_function_in_an_archive(tmp_path: Path) -> None:
    triple = "x86_64-unknown-none-elf"
    link(toy(triple), artifact_target(triple), EXPORTS, tmp_path, "toy")
    program = tmp_path / "main.c"
    program.write_text("float toy_nth(int, float); int main(void) { return (int)toy_nth(3, 2.0f); }\n")
    command = ["gcc", "-Wl,--fatal-warnings", program, "-L", tmp_path, "-ltoy", "-o", tmp_path / "main"]
    subprocess.run(command, check=True)
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 10


def test_without_a_linker_there_is_an_object_and_advice(tmp_path: Path) -> None:
    made = link(toy(HOST), artifact_target(HOST), EXPORTS, tmp_path, "toy", using=())
    assert made.library is None
    assert made.files == (tmp_path / "toy.o",)
    assert made.files[0].read_bytes() == toy(HOST)
    assert HINT in made.why
    assert made.linker == ""


@pytest.mark.parametrize(
    "triple", [HOST, "x86_64-pc-windows-msvc", "arm64-apple-macosx11.0.0", "wasm32-unknown-unknown"]
)
def test_what_needs_the_c_library_is_refused(triple: str, tmp_path: Path) -> None:
    target = artifact_target(triple)
    if not linkers(target):
        pytest.skip(f"no linker for {triple}")
    with pytest.raises(CompileError, match=r"pthread_yield|memory"):
        link(needy(triple), target, EXPORTS[:1], tmp_path, "toy")
    assert list(tmp_path.iterdir()) == []


def test_with_threads_the_c_library_is_the_programs(tmp_path: Path) -> None:
    target = artifact_target(HOST)
    if not linkers(target):
        pytest.skip(f"no linker for {HOST}")
    for linker in linkers(target):
        made = link(needy(HOST), target, EXPORTS[:1], tmp_path, "toy", threads=2, using=[linker])
        assert (made.found.needed, made.found.undefined) == ((), ("pthread_yield",))


@pytest.mark.parametrize("triple", ["x86_64-unknown-none-elf", HOST])
def test_what_is_not_there_cannot_be_exported(triple: str, tmp_path: Path) -> None:
    if triple == HOST and not linkers(artifact_target(HOST)):
        pytest.skip(f"no linker for {HOST}")
    with pytest.raises(CompileError, match="toy_absent"):
        link(toy(triple), artifact_target(triple), (*EXPORTS, "toy_absent"), tmp_path, "toy")


def test_a_linker_that_does_not_work_is_named(tmp_path: Path) -> None:
    for command, said in (
        ((str(tmp_path / "absent"),), "No such file"),
        ((sys.executable, "-c", "1/0"), "ZeroDivision"),
    ):
        with pytest.raises(CompileError, match=said) as error:
            link(toy(HOST), artifact_target(HOST), EXPORTS, tmp_path, "toy", using=[Linker("mine", command)])
        assert "mine" in str(error.value)


def test_libraries_have_the_names_of_their_systems() -> None:
    names = {triple: artifact_target(triple).library("toy") for triple in LIBRARIES}
    assert list(names.values()) == ["libtoy.so", "libtoy.so", "libtoy.so", "toy.dll", "libtoy.dylib", "toy.wasm"]


@pytest.mark.parametrize("triple", ["sparc-sun-solaris", "x86_64-unknown-freebsd", "nonsense"])
def test_other_systems_are_refused(triple: str) -> None:
    with pytest.raises(TargetError, match="there are no artifacts"):
        artifact_target(triple)
