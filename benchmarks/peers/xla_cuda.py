"""JAX on the first CUDA device as a peer; products of float32 are those of tf32, unless they have to be exact."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax

from benchmarks.peers import xla
from benchmarks.peers.program import Program
from benchmarks.workloads import Operation, Workload

has = xla.has


def version() -> str:
    """Of JAX, and what it runs on.

    Raises:
        RuntimeError: it finds no CUDA device.
    """
    device = jax.devices()[0]
    if device.platform != "gpu":
        raise RuntimeError(f"JAX finds no CUDA device, only {device.platform}")
    return f"{xla.version()} on {device.device_kind}"


def program(workload: Workload, _threads: int) -> Program:
    """The workload; a step returns at once."""
    exact = isinstance(workload, Operation) and workload.exact
    jax.config.update("jax_default_matmul_precision", "highest" if exact else "tensorfloat32")
    return running(xla.begun(workload))


def running(made: Program) -> Program:
    """A program whose steps return at once, and are waited for at the end of the last one."""
    last: list[Any] = []

    def step() -> None:
        last[:] = [made.step()]

    return replace(made, step=step, finish=lambda: jax.block_until_ready(last))
