"""Who is timed, and what each of them needs to be installed."""

from __future__ import annotations

import fnmatch
import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A library, or a way to use one.

    Attributes:
        key: what the command line calls it.
        name: in tables.
        packages: that it imports.
        commands: that it runs.
    """

    key: str
    name: str
    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Where its programs are: a module with ``version()``, ``has(workload)`` and ``program(workload, threads)``."""
        return f"benchmarks.peers.{self.key}"

    def missing(self) -> list[str]:
        """What it needs and is not there."""
        packages = [package for package in self.packages if importlib.util.find_spec(package) is None]
        return packages + [command for command in self.commands if shutil.which(command) is None]


OURS = Peer("sigma", "sigmagraph")
FAST = Peer("sigma_fast", "fast mode")  # no peer: it is compared with exact mode alone
PEERS = (
    Peer("torch_eager", "PyTorch", ("torch",)),
    Peer("torch_compiled", "torch.compile", ("torch",), ("g++",)),
    Peer("xla", "JAX", ("jax", "jaxlib")),
    Peer("onnx_runtime", "ONNX Runtime", ("onnx", "onnxruntime")),
    Peer("open_vino", "OpenVINO", ("onnx", "openvino")),
    Peer("tiny_grad", "tinygrad", ("tinygrad",), ("clang",)),
    Peer("plain_numpy", "NumPy"),
)
GPU = Peer("sigma_cuda", "sigmagraph")
GPU_PEERS = (
    Peer("torch_cuda", "PyTorch", ("torch",)),
    Peer("torch_cuda_compiled", "torch.compile", ("torch", "triton")),
    Peer("xla_cuda", "JAX", ("jax", "jaxlib")),
)


def available(
    patterns: Sequence[str], ours: Peer = OURS, peers: Sequence[Peer] = PEERS
) -> tuple[list[Peer], list[str]]:
    """Our own programs and the peers that patterns name, as far as they are installed; a line for each that is not."""
    wanted = [peer for peer in peers if any(fnmatch.fnmatch(peer.key, pattern) for pattern in patterns)]
    lines = [f"{p.name} is left out: {' and '.join(lacks)} not installed" for p in wanted if (lacks := p.missing())]
    return [ours, *(peer for peer in wanted if not peer.missing())], lines


def named(key: str) -> Peer:
    """The peer of a key."""
    return next(peer for peer in (OURS, FAST, GPU, *PEERS, *GPU_PEERS) if peer.key == key)
