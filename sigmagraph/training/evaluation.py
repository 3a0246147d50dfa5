"""How good a network is on records that it was not trained with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sigmagraph.data.dataset import Dataset
from sigmagraph.driver import compile
from sigmagraph.errors import AttributeValueError, GraphError
from sigmagraph.program import CompiledFunction
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.training.network import Network

# Records at a time: enough to keep all threads busy, few enough to stay in the caches.
_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A verdict.

    Attributes:
        cost: mean over all records.
        accuracy: share of records whose most likely class is the right one; None where targets are no classes.
    """

    cost: float
    accuracy: float | None


class Evaluator:
    """The program that judges a network, without dropout; compiled once, for any number of records.

    Args:
        network: what is judged, with a cost layer.
        target: what code is made for.

    Raises:
        GraphError: the network has no cost layer.
    """

    def __init__(self, network: Network, target: str = "cpu") -> None:
        forward = network.forward(training=False)
        if forward.cost is None:
            raise GraphError(f"the network '{network.name}' cannot be judged", expected="a network with a cost layer")
        scalars = forward.assembly.hyperparameters
        targets = forward.assembly.targets
        self.hyperparameters = Hyperparameters(spec for spec, _ in scalars.values())
        self._input = forward.input.name
        self._targets = tuple(targets)
        self._classes = all(not t.dtype.is_float for t in targets.values())
        self.program: CompiledFunction = compile(
            [forward.input, *targets.values(), *(tensor for _, tensor in scalars.values())],
            {"cost": forward.cost, "prediction": forward.prediction},
            target=target,
            name=f"{network.name}.evaluate",
        )

    def __call__(self, dataset: Dataset) -> Evaluation:
        """Judge the network as it is now.

        Raises:
            AttributeValueError: the dataset is empty.
            InputError: its arrays are not what the network takes.
        """
        if not len(dataset):
            raise AttributeValueError(
                f"the dataset '{dataset.name}' cannot be judged on", expected="records", got="none"
            )
        cost, right, judged = 0.0, 0, 0
        for start in range(0, len(dataset), _RECORDS):
            inputs = dataset.inputs[start : start + _RECORDS]
            targets = dataset.targets[start : start + _RECORDS]
            arrays = {self._input: inputs, **dict.fromkeys(self._targets, targets)}
            out = self.program(**arrays, **self.hyperparameters)
            cost += float(out["cost"]) * len(inputs)
            if self._classes:
                right += int(np.count_nonzero(out["prediction"].argmax(-1) == targets))
                judged += targets.size
        return Evaluation(cost / len(dataset), right / judged if self._classes else None)
