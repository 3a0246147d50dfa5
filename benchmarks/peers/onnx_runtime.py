"""ONNX Runtime on its CPU provider, all optimisations of graphs on, as a peer for predictions and operations."""

from __future__ import annotations

import time

import onnxruntime

from benchmarks.peers import onnx_models
from benchmarks.peers.program import Program
from benchmarks.workloads import Workload

has = onnx_models.has


def version() -> str:
    """Of ONNX Runtime."""
    return str(onnxruntime.__version__)


def program(workload: Workload, threads: int) -> Program:
    """The workload on a number of threads; inputs stay NumPy arrays."""
    model, inputs = onnx_models.model(workload)
    begin = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    seconds = time.perf_counter() - begin
    names = [result.name for result in session.get_outputs()]
    return Program(
        lambda: session.run(names, inputs),
        lambda: [onnx_models.channels_last(workload, y) for y in session.run(names, inputs)],
        seconds,
    )
