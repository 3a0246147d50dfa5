"""Writes the metrics of a run into its folder."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from sigmagraph.training.hooking.hook import Hook, Moment, When

# After hooks that find out what is to be written, and before those that make checkpoints: what a checkpoint knows of is
# written then, and whoever goes on from it cuts off what comes later.
PRIORITY = 9_000


@dataclass(frozen=True)
class Journal(Hook):
    """Writes costs, verdicts, the numbers that hooks share, and the learning rate, at the end of every epoch."""

    _: KW_ONLY
    every: When = "1 epoch"
    priority: int = PRIORITY

    def invoke(self, now: Moment, /) -> None:
        if now.trainer.folder is not None:
            now.trainer.folder.record(now.epoch, now.iteration, now.trainer.metrics())
