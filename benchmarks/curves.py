"""Trains the networks of the examples beside PyTorch, from the same first values on the same batches.

``python -m benchmarks.curves`` prints the costs of both on the way and on held-out records. Dropout is left out, as no
two programs drop the same.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.nn import functional

import sigmagraph as sg
from sigmagraph.training.feed import feed

Tensor: TypeAlias = Any  # where PyTorch is not installed its types are not known
Parameters: TypeAlias = Mapping[str, Tensor]
PARTS = 8


@dataclass(frozen=True)
class Subject:
    """A network of the examples, and the same one in PyTorch.

    Attributes:
        name: of the example.
        trainer: made of the two datasets.
        data: what is learnt from, and what is held out.
        epochs: how long.
        forward: from parameters by identifier and records to logits, [..., classes].
        optimiser: of the parameters.
        clip: the greatest norm of all gradients together.
    """

    name: str
    trainer: sg.Trainer
    data: tuple[sg.data.Dataset, sg.data.Dataset]
    epochs: int
    forward: Callable[[Parameters, Tensor], Tensor]
    optimiser: Callable[[Parameters], Any]
    clip: float = float("inf")


def subjects() -> Iterator[Subject]:
    """All of them."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
    lenet, char_lstm, small_gpt = map(import_module, ("lenet", "char_lstm", "small_gpt"))
    train, held_out = sg.data.datasets.digits().split(0.8, 0.2, seed=2)
    yield Subject(
        "lenet",
        lenet.trainer(train, held_out, dropout=0.0),
        (train, held_out),
        lenet.EPOCHS,
        _lenet,
        _adam,
    )
    for module, forward, optimiser in ((char_lstm, _char_lstm, _adam), (small_gpt, _small_gpt, _adamw)):
        data = char_lstm.windows(module.WINDOW)
        yield Subject(module.__name__, module.trainer(*data), data, module.EPOCHS, forward, optimiser, clip=1.0)


def _adam(p: Parameters) -> Any:
    return torch.optim.Adam(p.values())


def _adamw(p: Parameters) -> Any:
    biases = [v for k, v in p.items() if k.endswith(".biases")]
    others = [v for k, v in p.items() if not k.endswith(".biases")]
    groups: Any = [{"params": others, "weight_decay": 0.01}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups)


# ---- the networks


def _dense(p: Parameters, name: str, x: Tensor) -> Tensor:
    return x @ p[f"{name}.weights"] + p[f"{name}.biases"]


def _norm(p: Parameters, name: str, x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], p[f"{name}.scale"], p[f"{name}.biases"])


def _lenet(p: Parameters, x: Tensor) -> Tensor:
    x = x[:, None]
    convolutions = [n.removesuffix(".weights") for n in p if n.startswith("conv") and n.endswith(".weights")]
    for name in convolutions:
        kernel = p[f"{name}.weights"].permute(3, 2, 0, 1)
        x = functional.max_pool2d(functional.relu(functional.conv2d(x, kernel, p[f"{name}.biases"], padding="same")), 2)
    first, last = (n.removesuffix(".weights") for n in p if "dense" in n and n.endswith(".weights"))
    return _dense(p, last, functional.relu(_dense(p, first, x.permute(0, 2, 3, 1).flatten(1))))


def _char_lstm(p: Parameters, codes: Tensor) -> Tensor:
    x = functional.embedding(codes, p["embedding.weights"])
    size = p["lstm.recurrent.weights"].shape[0]
    lstm = torch.nn.LSTM(x.shape[-1], size, batch_first=True)
    weights = {
        "weight_ih_l0": p["lstm.weights"].T,
        "weight_hh_l0": p["lstm.recurrent.weights"].T,
        "bias_ih_l0": p["lstm.biases"],
        "bias_hh_l0": torch.zeros_like(p["lstm.biases"]),
    }
    return _dense(p, "next", torch.func.functional_call(lstm, weights, (x,))[0])


