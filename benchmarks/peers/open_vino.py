"""OpenVINO's CPU plugin in float32, as a peer for predictions and operations."""

from __future__ import annotations

import time
from typing import Any

import openvino

from benchmarks.networks import Array
from benchmarks.peers import onnx_models
from benchmarks.peers.program import Program
from benchmarks.workloads import Workload

has = onnx_models.has


def version() -> str:
    """Of OpenVINO, without the commit."""
    return str(openvino.__version__).partition("-")[0]


def program(workload: Workload, threads: int) -> Program:
    """The workload on a number of threads; inputs are bound once, without copies."""
    model, inputs = onnx_models.model(workload)
    begin = time.perf_counter()
    core = openvino.Core()
    options: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
    }
    compiled = core.compile_model(core.read_model(model), "CPU", options)
    request = compiled.create_infer_request()
    seconds = time.perf_counter() - begin
    for number, array in enumerate(inputs.values()):
        request.set_input_tensor(number, openvino.Tensor(array, shared_memory=True))

    def step(_kept: object = (inputs, compiled)) -> None:  # what is bound must outlive the function
        request.infer()

    def certain() -> list[Array]:
        step()
        return [onnx_models.channels_last(workload, request.get_output_tensor(0).data.copy())]

    return Program(step, certain, seconds)
