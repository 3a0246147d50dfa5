"""The benchmarks run with sigmagraph alone, peers agree where they are installed, and a part of a run writes nothing."""

from __future__ import annotations

import dataclasses
import importlib
import math
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import compilation, report, roofline, training_system
from benchmarks.costs import Costs, dependencies
from benchmarks.floors import Floors
from benchmarks.images import images
from benchmarks.machine import describe
from benchmarks.networks import (
    BatchNorm,
    Convolution,
    Dense,
    MaxPool,
    MeanPool,
    Network,
    Relu,
    Sum,
    character_lstm,
    gpt,
    lenet,
    lstm,
    perceptron,
    readme,
    resnet18,
)
from benchmarks.peers import sigma
from benchmarks.peers.registry import PEERS, Peer, available
from benchmarks.race import Race, Result, agree, consensus
from benchmarks.training_race import Found, Turns
from benchmarks.ways import WAYS, Subject
from benchmarks.workloads import KINDS, WORKLOADS, Inference, Operation, Training, Workload

ROOT = Path(__file__).resolve().parent.parent


def bench(*arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- what is timed


def test_names_are_unique_and_every_workload_has_a_limit() -> None:
    for workload in WORKLOADS.values():
        assert bool(workload.flops) != bool(workload.bytes)
        assert not isinstance(workload, Operation) or workload.kind in KINDS


@pytest.mark.parametrize(
    ("network", "flops"),
    [
        (perceptron(784, 128, 10), 2 * (784 * 128 + 128 * 10)),
        (lenet(), 2 * (24 * 24 * 25 * 20 + 8 * 8 * 25 * 20 * 50 + 800 * 500 + 500 * 10)),
        (resnet18(224, 1000), 2 * 1_814_073_344),  # as published, less biases and normalisations
        (lstm(64, 128, 128), 2 * 64 * 4 * 128 * 256),
    ],
)
def test_operations_are_those_of_the_products(network: Network, flops: int) -> None:
    assert network.flops(3) == 3 * flops


def test_parameters_are_always_the_same() -> None:
    first, second = (resnet18(64, 10).parameters() for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert all(array.dtype == np.float32 for array in first.values())
    assert all((array > 0).all() for name, array in first.items() if name.endswith(".variance"))


# ---- peers


RESIDUAL = Network(
    (9, 9, 3),
    (
        *(Convolution("stem", 4, 3, 2, 1, bias=False), BatchNorm("norm"), Relu(), MaxPool(3, 2, 1)),
        Sum((Convolution("main", 6, 3, 2, 1),), (Convolution("around", 6, 1, 2),)),
        *(Sum((Relu(),)), MeanPool(), Dense("fc", 4)),
    ),
)
TINY: tuple[Workload, ...] = (
    Training("train perceptron", perceptron(12, 8, 5), 6),
    Training("train with dropout", dataclasses.replace(readme(), shape=(20,)), 4, "adagrad", 0.01),
    Training("train LSTM", character_lstm(5, 11, 8, 6), 3),
    Training("train residual", RESIDUAL, 3),
    Inference("infer residual", RESIDUAL, 2),
    Inference("infer LSTM", lstm(5, 6, 8), 2),
    Inference("infer GPT", gpt(6, 11, 8, 2, 1), 2),
    Inference("infer LeNet", lenet(), 2),
    *(
        Operation(kind, kind, shapes)
        for kind, shapes in {
            "matmul": ((5, 7), (7, 3)),
            "convolution": ((1, 6, 6, 4), (3, 3, 4, 8)),
            "attention": ((1, 2, 8, 4),) * 3,
            "causal_attention": ((1, 2, 8, 4),) * 3,
            "softmax": ((5, 8),),
            "layer_norm": ((5, 8), (8,), (8,)),
            "layer_norm_gradients": ((5, 8), (8,), (8,), (5, 8)),
            "gelu": ((9,),),
            "bias_gelu": ((5, 8), (8,)),
            "sum": ((9,),),
            "sum_rows": ((5, 8),),
            "sum_columns": ((5, 8),),
            "adam": ((5, 8), (5, 8)),
        }.items()
    ),
)


@cache  # all peers are compared with ours
def numbers(module: Any, workload: Workload) -> list[list[float]]:
    """What is compared, of three steps."""
    program = module.program(workload, 1)
    steps = [program.certain() for _ in range(3)]
    program.step()
    return [np.asarray(array).ravel().tolist() for step in steps for array in step]


def test_tiny_workloads_cover_all_kinds() -> None:
    assert {w.kind for w in TINY if isinstance(w, Operation)} == set(KINDS)


# Compiling by torch.compile takes too long for a test; its programs are those of eager PyTorch.
@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.key != "torch_compiled"], ids=lambda peer: peer.key)
@pytest.mark.filterwarnings("ignore")
def test_peers_agree(peer: Peer) -> None:
    if peer.missing():
        pytest.skip(f"{', '.join(peer.missing())} is not installed")
    module = importlib.import_module(peer.module)
    shared = [w for w in TINY if module.has(w)]
    assert shared
    assert [w.name for w in shared if not agree(numbers(module, w), numbers(sigma, w))] == []


