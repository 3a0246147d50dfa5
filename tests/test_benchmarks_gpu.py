"""The benchmarks for GPUs do on the CUDA shim what they do on a device, with tiny sizes, and their page says it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cuda_shim
import numpy as np
import pytest
from cuda_pretended import pretended

import sigmagraph as sg
from benchmarks import gpu, gpu_machine, gpu_present, gpu_report, ways
from benchmarks.gpu_epochs import DeviceEpochs
from benchmarks.gpu_worker import DeviceWorker
from benchmarks.gpu_workloads import WORKLOADS, tolerance
from benchmarks.machine import describe
from benchmarks.networks import perceptron
from benchmarks.peers import sigma, sigma_cuda
from benchmarks.peers.registry import GPU, GPU_PEERS, Peer, named
from benchmarks.race import Race, Result, agree, among
from benchmarks.training_race import Turns
from benchmarks.workloads import Operation, Training, Workload
from sigmagraph import layers as L
from sigmagraph.errors import CompileError
from sigmagraph.runtime.devices import Device

TINY: Mapping[str, Workload] = {
    "training": Training("training", perceptron(12, 8, 5), 6),
    "matmul": Operation("matmul", "matmul", ((5, 8), (8, 3)), dtype="bfloat16"),
    "adam": Operation("adam", "adam", ((4, 3), (7,), (4, 3), (7,))),
}


@pytest.fixture(scope="module")
def device() -> Iterator[cuda_shim.HostDriver]:
    if not cuda_shim.available():
        pytest.skip("needs g++")
    with pretended() as driver:
        yield driver


class TinyWorker(DeviceWorker):
    workloads = TINY
    short = 1e-4


class Here:
    """A runner without a process."""

    def __init__(self, key: str, peer: Peer) -> None:
        self.peer = peer
        self.version = "1"
        self._worker = TinyWorker(key, 1)

    def ask(self, **request: Any) -> dict[str, Any]:
        return getattr(self._worker, request.pop("do"))(**request)


@pytest.mark.parametrize("names", [["matmul", "adam"], pytest.param(["training"], marks=pytest.mark.extended)])
def test_workloads_run_on_a_device_and_agree_with_the_processor(device: cuda_shim.HostDriver, names: list[str]) -> None:
    runners = [Here("sigma_cuda", GPU), Here("sigma", GPU_PEERS[0])]
    found = list(among(runners, names, 1, 2, 1e-3, lambda name: 1e-5 if name == "adam" else 1e-2))
    assert [race.workload for race in found] == names
    for race in found:
        assert race.failures == ()
        assert all(result.agrees for result in race.results)
        assert len(race.ours.rounds) == 2
        assert race.ours.kernels
        assert race.ours.memory > 0
        assert race.results[1].kernels == []
    assert device.counts["replays"] > 2 * len(names)


def test_only_small_inputs_come_from_the_host(device: cuda_shim.HostDriver) -> None:
    program = sigma_cuda.program(Operation("gelu", "gelu", ((2000,),)), 1)
    for _ in range(3):
        program.step()
    before = device.counts["uploads"], device.counts["downloads"]
    program.step()
    program.finish()
    assert program.kernels is not None
    program.kernels()
    assert (device.counts["uploads"], device.counts["downloads"]) == before


def test_a_gpu_says_what_it_can(device: cuda_shim.HostDriver) -> None:
    found = gpu_machine.measure(size=4096, repeats=2, calls=2)
    assert (found.name, found.arch, found.slug) == ("the CUDA shim", "sm_80", "gpu-the-cuda-shim")
    assert min(found.copy, found.upload, found.download, found.call, found.queued) > 0
    assert "nvidia-smi" in found.state or "driver_version" in found.state
    assert "the CUDA shim (sm_80): copies" in gpu_report.gpu_line(found)


def test_an_epoch_is_trained_on_a_device(device: cuda_shim.HostDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    def network(*shape: int, seed: int) -> sg.Network:
        return sg.Network("small", L.Input(*shape) + L.Dense(10, name="fc") + L.SoftmaxCrossEntropy(), seed=seed)

    monkeypatch.setattr(ways, "readme_network", network)
    epochs = DeviceEpochs("sigmagraph", 1)
    epochs.load(None, 6, 4)
    for way in ("resident", "shuffled"):
        epochs.begin(way, way, 3)
        assert [epochs.go(way, part, 2)["batches"] for part in range(2)] == [1, 1]
        assert epochs.accuracy(way)["accuracy"] >= 0 or way == "resident"
        epochs.end(way)
    epochs._folder.cleanup()


# Slow where nothing else imports PyTorch; what differs on a device is where tensors are.
@pytest.mark.extended
@pytest.mark.filterwarnings("ignore")
def test_pytorch_computes_the_same() -> None:
    if named("torch_cuda").missing():
        pytest.skip("torch is not installed")
    torch_cuda = importlib.import_module("benchmarks.peers.torch_cuda")
    for workload in TINY.values():
        ours, theirs = sigma.program(workload, 1), torch_cuda.program(workload, 1, "cpu")
        a, b = ([np.asarray(x).astype(float).ravel() for x in p.certain()] for p in (ours, theirs))
        assert agree([x.tolist() for x in b], [x.tolist() for x in a], 1e-2)
        theirs.step()
        theirs.finish()


# ---- the page


GPU_FOUND = gpu_machine.Gpu("GPU X", "sm_90", "driver 1", 1000.0, 20.0, 10.0, 20e-6, 5e-6)


def raced(name: str, *times: tuple[Peer, float]) -> Race:
    made = [Result(peer.name, "1", 0.1, True, rounds=[[seconds]], others=[0.0]) for peer, seconds in times]
    made[0].kernels.append(0.5 * times[0][1])
    return Race(name, 1, tuple(made))


def page() -> str:
    ours, torch = named("sigma_cuda"), named("torch_cuda")
    found = [
        raced("matmul 1024 tf32", (ours, 2e-3), (torch, 1e-3)),
        raced("softmax 4096 x 1024", (ours, 100e-6), (torch, 200e-6)),
    ]
    turns = Turns([[0.001, 0.003]], [600], accuracy=0.9)
    epochs = {"resident": Turns([[0.001]], [600]), "shuffled": turns}
    lines = ["JAX is left out: jax not installed"]
    record = gpu_report.record(describe(), GPU_FOUND, found, {"train X": "it broke"}, epochs, lines, "2020-01-01")
    return gpu_report.document(json.loads(json.dumps(record)))


def test_the_page_has_rates_and_ratios() -> None:
    text = page()
    assert "GPU X (sm_90): driver 1" in text
    assert "take 1000 GB/s" in text
    assert "takes 20.0 us" in text
    row = "| matmul 1024 tf32 | 2 | 1 | 2.15 TFLOP/s |  | PyTorch | **0.50** (0.50 - 0.50) | 1 | 0.10 |"
    assert row in text
    assert (
        "| softmax 4096 x 1024 | 0.1 | 0.05 | 671 GB/s | 67% | PyTorch | **2.00** (2.00 - 2.00) | 0.2 | 0.10 |" in text
    )
    assert "| trainer | 1.200 (0.600 - 1.800) | 2.000 | 90.0% |" in text
    assert "| resident | 0.600 (0.600 - 0.600) | 1.000 |  |" in text
    assert "- train X: it broke\n- JAX is left out" in text
    assert "{" not in text


def test_parts_of_a_run_are_put_together() -> None:
    pair = ((named("sigma_cuda"), 1e-3), (named("torch_cuda"), 2e-3))
    first = [raced(name, *pair) for name in ("matmul 512 f32", "matmul 1024 f32")]
    second = [
        raced("softmax 4096 x 1024", *pair),
        raced("matmul 512 f32", (named("sigma_cuda"), 2e-3), (named("torch_cuda"), 1e-3)),
    ]
    epochs = {"resident": Turns([[0.001]], [600])}
    records = [
        gpu_report.record(describe(), GPU_FOUND, found, broken, trained, lines, "2020-01-01")
        for found, broken, trained, lines in (
            (first, {"softmax 4096 x 1024": "broke", "matmul 512 bf16": "broke"}, epochs, ["no time"]),
            (second, {"matmul 1024 f32": "broke"}, {}, []),
        )
    ]
    both = gpu_report.joined(*records)
    assert [race["workload"] for race in both["races"]] == ["softmax 4096 x 1024", "matmul 512 f32"]
    assert both["races"][1]["results"]["sigmagraph"]["median_ms"] == 2.0
    assert both["broken"] == {"matmul 512 bf16": "broke", "matmul 1024 f32": "broke"}
    assert (both["epochs"], both["left_out"]) == (records[0]["epochs"], [])
    assert gpu_report.joined({}, records[0]) == records[0]


def test_lines_have_the_same() -> None:
    race = raced("softmax 4096 x 1024", (named("sigma_cuda"), 100e-6), (named("torch_cuda"), 200e-6))
    line = gpu_report.race_line(race, GPU_FOUND)
    assert line.split() == [
        *["softmax", "4096", "x", "1024"],
        *["2.00", "671", "GB/s", "sigmagraph", "0.1", "PyTorch", "0.2", "kernels", "0.05"],
    ]


# ---- the command


class Breaking:
    """A field of which sigmagraph breaks at one workload."""

    def __init__(self) -> None:
        self.left_out: list[str] = []
        self.ended = 0

    def runners(self) -> list[Any]:
        return [self]

    def end(self) -> None:
        self.ended += 1

    peer, version = GPU, "1"

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        if do == "measure":
            return {"times": [1.0], "others": 0.0, "kernels": [0.5]}
        if request["workload"] == "matmul 512 f32":
            return {"failed": "DeviceError: no"}
        return {"results": [[1.0]], "compile_seconds": 0.0, "note": "", "memory": 1}


def test_a_workload_that_breaks_does_not_end_a_run() -> None:
    field, broken = Breaking(), dict[str, str]()
    names = ["matmul 512 f32", "matmul 1024 f32"]
    (found,) = gpu.races(field, names, 1, 0.0, broken, float("inf"))  # type: ignore[arg-type]
    assert found.workload == names[1]
    assert broken == {names[0]: f"{names[0]}: sigmagraph fails: DeviceError: no"}
    assert field.ended == 1
    assert list(gpu.races(field, names, 1, 0.0, broken, 0.0)) == []  # type: ignore[arg-type]
    assert field.left_out == [f"no time was left for {', '.join(names)}"]


def test_without_a_device_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["gpu"])
    monkeypatch.setattr(gpu, "missing", lambda: ("cuda: PyCUDA is not installed",))
    with pytest.raises(SystemExit, match="no CUDA device to measure on: cuda: PyCUDA is not installed"):
        gpu.main()


def test_what_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def nothing() -> str:
        raise CompileError("no", got="neither NVRTC nor nvcc")

    monkeypatch.setattr(gpu_present, "missing", lambda: ("cuda: the CUDA driver finds no device",))
    monkeypatch.setattr(gpu_present, "compiler_name", nothing)
    with pytest.raises(SystemExit, match="cuda: the CUDA driver finds no device; compiler: neither NVRTC nor nvcc"):
        gpu_present.main()
    monkeypatch.setattr(gpu_present, "missing", tuple)
    monkeypatch.setattr(gpu_present, "compiler_name", lambda: "nvrtc 13.0")
    monkeypatch.setattr(gpu_present, "devices", lambda: (Device("cpu", "C"), Device("cuda:0", "G")))
    gpu_present.main()
    assert capsys.readouterr().out == "cuda:0: G\ncompiled by nvrtc 13.0\n"


def test_tolerances_are_those_of_the_types() -> None:
    assert {tolerance(name) for name in WORKLOADS} == {1e-3, 1e-2}
