"""Hooks: what happens at certain events of a training, and the criteria that say where."""

from sigmagraph.training.hooking.criteria import (
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
from sigmagraph.training.hooking.hook import Hook, LambdaHook, Moment, hook
from sigmagraph.training.hooking.timing import TimeScale, TimeStep, after, every
from sigmagraph.training.hooks.accumulate import Accumulate
from sigmagraph.training.hooks.accuracy import Accuracy, BinaryAccuracy
from sigmagraph.training.hooks.change import Modify, ValueChange
from sigmagraph.training.hooks.checkpoint import Checkpoint, Restore
from sigmagraph.training.hooks.confusion import ConfusionMatrix
from sigmagraph.training.hooks.csv_log import CsvLog
from sigmagraph.training.hooks.maximise import Maximise
from sigmagraph.training.hooks.metrics import Metric, UpdateRatio, mean, norm, sparsity, std
from sigmagraph.training.hooks.pass_network import PassNetwork
from sigmagraph.training.hooks.report import Position, Report
from sigmagraph.training.hooks.running_time import ReportTime, RunningTime
from sigmagraph.training.hooks.schedule import ReduceOnPlateau, Schedule
from sigmagraph.training.hooks.stopping import EarlyStop, Stop
from sigmagraph.training.hooks.tensorboard import TensorBoard

__all__ = [
    "Accumulate",
    "Accuracy",
    "And",
    "BinaryAccuracy",
    "Changed",
    "Checkpoint",
    "ConfusionMatrix",
    "Criterion",
    "CsvLog",
    "EarlyStop",
    "External",
    "Extremum",
    "Hook",
    "LambdaHook",
    "Maximise",
    "Metric",
    "Modify",
    "Moment",
    "Not",
    "Or",
    "PassNetwork",
    "Position",
    "ReduceOnPlateau",
    "Repeated",
    "Report",
    "ReportTime",
    "Restore",
    "RunningTime",
    "Schedule",
    "Stop",
    "TensorBoard",
    "Threshold",
    "TimeScale",
    "TimeStep",
    "UpdateRatio",
    "ValueChange",
    "after",
    "every",
    "hook",
    "mean",
    "norm",
    "sparsity",
    "std",
]
