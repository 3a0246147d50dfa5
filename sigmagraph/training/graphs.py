"""The graphs that a network gives: from records to predictions and costs, and one training step."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.layers.assembly import Assembly
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.tensor.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ForwardGraph:
    """A network as a graph.

    Attributes:
        inputs: placeholders of the records, one for each Input.
        predictions: what the network gives for them, by the aliases of its Outputs, or its last result as
            ``prediction`` where it has none; probabilities behind a softmax cross entropy.
        cost: what training makes small, a scalar; None without a cost layer.
        assembly: parameters, states, targets, hyperparameters and costs of the layers.
    """

    inputs: tuple[Tensor, ...]
    predictions: dict[str, Tensor]
    cost: Tensor | None
    assembly: Assembly

    @property
    def updates(self) -> dict[Tensor, Tensor]:
        """New values of the states of layers."""
        states = self.assembly.states
        return {states[identifier]: value for identifier, value in self.assembly.updates.items()}


@dataclass(frozen=True, slots=True, eq=False)
class TrainGraph:
    """One training step as what ``compile`` takes.

    Attributes:
        records: names of the inputs that records are handed in by.
        targets: names of the inputs that targets are handed in by.
        inputs: placeholders of the records, the targets and the hyperparameters.
        outputs: ``cost``, ``cost.<layer>`` for each of several cost layers, and what the optimiser reports.
        updates: new values of parameters, states of layers, optimiser memory and the random key.
        hyperparameters: values for the last of the inputs; a call takes them as keyword arguments.
        memory: what the optimiser keeps from step to step, by name.
    """

    records: tuple[str, ...]
    targets: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: dict[str, Tensor]
    updates: dict[Tensor, Tensor]
    hyperparameters: Hyperparameters
    memory: dict[str, Parameter]
