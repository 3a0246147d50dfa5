"""Several runs side by side: what they came to, how they were set up, and their metrics by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigmagraph.identifiers import matching
from sigmagraph.training.storage.run_reading import Run

COST, ACCURACY, RATE = "cost", "validation.accuracy", "optimiser.learning_rate"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to.

    Attributes:
        epochs: how many were finished.
        cost: mean over the last epoch that is known.
        accuracy: the best one on held-out records.
        optimiser: its name.
        learning_rate: the first one.
    """

    epochs: int
    cost: float | None
    accuracy: float | None
    optimiser: str | None
    learning_rate: float | None


def summary(run: Run) -> Summary:
    """What a run came to; None stands for what it does not say."""
    costs = [event["values"][COST] for event in run.metrics() if COST in event["values"]]
    accuracies = [event["values"][ACCURACY] for event in run.metrics() if ACCURACY in event["values"]]
    optimiser, rates = run.config.get("optimiser"), run.config.get("hyperparameters")
    rate = rates.get(RATE) if isinstance(rates, Mapping) else None
    return Summary(
        epochs=max((event["epoch"] for event in run.metrics()), default=0),
        cost=costs[-1] if costs else None,
        accuracy=max((value for value in accuracies if not math.isnan(value)), default=None),
        optimiser=optimiser.partition("(")[0] if isinstance(optimiser, str) else None,
        learning_rate=rate if isinstance(rate, (int, float)) else None,
    )


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """What the runs were not alike in: settings by dotted names, with the value of each run; None where it has none."""
    settings = [dict(_flat(run.config, "")) for run in runs]
    names = list(dict.fromkeys(name for found in settings for name in found))
    table = {name: [found.get(name) for found in settings] for name in names}
    return {name: values for name, values in table.items() if any(repr(value) != repr(values[0]) for value in values)}


def settings(run: Run) -> dict[str, Any]:
    """How a run was set up, by dotted names."""
    return dict(_flat(run.config, ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else key)
    else:
        yield name, value


def chosen(runs: Sequence[Run], patterns: Sequence[str]) -> list[str]:
    """The metrics that patterns name in any of the runs; without patterns, costs and accuracies.

    Raises:
        IdentifierError: a pattern names none.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.names()))
    if not patterns:
        return [name for name in names if name.rpartition(".")[2] in ("cost", "accuracy")]
    return list(dict.fromkeys(name for pattern in patterns for name in matching(pattern, names)))


def by_epoch(runs: Sequence[Run], name: str) -> dict[int, list[float | None]]:
    """The last value of each epoch, for each run; None where a run has none."""
    columns = [run.by_epoch(name) for run in runs]
    epochs = sorted({epoch for column in columns for epoch in column})
    return {epoch: [column.get(epoch) for column in columns] for epoch in epochs}
