"""Hooks that end training: at an epoch, where a criterion holds, or when a value gets no better."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.training.hooking.hook import Moment, State, Training
from sigmagraph.training.hooks.acting import LATE, ActingHook
from sigmagraph.training.hooks.comparison import Mode, better, check_amount, check_count, mode_of, number
from sigmagraph.training.hooks.kept_files import keep
from sigmagraph.training.storage.checkpoints import CheckpointFolder, read_checkpoint


@dataclass(frozen=True)
class Stop(ActingHook):
    """End training: ``Stop(at_epoch=5)``, ``Stop(on=criterion)``, or ``Stop(every="500 iterations")``.

    Training that is run again goes on; it is stopped again where the criterion holds again, at the next event, or where
    the epoch is reached once more after going back to before it.

    Args:
        at_epoch: how many epochs are to be finished; the first event from then on ends training.

    Raises:
        AttributeValueError: ``at_epoch`` is less than 1, or there are both it and a criterion.
    """

    _: KW_ONLY
    at_epoch: int | None = None
    priority: int = LATE

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at_epoch is not None:
            check_count("Stop", "at_epoch", self.at_epoch, least=1)
            if self.on is not None:
                raise AttributeValueError("Stop: one reason is enough", expected="at_epoch or on", got="both")

    def initial(self) -> State:
        return {"epoch": 0}

    def invoke(self, now: Moment, /) -> None:
        before, now.state["epoch"] = now.state["epoch"], now.epoch
        if self.at_epoch is None:
            why = f"fires {self.time_step}" if self.on is None else f"{self.on} holds"
            now.trainer.stop(f"Stop: {why}, at iteration {now.iteration}")
        elif before < self.at_epoch <= now.epoch:
            now.trainer.stop(f"Stop: epoch {self.at_epoch} is done")


@dataclass(frozen=True)
class EarlyStop(ActingHook):
    """End training when a value has not become better for a while.

    Args:
        identifier: of the value.
        patience: how many times in a row it may be no better than at its best; the last of them ends training. If
            training is run again nevertheless, as many are waited for again.
        mode: whether ``"max"`` or ``"min"`` is best; None for what the identifier says, which is max for accuracies and
            min for costs.
        min_delta: by how much more it has to be better.
        restore_best: whether parameters, the optimiser's memory and random numbers are given back what they were at
            the best. The trainer needs a run folder for that, where the best so far is kept.

    Raises:
        AttributeValueError: a number is out of range, or nothing says what is best.
    """

    identifier: str = "validation.accuracy"
    patience: int = 3
    mode: Mode | None = None
    min_delta: float = 0.0
    restore_best: bool = False
    _: KW_ONLY
    priority: int = LATE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("EarlyStop", "patience", self.patience, least=1)
        check_amount("EarlyStop", "min_delta", self.min_delta)
        object.__setattr__(self, "mode", mode_of(self.identifier, self.mode, "EarlyStop"))

    def reads(self) -> tuple[str, ...]:
        return (self.identifier,)

    def initial(self) -> State:
        return {"best": None, "epoch": None, "waits": 0, "file": None}

    def invoke(self, now: Moment, /) -> None:
        value, state = number(now, self.identifier), now.state
        if better(value, state["best"], mode_of(self.identifier, self.mode, "EarlyStop"), self.min_delta):
            state.update(best=value, epoch=now.epoch, waits=0)
            if self.restore_best:
                files = self._files(now.trainer)
                state["file"] = files.save(now.iteration, now.trainer.checkpoint()).name
                keep(files.path, self._owner, [state["file"]])
            return
        state["waits"] += 1
        if state["waits"] >= self.patience:
            state["waits"] = 0
            if self.restore_best and state["file"] is not None:
                now.trainer.restore(read_checkpoint(self._files(now.trainer).path / state["file"]))
            now.trainer.stop(self._reason(state))

    def _files(self, trainer: Training) -> CheckpointFolder:
        if trainer.folder is None:
            raise InputError(
                "EarlyStop has nowhere to keep the best",
                expected="a run folder",
                hint="Checkpoint('runs/digits') makes one",
            )
        return CheckpointFolder(trainer.folder.checkpoints.path / "early-stop")

    @property
    def _owner(self) -> str:
        """What tells it from others that keep their best in the same folder."""
        how = f"{self.mode}, patience={self.patience}, min_delta={self.min_delta}"
        return f"{self.identifier}, {how}, {self.time_step}, {self.on or 'always'}"

    def _reason(self, state: State) -> str:
        if state["best"] is None:
            return f"EarlyStop: {self.identifier} was no finite number {self.patience} times in a row"
        best = f"{state['best']:.6g} (epoch {state['epoch']})"
        return f"EarlyStop: {self.identifier} has not become better than {best} for {self.patience} times in a row"