def test_missing_packages_are_said() -> None:
    here, lines = available(["plain_*"])
    assert [peer.key for peer in here] == ["sigma", "plain_numpy"]
    assert lines == []
    assert Peer("x", "X", ("no_such_package",), ("no-such-command",)).missing() == [
        "no_such_package",
        "no-such-command",
    ]


# ---- judging


def test_who_disagrees_with_most_is_not_ranked() -> None:
    right, close, wrong = [[1.0, 2.0]], [[1.0, 2.0001]], [[1.0, 3.0]]
    assert agree(right, close)
    assert not agree(right, wrong)
    assert not agree(right, [[1.0, math.nan]])
    assert not agree(right, [*right, *right])
    assert consensus([wrong, right, close]) == right
    race = raced(("sigmagraph", True, 2.0), ("fast and wrong", False, 1.0), ("slow", True, 4.0), ("slower", True, 6.0))
    assert race.fastest is race.results[2]
    assert race.ours.lead(race.results[2]) == 2.0  # above 1 sigmagraph is ahead
    assert raced(("sigmagraph", False, 2.0), ("slow", True, 4.0)).fastest is None


def raced(*results: tuple[str, bool, float]) -> Race:
    made = (Result(name, "1", 0.0, agrees, rounds=[[ms / 1e3]], others=[0.0]) for name, agrees, ms in results)
    return Race("matmul 64 x 64 x 64", 1, tuple(made))


def test_the_page_has_ratios_marks_and_means() -> None:
    races = [raced(("sigmagraph", True, 2.0), ("PyTorch", True, 1.0), ("JAX", False, 0.5))]
    pairs = [raced(("sigmagraph", True, 3.0), ("fast mode", True, 2.0))]
    memory = {"workload": "w", "state": 10**5, "ours": 10**6, "remat": 8 * 10**5, "theirs": 2 * 10**6}
    costs = Costs(100.0, 0.2, 0.3, 1.0, 0.1, 5.0, 1.0, [memory])
    record = report.record(describe(), [Floors(1, 100.0, 10.0)], races, pairs, costs, "2020-01-01")
    page = report.document(record)
    row = next(line for line in page.splitlines() if line.startswith("| matmul"))
    assert [cell.strip() for cell in row.split("|")][2:9] == [
        *("2", "0.262 GFLOP/s", "0%", "PyTorch", "**0.50** (0.50 - 0.50)", "1", "0.5*")
    ]
    assert "| geometric mean |  |  |  |  | **0.50** | 0.50 |" in page
    assert "above 1 sigmagraph is ahead" in page
    assert "| matmul 64 x 64 x 64 | 1 | 3 | 2 | **1.50** (1.50 - 1.50) | 0 | 0 |" in page


def test_dependencies_are_those_of_the_core() -> None:
    found = dependencies("sigmagraph")
    assert {"llvmlite", "numpy", "typer"} <= found
    assert not {"torch", "mypy"} & found


# ---- the commands


@pytest.mark.extended
def test_a_part_of_the_benchmarks_runs() -> None:
    page = ROOT / "docs" / "benchmarks.md"
    before = page.stat().st_mtime_ns if page.exists() else 0
    arguments = ("--threads", "1", "--rounds", "1", "--seconds", "0.01", "--peers", "plain_numpy")
    out = bench("benchmarks", "--only", "matmul 100 x *", *arguments)
    (line,) = [line for line in out.splitlines() if line.startswith("  matmul 100 x")]
    assert "sigmagraph" in line
    assert "NumPy" in line
    assert "other results" not in line
    assert "GFLOP/s in multiply-adds" in out
    assert "geometric means: operations" in out
    assert before == (page.stat().st_mtime_ns if page.exists() else 0)


def test_kernels_are_timed_one_by_one() -> None:
    found = roofline.roofline("infer MLP b64", 1, rounds=2)
    assert found.work.flops >= WORKLOADS["infer MLP b64"].flops
    assert found.work.bytes > found.floor > 4 * 64 * 784
    assert all(line.seconds >= 0 for line in found.lines)
    assert found.call > 0
    assert "in kernels" in roofline.table(found, Floors(1, 100.0, 10.0))


