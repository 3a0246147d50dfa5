"""Hooks that lead a number, such as the learning rate: by a schedule, or down wherever a value gets no better."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from sigmagraph.errors import AttributeValueError
from sigmagraph.tensor.hyperparameter import Schedule as Numbers
from sigmagraph.training.hooking.hook import Moment, State, Training, When
from sigmagraph.training.hooks.acting import CHANGING, ActingHook
from sigmagraph.training.hooks.comparison import Mode, better, check_amount, check_count, mode_of, number


@dataclass(frozen=True)
class Schedule(ActingHook):
    """Let a number follow a schedule: ``Schedule("optimiser.learning_rate", schedules.Cosine(0.1, 1000))``.

    It is set when training starts, and at every event to what the schedule says for the next step. Nothing is
    remembered: the number depends on the iteration alone, so that training goes on the same after it was resumed.

    An optimiser takes a schedule in the place of a number, too, and then knows parts of epochs; the hook does so for
    all that can be set, and as seldom as ``every`` says.

    Args:
        identifier: of the number, or a pattern of several.
        schedule: ``(step, epoch) -> number`` of the numbers of finished iterations and epochs: one of
            :mod:`sigmagraph.optimisers.schedules`, or a function.

    Raises:
        AttributeValueError: the schedule is none.
    """

    identifier: str
    schedule: Numbers
    _: KW_ONLY
    every: When = "1 iteration"
    priority: int = CHANGING

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.schedule):
            raise AttributeValueError(
                "Schedule: this is none", expected="(step, epoch) -> number", got=repr(self.schedule)
            )

    def attached(self, trainer: Training) -> None:
        done = trainer.set(self.identifier, self.schedule(trainer.iteration, trainer.epoch))
        if done.done():
            done.result()  # which raises what there was to refuse

    def invoke(self, now: Moment, /) -> None:
        now.set(self.identifier, self.schedule(now.iteration, now.epoch))


@dataclass(frozen=True)
class ReduceOnPlateau(ActingHook):
    """Make the learning rate smaller whenever a value has not become better for a while.

    Args:
        identifier: of the value.
        factor: what the rate is multiplied with.
        patience: how many times in a row the value may be no better than at its best; the last of them reduces the
            rate.
        cooldown: how many times it is not looked at after that.
        least: the rate becomes no smaller than this.
        rate: identifier of what is reduced. A schedule that it follows ends there.
        min_delta: by how much more the value has to be better.
        mode: whether ``"max"`` or ``"min"`` is best; None for what the identifier says.

    Raises:
        AttributeValueError: a number is out of range, or nothing says what is best.
    """

    identifier: str = "validation.cost"
    factor: float = 0.1
    patience: int = 2
    cooldown: int = 0
    least: float = 0.0
    rate: str = "optimiser.learning_rate"
    min_delta: float = 1e-4
    mode: Mode | None = None
    _: KW_ONLY
    priority: int = CHANGING

    def __post_init__(self) -> None:
        super().__post_init__()
        check_amount("ReduceOnPlateau", "factor", self.factor, below=1.0, positive=True)
        check_count("ReduceOnPlateau", "patience", self.patience, least=1)
        check_count("ReduceOnPlateau", "cooldown", self.cooldown)
        check_amount("ReduceOnPlateau", "least", self.least)
        check_amount("ReduceOnPlateau", "min_delta", self.min_delta)
        object.__setattr__(self, "mode", mode_of(self.identifier, self.mode, "ReduceOnPlateau"))

    def reads(self) -> tuple[str, ...]:
        return self.identifier, self.rate

    def initial(self) -> State:
        return {"best": None, "waits": 0, "rests": 0}

    def invoke(self, now: Moment, /) -> None:
        value, state = number(now, self.identifier), now.state
        if better(value, state["best"], mode_of(self.identifier, self.mode, "ReduceOnPlateau"), self.min_delta):
            state.update(best=value, waits=0)
        elif not state["rests"]:
            state["waits"] += 1
        state["rests"] = max(state["rests"] - 1, 0)
        if state["waits"] >= self.patience:
            state.update(waits=0, rests=self.cooldown)
            self._reduce(now)

    def _reduce(self, now: Moment) -> None:
        rate = number(now, self.rate)
        new = max(rate * self.factor, self.least)
        if new < rate:
            now.set(self.rate, new)
            now.say(f"{self.identifier} gets no better: {self.rate} is {new:.6g} from now on")
