"""Trains a network: a compiled step for every batch, a verdict after every epoch, hooks in between."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from typing import Any, TypeVar

from sigmagraph.data.batches import Batches
from sigmagraph.data.dataset import Batch, Dataset
from sigmagraph.data.prefetch import prefetch
from sigmagraph.errors import AttributeValueError, IdentifierError, TrainingStateError
from sigmagraph.initialisers import Initialiser
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.options import CompileOptions
from sigmagraph.program import CompiledFunction
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.tensor.tensor import Parameter
from sigmagraph.training.attachments import Attachments
from sigmagraph.training.checkpoints import Checkpoint, CheckpointFolder, read_checkpoint, write_checkpoint
from sigmagraph.training.contract import contract, dataset_entries
from sigmagraph.training.control import Control, State
from sigmagraph.training.course import Course, Epoch, History
from sigmagraph.training.evaluation import Evaluation, Evaluator
from sigmagraph.training.firing import Firing, OnError
from sigmagraph.training.hook import Hook
from sigmagraph.training.interrupts import Interrupts
from sigmagraph.training.network import Network
from sigmagraph.training.operators.crew import Crew, Outcome, Task
from sigmagraph.training.operators.operator import Operator, as_operator
from sigmagraph.training.progress import Progress
from sigmagraph.training.registry import Registry
from sigmagraph.training.run_folder import RunFolder
from sigmagraph.training.seeds import Seeds
from sigmagraph.training.snapshot import restored, snapshot
from sigmagraph.training.timing import TimeScale

T = TypeVar("T")
_LOG = logging.getLogger("sigmagraph.training")
VALIDATION = "validation"

__all__ = ["Epoch", "History", "State", "Trainer"]
