"""Hooks that write checkpoints of training, and that go back to one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Literal

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.training.hooking.hook import Moment, Training
from sigmagraph.training.hooks.acting import GOING_BACK, LAST, ActingHook
from sigmagraph.training.hooks.comparison import Mode, check_count, mode_of, number
from sigmagraph.training.hooks.kept_files import keep, kept_by
from sigmagraph.training.storage import checkpoints
from sigmagraph.training.storage.checkpoints import CheckpointFolder, Score, read_checkpoint
from sigmagraph.training.storage.run_folder import RunFolder


@dataclass(frozen=True)
class Checkpoint(ActingHook):
    """Write checkpoints: ``Checkpoint("runs/digits", best="validation.accuracy")``.

    It fires after all other hooks, so that what they remember is part of the checkpoint. Files are named after the
    iteration. Several such hooks may write into one folder; each removes only what itself has written there and no
    other one keeps. Those of its files that come after the iteration at which it writes are of a course that was gone
    back on, and are removed too.

    Args:
        folder: the run's; None for the one that the trainer has.
        best: identifier of a value; the checkpoint where it is best is kept besides the last ones.
        mode: whether ``"max"`` or ``"min"`` is best; None for what the identifier says.
        keep_last: how many are kept; None for all.
        parts: ``"network"``, ``"optimiser"``, ``"random"``, ``"workers"``, or patterns of arrays' names, where not all
            is to be written. Such files lie in a folder of their own, as nothing can be resumed from them.

    Raises:
        AttributeValueError: one of these makes no sense.
    """

    folder: str | PathLike[str] | None = None
    best: str | None = None
    mode: Mode | None = None
    keep_last: int | None = 3
    parts: Sequence[str] | None = None
    _: KW_ONLY
    priority: int = LAST

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "folder", None if self.folder is None else fspath(self.folder))
        if self.keep_last is not None:
            check_count("Checkpoint", "keep_last", self.keep_last, least=1)
        if self.best is not None:
            object.__setattr__(self, "mode", mode_of(self.best, self.mode, "Checkpoint"))
        if self.parts is not None:
            parts = (self.parts,) if isinstance(self.parts, str) else tuple(self.parts)
            if not parts or not all(isinstance(part, str) and part for part in parts):
                raise AttributeValueError(
                    "Checkpoint: 'parts' makes no sense", expected="such as ['network']", got=repr(self.parts)
                )
            object.__setattr__(self, "parts", parts)

    def reads(self) -> tuple[str, ...]:
        return () if self.best is None else (self.best,)

    def attached(self, trainer: Training) -> None:
        self._files(trainer)

    def invoke(self, now: Moment, /) -> None:
        files = self._files(now.trainer)
        checkpoint, score = now.trainer.checkpoint(), None
        if self.parts is not None:
            checkpoint = checkpoint.select(*self.parts)
        if self.best is not None:
            score = Score(self.best, number(now, self.best), mode_of(self.best, self.mode, "Checkpoint"))
            verdict = {"name": score.name, "value": score.value, "mode": score.mode}
            checkpoint = checkpoints.Checkpoint(checkpoint.arrays, {**checkpoint.document, "score": verdict})
        path = files.save(now.iteration, checkpoint, score)
        earlier = [n for n in kept_by(files.path, self._owner) if _order(n) < _order(path.name)]
        wanted = [*earlier, path.name]
        if self.keep_last is not None:
            wanted = wanted[-self.keep_last :]
        if self.best is not None:
            best = files.best(self.best).name
            wanted = [best, *(name for name in wanted if name != best)]
        keep(files.path, self._owner, sorted(wanted, key=_order))

    @property
    def _owner(self) -> str:
        """What tells it from others that write into its folder."""
        return f"{self.time_step}, {self.on or 'always'}, best={self.best} {self.mode}, keep_last={self.keep_last}"

    def _files(self, trainer: Training) -> CheckpointFolder:
        run = trainer.folder if self.folder is None else trainer.open_folder(self.folder)
        if run is None:
            raise InputError(
                "Checkpoint has no folder to write to",
                expected="such as Checkpoint('runs/digits'), or a trainer with a run folder",
            )
        if self.parts is None:
            return run.checkpoints
        return _within(run, "parts-" + "-".join(self.parts))


@dataclass(frozen=True)
class Restore(ActingHook):
    """Go back to a checkpoint: ``Restore("runs/digits", on=Threshold("optimiser.cost", ">", 10))``.

    Parameters, the optimiser's memory and random numbers are what they were then; epochs and iterations are counted on.

    Args:
        source: a checkpoint, or the folder of a run or of checkpoints; None for the run folder that the trainer has.
        which: which one of a folder: ``"best"`` or ``"latest"``.
        by: identifier of the value that was best, where a folder has the best ones by several.

    Raises:
        AttributeValueError: ``which`` is neither.
    """

    source: str | PathLike[str] | None = None
    which: Literal["best", "latest"] = "best"
    by: str | None = None
    _: KW_ONLY
    priority: int = GOING_BACK

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "source", None if self.source is None else fspath(self.source))
        if self.which not in ("best", "latest"):
            raise AttributeValueError(
                "Restore: 'which' makes no sense", expected="'best' or 'latest'", got=repr(self.which)
            )

    def attached(self, trainer: Training) -> None:
        if self.source is None and trainer.folder is None:
            raise InputError("Restore has no folder to read from", expected="such as Restore('runs/digits')")

    def invoke(self, now: Moment, /) -> None:
        path = self._path(now.trainer)
        now.trainer.restore(read_checkpoint(path))
        now.say(f"Restore: parameters are those of {path}")

    def _path(self, trainer: Training) -> Path:
        if self.source is None:
            if trainer.folder is None:
                raise InputError("Restore has no folder to read from", expected="such as Restore('runs/digits')")
            files = trainer.folder.checkpoints
        else:
            source = Path(self.source)
            if source.is_file():
                return source
            within = source / "checkpoints"
            files = CheckpointFolder(within if within.is_dir() else source)
        return files.best(self.by) if self.which == "best" else files.latest()


def _order(name: str) -> tuple[int, str]:
    """Names by their iterations, which have eight digits or more."""
    return len(name), name


def _within(run: RunFolder, name: str) -> CheckpointFolder:
    """A folder for checkpoints that are not to be resumed from."""
    return CheckpointFolder(run.checkpoints.path / re.sub(r"[^A-Za-z0-9-]+", "_", name))
