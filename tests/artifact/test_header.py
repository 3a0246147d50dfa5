from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sigmagraph.artifact.header import header_text
from sigmagraph.artifact.identifiers import argument_names, c_names
from sigmagraph.dims import Dim
from sigmagraph.dtypes import F16, F32, F64, DType
from sigmagraph.errors import GraphError
from sigmagraph.ir.interface import CUDA, OWN_ERRORS, STATUS_TEXTS, Function, Interface, Status, Stored
from sigmagraph.ir.plan import Port, Requirement

BATCH = Dim("batch")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Wcast-qual", "-Werror"]
C = ["gcc", *WARNINGS, "-Wstrict-prototypes", "-Wmissing-prototypes"]
CPP = ["g++", "-x", "c++", *WARNINGS, "-Wold-style-cast", "-Wuseless-cast"]
gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")
gpp = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing")


def function(name: str, dims: str, inputs: list[Port], outputs: list[Port], first: int, **more: object) -> Function:
    names = tuple(dims.split())
    settings = {"requirements": (), "checks": (), "updates": (), "arena": 64 * BATCH} | more
    return Function(name, names, tuple(inputs), tuple(outputs), first_error=first, **settings)  # type: ignore[arg-type]


def interface(name: str = "toy", threads: int = 1) -> Interface:
    """Names and texts that C takes badly, all element types, no dims, many dims."""
    least = Requirement(">=", BATCH, 1, "%5 = reshape */ // ??/ in größe\n\\")
    pixels = Port("pixels", F32, (BATCH, 8, 8))
    scalars = [Port(f"{dtype}", dtype, ()) for dtype in DType]
    odd = [
        "int",
        "class",
        "x.y",
        "x_y",
        "2nd",
        "größe",
        "state",
        "arena",
        "NULL",
        "int64_t",
        "stdin",
        f"{name}_options",
    ]
    many = [Port(text, dtype, (BATCH, 3)) for text, dtype in zip(odd, [*DType, F32, F32], strict=True)]
    functions = (
        function("predict", "batch", [pixels], [Port("scores", F32, (BATCH, 10))], 100, requirements=(least,)),
        function("step", "batch", scalars, [Port("cost", F32, ())], 101, updates=("w",), checks=("$ and @", "no")),
        function("odd", "batch int x.y template", many, [Port("pixels", F64, (BATCH,))], 103),
        function("constant", "", [], [Port("y", F16, ())], 103),
    )
    stored = (Stored("w", F32, (784, 10), 0),)
    return Interface(name, "0.1", "x86_64-unknown-linux-gnu", ("x86-64",), threads, functions, stored, 31424, False)


