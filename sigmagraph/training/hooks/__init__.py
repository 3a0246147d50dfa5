"""Hooks: what happens at certain events of a training, and the criteria that say where."""

from sigmagraph.training.criteria import (
    And,
    Changed,
    Criterion,
    External,
    Extremum,
    Not,
    Or,
    Repeated,
    Threshold,
)
from sigmagraph.training.hook import Hook, LambdaHook, Moment, hook
from sigmagraph.training.hooks.accumulate import Accumulate
from sigmagraph.training.hooks.accuracy import Accuracy, BinaryAccuracy
from sigmagraph.training.hooks.confusion import ConfusionMatrix
from sigmagraph.training.hooks.metrics import Metric, UpdateRatio, mean, norm, sparsity, std
from sigmagraph.training.hooks.report import Position, Report
from sigmagraph.training.hooks.running_time import ReportTime, RunningTime
from sigmagraph.training.timing import TimeScale, TimeStep, after, every

__all__ = [
    "Accumulate",
    "Accuracy",
    "And",
    "BinaryAccuracy",
    "Changed",
    "ConfusionMatrix",
    "Criterion",
    "External",
    "Extremum",
    "Hook",
    "LambdaHook",
    "Metric",
    "Moment",
    "Not",
    "Or",
    "Position",
    "Repeated",
    "Report",
    "ReportTime",
    "RunningTime",
    "Threshold",
    "TimeScale",
    "TimeStep",
    "UpdateRatio",
    "after",
    "every",
    "hook",
    "mean",
    "norm",
    "sparsity",
    "std",
]
