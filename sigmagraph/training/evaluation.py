"""How good a network is on records that it was not trained with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sigmagraph.data.dataset import Dataset
from sigmagraph.driver import compile
from sigmagraph.errors import AttributeValueError, GraphError
from sigmagraph.options import CompileOptions
from sigmagraph.program import CompiledFunction
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.training.feed import feed
from sigmagraph.training.network import Network

# Records at a time: enough to keep all threads busy, few enough to stay in the caches.
_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A verdict.

    Attributes:
        cost: mean over all records.
        accuracy: share of labels whose class is the one that is most likely by the prediction; None where no targets
            are classes.
    """

    cost: float
    accuracy: float | None


class Evaluator:
    """The program that judges a network, without dropout; compiled once, for any number of records.

    Args:
        network: what is judged, with a cost layer.
        target: what code is made for.
        options: what else changes the code.

    Raises:
        GraphError: the network has no cost layer.
    """

    def __init__(self, network: Network, target: str = "cpu", options: CompileOptions | None = None) -> None:
        forward = network.forward(training=False)
        if forward.cost is None:
            raise GraphError(f"the network '{network.name}' cannot be judged", expected="a network with a cost layer")
        assembly = forward.assembly
        scalars = assembly.hyperparameters
        self.hyperparameters = Hyperparameters(spec for spec, _ in scalars.values())
        self._records, self._targets = tuple(assembly.inputs), tuple(assembly.targets)
        self._judges = {f"prediction.{cost.layer}": cost for cost in assembly.costs if cost.labels is not None}
        self.program: CompiledFunction = compile(
            [*forward.inputs, *assembly.targets.values(), *(tensor for _, tensor in scalars.values())],
            {"cost": forward.cost} | {name: cost.prediction for name, cost in self._judges.items()},
            target=target,
            name=f"{network.name}.evaluate",
            options=options,
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
            batch = dataset.take(slice(start, start + _RECORDS))
            arrays = feed(batch, self._records, self._targets)
            out = self.program(**arrays, **self.hyperparameters)
            cost += float(out["cost"]) * min(_RECORDS, len(dataset) - start)
            for name, judge in self._judges.items():
                labels = arrays[str(judge.labels)]
                counts = labels != judge.ignored if judge.ignored is not None else np.ones(labels.shape, np.bool_)
                right += int(np.count_nonzero((out[name].argmax(-1) == labels) & counts))
                judged += int(np.count_nonzero(counts))
        return Evaluation(cost / len(dataset), right / judged if judged else None)
