from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import cli

GRAPH = """sigmagraph 1
# a comment
graph @scale(%x: input f32[n,3], %rate: input f32[], %w: param f32[3])
    -> (y: %2, w: %4 updates %w) {
  %0 = broadcast(%w) {shape = [n, 3]} : f32[n,3]
  %1 = neg(%x) : f32[n,3]
  %2 = mul(%1, %0) : f32[n,3]
  %3 = broadcast(%rate) {shape = [3]} : f32[3]
  %4 = mul(%w, %3) : f32[3]
}
"""


class Result:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command line in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["sigmagraph", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Result(int(caught.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph in a file."""
    path = tmp_path / "scale.sg"
    path.write_text(GRAPH)
    return path


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, Path]:
    """Files for its input and its parameter."""
    out = {}
    for name, array in {
        "x": np.arange(6, dtype=np.float32).reshape(2, 3),
        "w": np.array([1, 2, 4], np.float32),
    }.items():
        out[name] = tmp_path / f"{name}.npy"
        np.save(out[name], array)
    return out


def test_show_prints_a_text_that_shows_the_same(command, graph: Path, tmp_path: Path) -> None:
    shown = command("show", graph)
    assert shown.code == 0
    assert "graph @scale(%x: input f32[n,3]" in shown.out
    again = tmp_path / "again.sg"
    again.write_text(shown.out)
    assert command("show", again).out == shown.out


def test_show_points_at_the_error(command, graph: Path) -> None:
    graph.write_text(GRAPH.replace("neg(%x)", "neg(%z)"))
    shown = command("show", graph)
    assert shown.code == 1
    assert re.search(r"error: .*scale\.sg:6:12: ", shown.err)
    assert "\n             ^\n" in shown.err
    assert "Traceback" not in shown.err


def test_opt_runs_the_passes_that_are_named(command, graph: Path) -> None:
    done = command("opt", graph, "-p", "decompose,cse,dce,fuse", "--time-passes", "--print-after", "cse")
    assert done.code == 0
    assert "fusion @" in done.out
    assert done.err.count("# after") == 1
    assert "# after 2: cse" in done.err
    assert re.search(r"^fuse +\d+\.\d\d +\d+", done.err, re.MULTILINE)


def test_opt_stops_where_it_is_told(command, graph: Path) -> None:
    done = command("opt", graph, "-p", "decompose,cse,fuse", "--stop-after", 2, "--print-after", "all")
    assert re.findall(r"# after (\d)", done.err) == ["1", "2"]
    assert "fusion @" not in done.out


def test_opt_writes_a_file_that_runs_the_same(command, graph: Path, arrays: dict[str, Path], tmp_path: Path) -> None:
    better = tmp_path / "better.sg"
    assert command("opt", graph, "-p", "standard", "-o", better).out == ""
    given = ["--input", f"x={arrays['x']}", "--input", f"w={arrays['w']}", "--input", "rate=0.5"]
    for source, folder in ((graph, tmp_path / "a"), (better, tmp_path / "b")):
        assert command("run", source, *given, "--output-dir", folder).code == 0
    for name in ("y", "w"):
        np.testing.assert_array_equal(np.load(tmp_path / "a" / f"{name}.npy"), np.load(tmp_path / "b" / f"{name}.npy"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("-p", "cse,nonsense"), "there is no such pass"), (("--print-after", "nonsense"), "there is no such pass")],
)
def test_opt_refuses_what_is_no_pass(command, graph: Path, arguments: tuple[str, ...], message: str) -> None:
    done = command("opt", graph, *arguments)
    assert done.code == 1
    assert message in done.err
    assert "Traceback" not in done.err


def test_run_computes_outputs_and_new_parameters(command, graph: Path, arrays: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    inputs = [f"x={arrays['x']}", f"w={arrays['w']}", "rate=0.5"]
    done = command("run", graph, *(a for i in inputs for a in ("--input", i)), "--output-dir", out)
    assert (done.code, done.err) == (0, "")
    np.testing.assert_array_equal(np.load(out / "y.npy"), [[0, -2, -8], [-3, -8, -20]])
    np.testing.assert_array_equal(np.load(out / "w.npy"), [0.5, 1, 2])
    assert sorted(path.name for path in out.iterdir()) == ["w.npy", "y.npy"]


def test_run_takes_fast_mode(command, graph: Path, arrays: dict[str, Path]) -> None:
    given = ("-i", f"x={arrays['x']}", "-i", f"w={arrays['w']}", "-i", "rate=2")
    assert command("run", graph, *given, "--fast").out == command("run", graph, *given).out


def test_run_prints_without_a_folder(command, graph: Path, arrays: dict[str, Path]) -> None:
    done = command("run", graph, "-i", f"x={arrays['x']}", "-i", f"w={arrays['w']}", "-i", "rate=2")
    assert "y: float32[2, 3]" in done.out
    assert "w: float32[3]\n[2. 4. 8.]" in done.out


def test_run_names_what_is_wrong_with_the_inputs(command, graph: Path, arrays: dict[str, Path], tmp_path: Path) -> None:
    x, w = f"x={arrays['x']}", f"w={arrays['w']}"
    text, several = tmp_path / "text.npy", tmp_path / "several.npz"
    text.write_text("no array")
    np.savez(several, a=np.zeros(3))
    truncated = tmp_path / "truncated.npy"
    truncated.write_bytes(arrays["x"].read_bytes()[:-4])
    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.array([{}]), allow_pickle=True)
    for inputs, code, message in [
        ((x, w), 1, "'rate' is missing"),
        ((x, w, "rate=1", "z=1"), 1, "no input 'z'"),
        ((x, x, w, "rate=1"), 1, "'x' is given twice"),
        ((x, "w=1", "rate=1"), 1, "the parameter 'w' has another shape"),
        ((w, "x=1", "rate=1"), 1, "the input 'x'"),
        ((x, w, "rate"), 2, "NAME=FILE.npy"),
        ((x, w, f"rate={tmp_path / 'nowhere.npy'}"), 1, "cannot be read"),
        ((x, w, f"rate={text}"), 1, "cannot be used"),
        ((x, w, f"rate={pickled}"), 1, "cannot be used"),
        ((x, w, f"rate={several}"), 1, "cannot be used"),
        ((x, w, f"rate={truncated}"), 1, "cannot be used"),
    ]:
        done = command("run", graph, *(a for i in inputs for a in ("--input", i)))
        assert done.code == code, (inputs, done.err)
        assert message in done.err
        assert "Traceback" not in done.err


def test_run_keeps_an_old_result_when_it_cannot_write(
    command, graph: Path, arrays: dict[str, Path], tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("old")
    done = command(
        "run",
        graph,
        "-i",
        f"x={arrays['x']}",
        "-i",
        f"w={arrays['w']}",
        "-i",
        "rate=1",
        "--output-dir",
        blocked / "sub",
    )
    assert done.code == 1
    assert "cannot be written" in done.err
    assert blocked.read_text() == "old"


def test_files_that_are_no_text_are_named(command, tmp_path: Path) -> None:
    binary = tmp_path / "binary.sg"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "is no text" in command("show", binary).err
    assert "cannot be read" in command("show", tmp_path / "nowhere.sg").err


def test_devices_names_this_machine(command) -> None:
    done = command("devices")
    assert done.code == 0
    assert re.search(r"^cpu .*\d+ threads?$", done.out, re.MULTILINE)


def test_cache_counts_and_clears(
    command, graph: Path, arrays: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGMAGRAPH_CACHE", str(tmp_path / "cache"))
    assert "0 entries, 0 bytes" in command("cache").out
    command("run", graph, "-i", f"x={arrays['x']}", "-i", f"w={arrays['w']}", "-i", "rate=1")
    assert re.search(r": [1-9]\d* entries, [1-9][\d,]+ bytes", command("cache").out)
    assert re.search(r"removed [1-9]\d* entries", command("cache", "--clear").out)
    assert "0 entries" in command("cache").out


def test_wrong_usage_ends_in_code_2(command) -> None:
    for arguments in (("nonsense",), ("show",), ("demo", "--epochs", "-1"), ("opt", "x.sg", "--stop-after", "many")):
        done = command(*arguments)
        assert done.code == 2
        assert "Traceback" not in done.err


def test_the_version_is_that_of_the_package(command) -> None:
    assert command("--version").out.strip() == f"sigmagraph {sg.__version__}"


def test_the_module_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "sigmagraph", "--help"], capture_output=True, text=True, check=True)
    for name in ("demo", "show", "opt", "run", "devices", "cache"):
        assert re.search(rf"\b{name}\b", done.stdout)


@pytest.mark.extended
def test_demo_trains_on_files_in_the_form_of_mnist(command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, records in (("train", 30), ("t10k", 20)):
        images, labels = rng.integers(0, 256, (records, 4, 4), np.uint8), rng.integers(0, 10, records, np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (tmp_path / name).write_bytes(header + array.tobytes())
    done = command("demo", "--data", tmp_path, "--epochs", 1, "--dump", tmp_path / "dump")
    assert done.code == 0, done.err
    for text in ("30 records", "epoch   1", "accuracy", "compile time", "step ", "parameters 3,", "arena", "stages"):
        assert text in done.out
    assert (tmp_path / "dump" / "index.html").is_file()
    assert (tmp_path / "dump" / "00_captured.sg").is_file()


def test_demo_names_what_is_missing(command, tmp_path: Path) -> None:
    done = command("demo", "--data", tmp_path)
    assert done.code == 1
    assert "train-images-idx3-ubyte" in done.err


def test_every_dumped_stage_shows_itself_and_runs_the_same(command, tmp_path: Path) -> None:
    n = sg.Dim("n")
    x, w = sg.placeholder("x", (n, 5)), sg.parameter("1-dense.weights", np.eye(5, 4, dtype=np.float32))
    y = sg.softmax(sg.tanh(x @ w + 1.0))
    program = sg.compile([x], {"y": y}, {w: w * 0.5}, name="staged")
    stages = program.dump(tmp_path / "stages")
    values = np.random.default_rng(0).random((3, 5), np.float32)
    np.save(tmp_path / "x.npy", values)
    np.save(tmp_path / "w.npy", w.value)
    expected = program(values)["y"]
    given = ("-i", f"x={tmp_path / 'x.npy'}", "-i", f"1-dense.weights={tmp_path / 'w.npy'}")
    for path in sorted(stages.glob("*.sg*")):
        assert command("show", path).out == path.read_text()
    for path in sorted(stages.glob("*.sg")):
        assert command("run", path, *given, "--output-dir", tmp_path).code == 0
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected, err_msg=path.name)
