"""How good a network is on records that it was not trained with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.deck import Deck
from sigmagraph.driver import compile
from sigmagraph.errors import AttributeValueError, GraphError
from sigmagraph.layers.ports import BATCH
from sigmagraph.layers.records import Cost
from sigmagraph.options import CompileOptions, Target
from sigmagraph.program import CompiledFunction
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.training.feed import columns_of, feed, rows
from sigmagraph.training.network import Network

NDArray: TypeAlias = "np.ndarray[Any, Any]"

# Records at a time: enough to keep all threads busy, few enough to stay in the caches.
_RECORDS = 1000


def _no_labels() -> NDArray:
    return np.zeros(0, np.int32)


def _no_probabilities() -> NDArray:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A verdict.

    What is known of single labels is in the order of the records, and of the cost layers that have labels; labels that
    do not count are left out.

    Attributes:
        cost: mean over all records.
        accuracy: share of labels whose class is the one that is most likely by the prediction; None where no targets
            are classes.
        labels: i32[labels], the right classes; of a network whose one number says yes or no, 0 and 1.
        predicted: i32[labels], the most likely classes.
        ranks: i32[labels], how many classes are more likely than the right one.
        probability: f32[labels], of the second of two classes; empty for more classes.
    """

    cost: float
    accuracy: float | None
    labels: NDArray = field(default_factory=_no_labels, repr=False, compare=False)
    predicted: NDArray = field(default_factory=_no_labels, repr=False, compare=False)
    ranks: NDArray = field(default_factory=_no_labels, repr=False, compare=False)
    probability: NDArray = field(default_factory=_no_probabilities, repr=False, compare=False)

    def top(self, k: int) -> float | None:
        """Share of labels among whose ``k`` most likely classes is the right one; None where no targets are classes.

        Raises:
            AttributeValueError: ``k`` is not a positive number.
        """
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise AttributeValueError("this is no number of classes", expected="an int of 1 or more", got=repr(k))
        return None if self.accuracy is None or not len(self.ranks) else float(np.mean(self.ranks < k))


class Evaluator:
    """The program that judges a network, without dropout; compiled once, for any number of records.

    Args:
        network: what is judged, with a cost layer.
        target: what code is made for.
        options: what else changes the code.

    Raises:
        GraphError: the network has no cost layer.
    """

    def __init__(self, network: Network, target: Target | str = "cpu", options: CompileOptions | None = None) -> None:
        forward = network.forward(training=False)
        if forward.cost is None:
            raise GraphError(f"the network '{network.name}' cannot be judged", expected="a network with a cost layer")
        assembly = forward.assembly
        scalars = assembly.hyperparameters
        self.hyperparameters = Hyperparameters(spec for spec, _ in scalars.values())
        self._records, self._targets = tuple(assembly.inputs), tuple(assembly.targets)
        self._judges = {f"prediction.{cost.layer}": cost for cost in assembly.costs if _is_judge(cost)}
        self.program: CompiledFunction = compile(
            [*forward.inputs, *assembly.targets.values(), *(tensor for _, tensor in scalars.values())],
            {"cost": forward.cost} | {name: cost.prediction for name, cost in self._judges.items()},
            target=target,
            name=f"{network.name}.evaluate",
            hints={str(BATCH): _RECORDS},
            options=options,
        )
        self._columns = columns_of(self.program, self._targets)

    def __call__(self, dataset: Deck) -> Evaluation:
        """Judge the network as it is now.

        Raises:
            AttributeValueError: the dataset is empty.
            InputError: its arrays are not what the network takes.
        """
        if not len(dataset):
            raise AttributeValueError(
                f"the dataset '{dataset.name}' cannot be judged on", expected="records", got="none"
            )
        cost, found = 0.0, []
        for batch in dataset.chunks(_RECORDS):
            arrays = feed(batch, self._records, self._targets, self._columns)
            out = self.program(**arrays, **self.hyperparameters)
            cost += float(out["cost"]) * rows(batch)
            found += [_verdict(judge, arrays[judge.targets], out[name]) for name, judge in self._judges.items()]
        if not found:
            return Evaluation(cost / len(dataset), None)
        labels, predicted, ranks, probability = map(np.concatenate, zip(*found, strict=True))
        are_classes = any(judge.labels is not None for judge in self._judges.values())
        accuracy = float(np.mean(ranks == 0)) if are_classes and len(ranks) else None
        return Evaluation(cost / len(dataset), accuracy, labels, predicted, ranks, probability)


def _is_judge(cost: Cost) -> bool:
    """Whether what a cost layer compares says which class is right."""
    one_number = cost.judged.ndim == 2 and cost.judged.shape[1] == 1
    return cost.labels is not None or one_number


def _verdict(judge: Cost, targets: NDArray, prediction: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Labels, predicted classes, ranks of the right ones, and the probability of the second of two."""
    if judge.labels is None:
        return _yes_or_no(targets, prediction)
    counts = targets != judge.ignored if judge.ignored is not None else np.ones(targets.shape, np.bool_)
    labels, likely = targets[counts].astype(np.int32), prediction[counts].astype(np.float32)
    right = np.take_along_axis(likely, labels[:, None], 1)
    classes = np.arange(likely.shape[1])
    # Of equally likely classes the first one counts as the more likely one, as argmax has it.
    before = (likely > right) | ((likely == right) & (classes < labels[:, None]))
    probability = likely[:, 1] if likely.shape[1] == 2 else np.zeros(0, np.float32)
    return labels, likely.argmax(1).astype(np.int32), before.sum(1).astype(np.int32), probability


def _yes_or_no(targets: NDArray, prediction: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """The same for one number a record; nothing where targets are others than 0 and 1."""
    wanted, likely = targets.reshape(-1), prediction.reshape(-1).astype(np.float32)
    if not np.isin(wanted, (0, 1)).all():
        nothing = np.zeros(0, np.int32)
        return nothing, nothing, nothing, np.zeros(0, np.float32)
    labels, predicted = wanted.astype(np.int32), (likely > 0.5).astype(np.int32)
    return labels, predicted, (labels != predicted).astype(np.int32), likely
