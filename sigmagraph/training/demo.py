"""The demo: Sigma.Core's README network learns to read handwritten digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sigmagraph.data.dataset import Dataset
from sigmagraph.data.datasets import digits, mnist
from sigmagraph.dims import Size
from sigmagraph.initialisers import Normal
from sigmagraph.layers.cost import SoftmaxCrossEntropy
from sigmagraph.layers.dense import Dense
from sigmagraph.layers.dropout import Dropout
from sigmagraph.layers.flatten import Flatten
from sigmagraph.layers.ports import Input
from sigmagraph.optimisers.adagrad import Adagrad
from sigmagraph.training.network import Network
from sigmagraph.training.trainer import Trainer

BATCH = 100
EPOCHS, EPOCHS_OF_FILES = 50, 5  # the digits are few, MNIST's files hold tens of thousands


def readme_network(*image: Size, seed: int = 0) -> Network:
    """The network of Sigma.Core's README for images of a shape and ten classes, with Gaussian first values."""
    network = Network(
        "demo",
        Input(*image)
        + Flatten()
        + Dropout(0.2)
        + Dense(1000, activation="relu")
        + Dropout(0.4)
        + Dense(800, activation="relu")
        + Dropout(0.4)
        + Dense(10)
        + SoftmaxCrossEntropy(),
        seed,
    )
    network.initialise("*.weights", Normal(0.1))
    network.initialise("*.biases", Normal(0.05))
    return network


def records(folder: Path | None, seed: int) -> tuple[Dataset, Dataset]:
    """What is learnt from and what is held out: the digits that come with the package, or MNIST's files in a folder.

    Raises:
        InputError, FileFormatError: the folder lacks a file, or one is damaged.
    """
    if folder is not None:
        return mnist(folder)
    train, held_out = digits().split(0.8, 0.2, seed=seed)
    return train, held_out


def run(
    folder: Path | None, epochs: int | None, seed: int, target: str, dump: Path, say: Callable[[str], None]
) -> Trainer:
    """Train the demo, tell ``say`` about it line by line, and write every stage of the training step into ``dump``.

    Raises:
        SigmaError: the data cannot be read, or an argument makes no sense.
    """
    train, held_out = records(folder, seed)
    network = readme_network(*train.inputs.shape[1:], seed=seed)
    say(network.summary())
    say(f"{len(train)} records of '{train.name}' to learn from, {len(held_out)} held out")
    trainer = Trainer(network, Adagrad(learning_rate=0.02), train.batches(BATCH, seed=seed), held_out, target=target)
    if epochs is None:
        epochs = EPOCHS if folder is None else EPOCHS_OF_FILES
    history = trainer.run(epochs)
    step = trainer.step
    memory = step.memory(batch=BATCH)
    say(f"compile time  {step.compile_seconds:.3f} s ({'from the cache' if step.cached else 'cold'})")
    where = f"{step.executor.threads} threads" if trainer.operator.device == "cpu" else trainer.operator.device
    say(f"step          {1000 * history.step_seconds:.2f} ms (median, batch {BATCH}, {where})")
    say(f"memory        {_memory(trainer)}, arena {memory.arena:,} bytes")
    say(f"stages        {step.dump(dump) / 'index.html'}")
    return trainer


def _memory(trainer: Trainer) -> str:
    parameters = sum(trainer.network.variables[name].bytes for name in trainer.network.identifiers)
    kept = sum(parameter.variable.bytes for parameter in trainer.memory.values())
    return f"parameters {parameters:,} bytes, optimiser state {kept:,} bytes"