def _small_gpt(p: Parameters, codes: Tensor) -> Tensor:
    x = functional.embedding(codes, p["embedding.weights"])
    x = x + _waves(*x.shape[1:])
    for block in sorted({n.split(".")[0] for n in p if n.startswith("block")}):
        y = _norm(p, f"{block}.norm1", x)
        q, k, v = (
            _dense(p, f"{block}.attention.{part}", y).unflatten(-1, (4, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + _dense(p, f"{block}.attention.output", mixed)
        wide = functional.gelu(_dense(p, f"{block}.expand", _norm(p, f"{block}.norm2", x)))
        x = x + _dense(p, f"{block}.contract", wide)
    return _dense(p, "next", _norm(p, "norm", x))


def _waves(length: int, features: int) -> Tensor:
    """Positions as sines and cosines (A. Vaswani et al., 2017)."""
    angles = np.arange(length)[:, None] / 10000 ** (np.arange(0, features, 2) / features)
    return torch.from_numpy(np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, features).astype(np.float32))


# ---- training


@dataclass(frozen=True)
class Curve:
    """Costs of all steps, the mean cost of held-out records, and the part of them that is right."""

    costs: list[float]
    held_out: float
    accuracy: float


def trained_by_torch(subject: Subject) -> Curve:
    """Training in PyTorch from the values that the network has now."""
    first = subject.trainer.network.parameters()
    p = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in first.items()}
    optimiser, batches = subject.optimiser(p), subject.trainer.data
    rate: Any = subject.trainer.optimiser.learning_rate  # type: ignore[attr-defined]
    costs: list[float] = []
    for epoch in range(subject.epochs):
        for batch in batches.epoch(epoch):
            for group in optimiser.param_groups:
                group["lr"] = rate(len(costs), len(costs) / len(batches))
            optimiser.zero_grad()
            cost = _cost(subject, p, batch)
            cost.backward()
            torch.nn.utils.clip_grad_norm_(p.values(), subject.clip)
            optimiser.step()
            costs.append(cost.item())
    held_out = subject.data[1].take(slice(None))
    with torch.no_grad():
        guesses = subject.forward(p, _integers(held_out.inputs)).argmax(-1).numpy()
        return Curve(costs, float(_cost(subject, p, held_out)), float((guesses == held_out.targets).mean()))


def _cost(subject: Subject, p: Parameters, batch: sg.data.Batch) -> Tensor:
    logits = subject.forward(p, _integers(batch.inputs))
    return functional.cross_entropy(logits.flatten(0, -2), torch.from_numpy(batch.targets).long().flatten())


def _integers(array: Any) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor if tensor.is_floating_point() else tensor.long()


def trained_here(subject: Subject) -> Curve:
    """Training of the network itself."""
    trainer = subject.trainer
    graph = trainer.network.train_graph(trainer.optimiser)
    step, scalars = sg.compile(graph.inputs, graph.outputs, graph.updates), graph.hyperparameters
    costs: list[float] = []
    for epoch in range(subject.epochs):
        for batch in trainer.data.epoch(epoch):
            scalars.advance(len(costs), len(costs) / len(trainer.data))
            costs.append(float(step(**feed(batch, graph.records, graph.targets), **scalars)["cost"]))
    verdict = trainer.evaluate(subject.data[1])
    return Curve(costs, verdict.cost, verdict.accuracy or 0.0)


def report(subject: Subject) -> str:
    """The two curves side by side, as means over parts of the training."""
    theirs = trained_by_torch(subject)
    ours = trained_here(subject)
    lines = [
        f"{subject.name}: {len(ours.costs)} steps",
        f"{'steps':>13} {'sigmagraph':>11} {'PyTorch':>9} {'apart':>8}",
    ]
    ends = np.linspace(0, len(ours.costs), PARTS + 1).astype(int)
    for start, end in pairwise(ends):
        a, b = (statistics.fmean(c.costs[start:end]) for c in (ours, theirs))
        lines.append(f"{start + 1:6}-{end:6} {a:11.5f} {b:9.5f} {abs(a - b) / b:8.1e}")
    a, b = ours.costs[0], theirs.costs[0]
    lines.append(f"{'first step':>13} {a:11.5f} {b:9.5f} {abs(a - b) / b:8.1e}")
    lines.append(f"{'held out':>13} {ours.held_out:11.5f} {theirs.held_out:9.5f}")
    lines.append(f"{'accuracy':>13} {100 * ours.accuracy:10.2f}% {100 * theirs.accuracy:8.2f}%")
    return "\n".join(lines)


def main() -> None:
    """Print all curves."""
    for subject in subjects():
        print(report(subject), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
