"""One worker on a device of its own: while it carries out an iteration, the next batch is brought to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sigmagraph.data.dataset import Batch
from sigmagraph.training.operators.crew import Outcome, Task
from sigmagraph.training.operators.solo import Solo
from sigmagraph.training.steps import Fetch


class Remote(Solo):
    """One worker whose values are on a device between iterations; what it hands out comes to the host.

    Args:
        task: what it does.
    """

    ahead = 1

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._fetch: Fetch = ()  # of the last iteration
        self._sent: tuple[Batch, Mapping[str, Any]] | None = None

    def run(self, batches: Sequence[Batch], fetch: Fetch) -> Outcome:
        return self.begin(batches, fetch)()

    def begin(self, batches: Sequence[Batch], fetch: Fetch) -> Callable[[], Outcome]:
        step = self._worker.step(fetch)
        self._fetch = fetch
        sent, self._sent = self._sent, None
        arrays = sent[1] if sent is not None and sent[0] is batches[0] else step.arrays(batches[0])
        run = step.begin(arrays, self.hyperparameters)

        def outcome() -> Outcome:
            values = run.result()
            return Outcome(values, {0: values})

        return outcome

    def send(self, batch: Batch) -> None:
        step = self._worker.step(self._fetch)
        self._sent = batch, step.program.upload(**step.arrays(batch))
