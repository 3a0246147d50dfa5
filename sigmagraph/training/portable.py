"""What of a network and its training leaves Python: programs, the names of their variables, and what files say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sigmagraph.dtypes import I64
from sigmagraph.errors import GraphError
from sigmagraph.options import CompileOptions
from sigmagraph.program import Source
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.training.network import Network
from sigmagraph.training.snapshot import ITERATION, MEMORY_ONLY, snapshot, variables_of
from sigmagraph.training.storage.checkpoints import texts_of
from sigmagraph.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Portable:
    """What leaves Python.

    Attributes:
        programs: by name.
        variables: everything that they read and write, by name in files.
        metadata: texts in files.
        counter: the variable that counts steps, by name in files; empty for none.
        ignored: what the names of arrays in files begin with that are no variables.
        scalars: values of hyperparameters.
    """

    programs: Mapping[str, Source]
    variables: Mapping[str, Variable]
    metadata: Mapping[str, str]
    counter: str = ""
    ignored: tuple[str, ...] = ()
    scalars: Mapping[str, float] = field(default_factory=dict)


def prediction_of(network: Network) -> Source:
    """The program of :meth:`Network.predict`.

    Raises:
        GraphError: the network gives nothing.
    """
    forward = network.forward(training=False)
    if not forward.predictions:
        raise GraphError(f"the network '{network.name}' gives nothing", expected="an Output", got="a function's None")
    return _source(forward.inputs, forward.predictions, forward.updates, "predict", CompileOptions())


def portable_training(trainer: Trainer) -> Portable:
    """Prediction, evaluation and the training step of a trainer, as it stands.

    Raises:
        GraphError: the network cannot be trained.
    """
    network, options = trainer.network, trainer.crew.task.options or CompileOptions()
    programs = {}
    forward = network.forward(training=False)
    if forward.predictions:
        programs["predict"] = replace(prediction_of(network), options=options)
    if forward.cost is not None:
        programs["evaluate"] = _source(forward.arguments, forward.costs(), {}, "evaluate", options)
    step = network.train_graph(trainer.optimiser, trainer.memory)
    programs["train_step"] = _source(step.inputs, step.outputs, step.updates, "train_step", options)
    count = Variable(ITERATION, I64, (), np.int64(trainer.iteration))
    return Portable(
        programs,
        variables_of(trainer, others=False) | {ITERATION: count},
        texts_of(snapshot(trainer)),
        ITERATION,
        MEMORY_ONLY,
        dict(trainer.hyperparameters),
    )


def _source(
    inputs: Sequence[Tensor],
    outputs: Mapping[str, Tensor],
    updates: Mapping[Tensor, Tensor],
    name: str,
    options: CompileOptions,
) -> Source:
    graph, variables = capture(inputs, outputs, updates, name)
    return Source(graph, variables, options)