def on_device() -> Interface:
    """The same for a GPU."""
    return replace(interface("gpu"), triple=CUDA, levels=("sm_80",))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs that include two headers: twice, without files and then with them, and never with them."""
    folder = tmp_path_factory.mktemp("headers")
    (folder / "toy.h").write_text(header_text(interface(threads=4)), "ascii")
    (folder / "other.h").write_text(header_text(replace(interface("other"), embedded=True)), "ascii")
    (folder / "gpu.h").write_text(header_text(on_device()), "ascii")
    use = "return gpu_state_load(s, p) + gpu_selftest() + gpu_predict(s, s, 1, 0, 0) + toy_state_load(s, p) + other_state_save(s, p) + toy_selftest() + toy_predict(s, s, 1, 0, 0);"
    for name in ("a", "b"):
        (folder / f"{name}.c").write_text(
            '#define TOY_NO_STDLIB\n#include "toy.h"\n#include "other.h"\n#include "gpu.h"\n#include "toy.h"\n#undef TOY_NO_STDLIB\n'
            f'#include "toy.h"\n#include "gpu.h"\nint32_t {name}(void *s, const char *p);\nint32_t {name}(void *s, const char *p) {{ {use} }}\n'
        )
    (folder / "c.c").write_text(
        '#define TOY_NO_STDLIB\n#include "toy.h"\nint32_t c(void);\nint32_t c(void) { return TOY_ERROR_STEP_2; }\n'
    )
    return folder


@gcc
@pytest.mark.parametrize("standard", ["c99", "c11", "c17", "gnu17"])
def test_c_compiles_it_without_a_warning(standard: str, sources: Path) -> None:
    subprocess.run([*C, f"-std={standard}", "-fsyntax-only", "a.c", "b.c", "c.c"], cwd=sources, check=True)


@gpp
@pytest.mark.parametrize("standard", ["c++11", "c++17", "c++20"])
def test_cpp_compiles_it_without_a_warning(standard: str, sources: Path) -> None:
    subprocess.run([*CPP, f"-std={standard}", "-fsyntax-only", "a.c", "b.c", "c.c"], cwd=sources, check=True)


@gcc
def test_without_the_files_nothing_but_types_is_included(sources: Path) -> None:
    done = subprocess.run(["gcc", "-E", "-P", "c.c"], cwd=sources, check=True, capture_output=True, text=True)
    assert "int32_t toy_predict(" in done.stdout
    assert "malloc" not in done.stdout
    assert "toy_state_load" not in done.stdout


@pytest.mark.parametrize("make", [interface, on_device])
def test_the_text_is_ascii_and_always_the_same(make: Callable[[], Interface]) -> None:
    text = header_text(make())
    assert text == header_text(make())
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 125
    assert re.search(r"[ \t]$", text, re.MULTILINE) is None


def test_every_symbol_is_declared_and_has_the_name_before_it() -> None:
    for made in (interface(), interface(threads=2)):
        text = header_text(made)
        assert [s for s in made.symbols if not re.search(rf"^TOY_API [^;]*\b{s}\(", text, re.MULTILINE)] == []
        assert sorted(re.findall(r"^TOY_API [^;]*?\b(toy_\w+)\(", text, re.MULTILINE)) == sorted(made.symbols)
        assert ("toy_threads_start" in made.symbols) is (made.threads > 1)
    text = header_text(on_device())
    assert sorted(re.findall(r"^GPU_API [^;]*?\b(gpu_\w+)\(", text, re.MULTILINE)) == sorted(on_device().symbols)


def test_codes_have_names_and_texts() -> None:
    made = interface()
    codes = dict(re.findall(r"^    TOY_(\w+) = (\d+),? /\* ", header_text(made), re.MULTILINE))
    common = {"OK" if s is Status.OK else f"ERROR_{s.name}": str(int(s)) for s in Status}
    assert codes == common | {"ERROR_PREDICT_1": "100", "ERROR_STEP_1": "101", "ERROR_STEP_2": "102"}
    assert all(text in header_text(made) for text in STATUS_TEXTS.values())
    assert len(codes) == len(STATUS_TEXTS) + len(made.own_errors)
    assert "TOY_ERROR_STEP_1 = 101, /* $ and @ */" in header_text(made)
    assert made.functions[1].first_error == OWN_ERRORS + 1


def test_functions_say_what_they_take_and_give() -> None:
    text = header_text(interface())
    assert "    input   pixels: f32[batch, 8, 8]\n *     output  scores: f32[batch, 10]\n" in text
    assert "toy_predict(const void *state, void *arena, int64_t batch, const float *pixels, float *scores);" in text
    assert "toy_step(void *state, void *arena, int64_t batch, uint16_t f16, uint16_t bf16, float f32," in text
    assert "toy_constant(const void *state, void *arena, uint16_t *y);" in text
    assert "toy_constant_arena_size(void);" in text
    assert "x_y: f64" not in text
    assert "x_y_2: f32[batch, 3] (there called x.y)" in text


@gcc
def test_the_example_at_the_top_compiles(sources: Path) -> None:
    for name in ("toy", "other", "gpu"):
        lines = re.findall(r"^ \*     (.*)$", (sources / f"{name}.h").read_text().partition("*/")[0], re.MULTILINE)
        assert len(lines) == 5
        body = "\n".join(["int64_t batch = 1;", "static float pixels[64], scores[10];", *lines])
        (sources / "example.c").write_text(f'#include "{name}.h"\nint main(void) {{\n{body}\nreturn 0;\n}}\n')
        subprocess.run([*C, "-std=c99", "-fsyntax-only", "example.c"], cwd=sources, check=True)


def test_names_for_c() -> None:
    assert c_names(["x", "x.y", "x-y", "class", "_class", "7", "", "x", "x"], ["x_y"]) == (
        "x", "x_y_2", "x_y_3", "class_", "class_2", "v7", "value", "x_2", "x_3",
    )  # fmt: skip
    names = argument_names(interface(), interface().functions[2])
    assert names[:4] == ("batch", "int_", "x_y", "template_")
    assert len(set(names)) == len(names)
    assert not {"state", "arena", "options"} & set(names)


@pytest.mark.parametrize("name", ["", "2d", "a b", "größe", "class", "_x", "a.b"])
def test_an_artifact_needs_a_name_of_c(name: str) -> None:
    with pytest.raises(GraphError, match="an artifact cannot be called so"):
        header_text(interface(name))


@pytest.mark.parametrize("name", ["state_size", "selftest", "error", "options", "odd_with", "constant"])
def test_two_things_of_one_name_are_refused(name: str) -> None:
    made = interface()
    twice = replace(made.functions[0], name=name)
    with pytest.raises(GraphError, match="two things of an artifact have one name"):
        header_text(replace(made, functions=(*made.functions, twice)))
    with pytest.raises(GraphError, match="a function cannot be called so"):
        header_text(replace(made, functions=(replace(twice, name="a-b"),)))


# A library whose state is one number, and whose file is that number and then anything.
_LIBRARY = """
#include "toy.h"
#include <string.h>
size_t toy_state_file_size(void) { return 4; }
int32_t toy_state_write(const void *s, void *b, size_t n) { return n < 4 ? TOY_ERROR_SIZE : (memcpy(b, s, 4), TOY_OK); }
int32_t toy_state_read(void *s, const void *b, size_t n) {
    size_t i;
    if (n < 4) return TOY_ERROR_FILE;
    for (i = 4; i < n; ++i) if (((const unsigned char *)b)[i] != i % 251) return TOY_ERROR_MODEL;
    return memcpy(s, b, 4), TOY_OK;
}
size_t toy_selftest_size(void) { return 3; }
int32_t toy_selftest_run(void *m, size_t n) { memset(m, 7, n); return n == 3 ? TOY_OK : TOY_ERROR_SIZE; }
int main(int argc, char **argv) {
    int32_t state = 41;
    if (argc != 3 || toy_selftest()) return 99;
    if (!strcmp(argv[1], "save")) return toy_state_save(&state, argv[2]);
    if (toy_state_load(0, argv[2]) != TOY_ERROR_NULL || toy_state_save(&state, 0) != TOY_ERROR_NULL) return 98;
    argc = toy_state_load(&state, argv[2]);
    return argc ? argc : state;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "toy.h").write_text(header_text(interface()), "ascii")
    (folder / "main.c").write_text(_LIBRARY)
    flags = ["-std=c99", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run(["gcc", *flags, "main.c", "-o", "main"], cwd=folder, check=True)
    return folder / "main"


def run(program: Path, word: str, path: Path) -> int:
    done = subprocess.run([program, word, path], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode


@gcc
def test_a_state_goes_to_a_file_and_back(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert run(program, "load", path) == Status.IO
    assert run(program, "save", path) == Status.OK
    assert path.read_bytes() == bytes([41, 0, 0, 0])
    path.write_bytes(bytes([7, 0, 0, 0]))
    assert run(program, "load", path) == 7
    assert run(program, "save", path) == Status.OK
    assert run(program, "load", path) == 41
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


@gcc
@pytest.mark.parametrize("size", [5, 10, 11, 100_000])
def test_files_with_more_in_them_are_read_whole(size: int, program: Path, tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(bytes([9, 0, 0, 0]) + bytes(k % 251 for k in range(4, size)))
    assert run(program, "load", path) == 9
    path.write_bytes(path.read_bytes() + b"\xff")
    assert run(program, "load", path) == Status.MODEL


@gcc
def test_what_cannot_be_written_or_read_is_said_and_leaves_nothing_behind(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert run(program, "save", tmp_path / "absent" / "state") == Status.IO
    path.write_bytes(b"abc")
    assert run(program, "load", path) == Status.FILE
    folder = tmp_path / "folder"
    (folder / "full").mkdir(parents=True)
    assert run(program, "load", folder) == Status.IO
    assert run(program, "save", folder) == Status.IO  # the new file cannot take a folder's place
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "state"]
