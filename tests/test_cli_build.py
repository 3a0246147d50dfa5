"""``sigmagraph build``: artifacts from graphs and from the folders of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import hooks, optimisers
from sigmagraph import layers as L
from sigmagraph.artifact.link import linkers
from sigmagraph.artifact.targets import artifact_target
from sigmagraph.cli import main
from sigmagraph.codegen.llvm.compile import processor
from sigmagraph.errors import FileFormatError, InputError
from sigmagraph.options import Target
from sigmagraph.training.portable import read_training

pytestmark = pytest.mark.skipif(
    not linkers(artifact_target(processor(Target()).triple)), reason="there is no linker: cc, ld or ziglang"
)

GRAPH = """sigmagraph 1
graph @scale(%x: input f32[3], %w: param f32[3]) -> (y: %1) {
  %1 = mul(%x, %w) : f32[3]
}
"""


def build(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["sigmagraph", "build", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr("sys.argv", ["sigmagraph", "build", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    return capsys.readouterr().err


@pytest.fixture
def network() -> sg.Network:
    return sg.Network("net", L.Input(4) + L.Dense(6) + L.Dropout(0.2) + L.Dense(3) + L.SoftmaxCrossEntropy())


def trained(network: sg.Network, folder: Path) -> sg.Trainer:
    rng = np.random.default_rng(0)
    data = sg.data.Dataset(rng.standard_normal((20, 4)).astype(np.float32), rng.integers(0, 3, 20).astype(np.int32))
    trainer = sg.Environment("e", seed=1).trainer("t", network, optimiser=optimisers.Adagrad(0.1), data=data.batches(5))
    trainer.add(hooks.Checkpoint(folder, every="1 epoch"))
    trainer.run(epochs=2, bar=False, lines=False)
    return trainer


def test_the_folder_of_a_run_becomes_a_training(
    network: sg.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = trained(network, tmp_path / "run")
    arguments = (tmp_path / "run", "-o", tmp_path / "dist", "--name", "net", "--cpu", "native")
    build(monkeypatch, *arguments, "--hyperparameter", "*rate")
    said = capsys.readouterr().out
    assert "passed its own test here" in said
    assert str(tmp_path / "dist" / "net.h") in said
    artifact = sg.load(tmp_path / "dist")
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(artifact.predict(x)["prediction"], network.predict(x))
    names = [port.name for port in artifact.train_step.function.inputs]
    assert names == ["inputs", "targets", "2-dropout.rate", "optimiser.learning_rate"]
    values = artifact.train_step(x, [0, 1, 2], 0.2, 0.1)
    expected = trainer.step(x, np.array([0, 1, 2], np.int32), *trainer.hyperparameters.values())
    assert values["cost"] == expected["cost"]
    # The very files that the trainer itself exports, but for lines of the user's program.
    direct = sg.export(tmp_path / "direct", name="net", trainer=trainer, cpu="native", hyperparameters=["*rate"])
    assert direct.interface.symbols == artifact.interface.symbols
    assert direct.interface.stored == artifact.interface.stored


def test_a_graph_becomes_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.sg").write_text(GRAPH)
    assert "'w' is missing" in refused(monkeypatch, capsys, tmp_path / "model.sg", "-o", tmp_path / "dist")
    from safetensors.numpy import save_file

    save_file({"w": np.array([1, 2, 3], np.float32)}, tmp_path / "w.safetensors")
    build(monkeypatch, tmp_path / "model.sg", "-o", tmp_path / "dist", "--state", tmp_path / "w.safetensors")
    found = sg.load(tmp_path / "dist").scale(x=np.full(3, 2, np.float32))
    np.testing.assert_array_equal(found["y"], [2, 4, 6])
    assert not (tmp_path / "nothing").exists()
    assert "cannot be read" in refused(monkeypatch, capsys, tmp_path / "nothing.sg")


def test_damaged_programs_are_refused(network: sg.Network, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trained(network, folder)
    latest = sg.CheckpointFolder(folder / "checkpoints").latest()
    listed = folder / "programs" / "programs.json"
    whole = listed.read_text()
    for text in ("{", "[]", "{}", whole.replace("sigmagraph programs 1", "other"), whole.replace('"stored"', '"else"')):
        listed.write_text(text)
        with pytest.raises(FileFormatError):
            read_training(folder, latest)
    listed.write_text(whole.replace("network/3-dense.weights", "network/other"))
    with pytest.raises(FileFormatError, match="not one of this run"):
        read_training(folder, latest)
    listed.write_text(whole)
    read_training(folder, latest)
    (folder / "programs" / "predict.sg").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        read_training(folder, latest)
    listed.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        read_training(folder, latest)


def test_sizes_that_are_usual_reach_the_programs(
    network: sg.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(network, tmp_path / "run")
    found = []

    def export_portable(_folder: Path, portable: Any, **_: Any) -> Any:
        found.append({name: dict(source.options.hints) for name, source in portable.programs.items()})
        raise InputError("enough is known")

    monkeypatch.setattr("sigmagraph.exporter.export_portable", export_portable)
    refused(monkeypatch, capsys, tmp_path / "run")
    refused(monkeypatch, capsys, tmp_path / "run", "--hint", "batch=64")
    plain, hinted = found
    assert plain == {"predict": {}, "evaluate": {}, "train_step": {"batch": 5}}  # what the trainer's batches have
    assert hinted == {name: {"batch": 64} for name in plain}
    for wrong in ("batch", "batch=0", "batch=many", "=3"):
        assert f"got: {wrong}" in refused(monkeypatch, capsys, tmp_path / "run", "--hint", wrong)
    assert "no program has the dim 'rows'" in refused(monkeypatch, capsys, tmp_path / "run", "--hint", "rows=3")
