"""Every example runs, in a folder of its own, and says what it should."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sparse import some

EXAMPLES = Path(__file__).parents[1] / "examples"
SAYS = {
    "autodiff": (
        "symmetric: True",
        r"from differences: \de-(0[89]|1\d)|from differences: \d\.\de-(0[89]|1\d)",
        "backwards: True",
    ),
    "autoencoder": ("the first to the second", r"of principal components 0\.02\d\d: [4-6]\d % of it"),
    "breast_cancer": (r"(9[5-9]\.\d|100\.0) % of 142 tumours", r"\d of 47 malignant"),
    "char_lstm": (r"376 steps", r"never seen costs (0\.9|1\.0)\d\d nats, by counting 1\.6"),
    "custom_hook": (
        r"from now on learning rate 0\.002",
        "gradients of the first layer",
        r"held-out digits: 9[3-9]\.\d%",
    ),
    "custom_layer": (r"gates have come to be open by .*8-highway", r"held-out digits: 9[5-9]"),
    "data_pipeline": (
        r"1600 records to learn from, 400 held out",
        r"never seen: (8[5-9]|9\d)",
        r"filled with 12[45]\.\d",
    ),
    "digits": ("perfect 3", "the saved network predicts the same: True", r"accuracy after \d+ epochs: 9[789]"),
    "dream": ("10 of 10 digits reached their cost", "taken for: 0 1 2 3 4 5 6 7 8 9"),
    "iris": (r"lengths from \[4\.3", r"(9[3-9]\.\d|100\.0)% of 45 plants"),
    "lenet": (r"epoch  20 .* accuracy (98\.[3-9]|99)", "that was taken for a"),
    "logistic_regression": ("second derivative", r"accuracy on 359 held-out digits: (8[5-9]|9\d)"),
    "network_merging": (r"their mean: +9[5-9]", r"four workers: +9[4-9]\.\d %, cpu:4, merged every epoch, 276"),
    "newton": (r"the last logarithms over those before: (1\.9|2\.0|2\.1)", r"accuracy on 359 held-out digits 9[5-9]"),
    "physics": (r"greatest distance from the exact solution: 0\.00",),
    "polynomial_fit": (r"greatest distance from sin\(3 x\): 0\.0",),
    "residual_mlp": ("13-dense", "accuracy 9"),
    "small_gpt": (r"502 steps", r"never seen costs 1\.[12]\d\d nats, by counting 1\.6"),
    "symbolic": (r"batch 7: loss", "the text reads back: True", "every stage: dump"),
    "tic_tac_toe": (
        r"9[89]\.\d% of 5478 positions",
        r"1[78]\d won, \d+ drawn, [0-3] lost",
        r"20 drawn, 0 lost|1[89] drawn",
    ),
    "two_inputs_two_costs": (r"look +f32", r"the sum is right in 9\d\.\d %, the order in 9[6-9]"),
    "xor": (r"stopped after \d+ epochs at a cost of 0\.00", r"1 xor 0 = 0\.9\d\d, which is 1"),
}


def test_every_example_is_listed() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(SAYS)


# The others take longer; what they show of layers and training is in shorter tests too.
SHORT = ("autodiff", "custom_hook", "digits", "polynomial_fit", "xor")
NAMES = some(tuple(SAYS), SHORT)


def run(*command: str | Path, cwd: Path) -> str:
    """What a command says, if it ends well."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_example(name: str, tmp_path: Path) -> None:
    said = run(sys.executable, "-W", "error", EXAMPLES / f"{name}.py", cwd=tmp_path)
    for text in SAYS[name]:
        assert re.search(text, said), said


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler: cc")
@pytest.mark.extended
def test_the_exported_network_goes_on_training_in_c(tmp_path: Path) -> None:
    said = run(sys.executable, "-W", "error", EXAMPLES / "embed" / "export.py", cwd=tmp_path)
    commands = re.findall(r"^(?:compile|run) it: (.*)$", said, re.MULTILINE)
    for command in commands:
        said = run(*command.split(), cwd=tmp_path)
    epochs = re.findall(r"^epoch \d: loss (.*), accuracy (.*)$", said, re.MULTILINE)
    assert len(epochs) == 5, said
    assert float(epochs[-1][0]) < 0.7 * float(epochs[0][0])
    assert float(epochs[-1][1]) >= 0.94
    exported, trained = (tmp_path / "runs" / "embed" / f"{name}.safetensors" for name in ("digits", "trained"))
    assert len(trained.read_bytes()) == len(exported.read_bytes())
    assert trained.read_bytes() != exported.read_bytes()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node: node")
@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason='needs pip install "sigmagraph[cross]"')
@pytest.mark.extended
def test_the_exported_network_trains_as_webassembly_and_the_page_shows_it(tmp_path: Path) -> None:
    run(sys.executable, "-W", "error", EXAMPLES / "browser" / "make.py", tmp_path, cwd=tmp_path)
    lines = run("node", tmp_path / "train.mjs", tmp_path, "3", cwd=tmp_path).splitlines()
    epochs = [json.loads(line) for line in lines]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    assert epochs[2]["loss"] < 0.4 * epochs[0]["loss"]
    assert epochs[2]["accuracy"] >= 0.9

    page = json.loads(run("node", Path(__file__).with_name("page.mjs"), tmp_path, cwd=tmp_path))
    assert page["begun"].startswith("0 epochs;")
    assert page["trained"].startswith("3 epochs;")
    assert page["trained"].removeprefix("3 epochs; ").startswith(f"{100 * epochs[2]['accuracy']:.1f} % of 359")
    assert page["loss"] == f"The loss over epochs: {epochs[2]['loss']:.4f} after 3"
    assert page["captions"] == 30
    assert page["wrong"] == page["marked"] > 0
    assert page["saved"] == len((tmp_path / "digits.safetensors").read_bytes())
    assert page["restarted"] == page["begun"]
    assert page["error"] == ""
    # Without the library the page says so, and offers nothing.
    (tmp_path / "digits.wasm").unlink()
    page = json.loads(run("node", Path(__file__).with_name("page.mjs"), tmp_path, cwd=tmp_path))
    assert page == {"begun": "It stopped.", "error": "digits.wasm cannot be read: 404 Not Found", "disabled": True}