def test_loops_count_all_their_turns() -> None:
    found = roofline.roofline("infer LSTM b1", 1, rounds=1)
    loops = [line for line in found.lines if line.name.startswith("in a loop: ")]
    assert len(loops) > 1
    assert all(line.launches % 64 == 0 for line in loops)
    assert max(line.work.flops for line in loops) > 64 * 2 * 128 * 512
    page = roofline.document({"infer LSTM b1": found}, Floors(1, 100.0, 10.0), "2020-01-01")
    assert all(f"| {line.name} |" in page for line in found.lines)
    assert "2020-01-01" in page


def test_compiling_is_split_into_stages() -> None:
    found = compilation.split(compilation.STEPS["perceptron of 4"])
    assert found.nodes > found.kernels > 0
    assert min(found.passes, found.lowered, found.written, found.native) > 0
    page = compilation.document({"perceptron of 4": found}, "2020-01-01")
    assert f"| perceptron of 4 | {found.nodes} | {found.kernels} |" in page
    assert {name for name, w in WORKLOADS.items() if isinstance(w, Training)} <= compilation.STEPS.keys()


def test_a_limit_is_what_takes_longer() -> None:
    limits = Floors(1, 100.0, 10.0)
    assert roofline.Work(100, 1).limit(limits) == "compute"
    assert roofline.Work(100, 100).limit(limits) == "memory"
    assert roofline.Work(100, 100).least(limits) == 100 / 10e9


# ---- the training system


@pytest.mark.extended
def test_ways_to_train_go_through_an_epoch(tmp_path: Path) -> None:
    subject = Subject(images(None, 60, 30), 10, 1, tmp_path)
    assert set(subject.images.held_out.targets) <= set(range(10))
    ways = {name: WAYS[name](subject) for name in ("bare", "shuffled", "dealt, streamed")}
    for way in ways.values():
        assert [way.go(part, 3) for part in range(3)] == [2, 2, 2]
    assert 0 <= ways["shuffled"].accuracy() <= 1
    assert math.isnan(ways["bare"].accuracy())
    if not Peer("torch", "torch", ("torch",)).missing():
        theirs = importlib.import_module("benchmarks.peers.torch_epochs").WAYS["shuffled"](subject)
        assert agree([theirs.costs()], [ways["shuffled"].costs()])
        assert theirs.go(0, 3) == 2


def test_an_epoch_is_the_sum_of_its_parts() -> None:
    ours, theirs = Turns([[0.1, 0.3], [0.2, 0.2]], [2, 1]), Turns([[0.2, 0.6], [0.4, 0.6]], [2, 1])
    assert ours.epochs == pytest.approx([0.4, 0.8])
    assert ours.epoch == pytest.approx(0.6)
    assert theirs.over(ours) == pytest.approx(2.0)


def test_the_page_of_the_training_system_has_all_figures() -> None:
    def turns(step: float) -> Turns:
        return Turns([[step]], [600], [0.0], 0.8)

    found = Found("images", 60_000, 10_000, 573e9, {"PyTorch": "2"}, [0.5, 1.0], {2: Floors(2, 200.0, 20.0)})
    found.epochs[2] = {"shuffled": turns(0.01), "hooks": turns(0.011), "PyTorch": turns(0.02)}
    steps = {"bare": 0.01, "in order": 0.0102, "shuffled": 0.0103, "streamed": 0.0104, "dealt": 1e-4}
    found.added[2] = {name: turns(step) for name, step in steps.items()} | {"dealt, streamed": turns(2e-4)}
    found.workers = {name: turns(0.01) for name in ("one worker", "gradients", "every 10", "epoch")}
    found.sizes[50] = {"shuffled": turns(0.005)}
    found.microseconds, found.checkpoint = {"none": 50.0, "two": 60.0}, {"bytes": 1e6, "write": 0.01, "resume": 0.02}
    page = training_system.document(found, describe(), "2020-01-01", 1)
    assert "| 2 | 2.87 | 6.00 (6.00 - 6.00) | 96 | 6.60 (6.60 - 6.60) | +10.0 % | 12.00" in page
    assert "| **2.00** | 80.0 % | 80.0 % |" in page
    assert "| 2 | 10.00 | +2.0 % | +3.0 % | +4.0 % | 1.0 % | 2.0 % |" in page
    assert "| 50 | 5.00 | 100.0 |  |  |" in page
    assert "{" not in page
