"""Trains a network: a compiled step for every batch, a verdict after every epoch, hooks in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from sigmagraph.data.batches import Batches
from sigmagraph.data.deck import Deck
from sigmagraph.errors import AttributeValueError, IdentifierError, TrainingStateError
from sigmagraph.identifiers import split_path
from sigmagraph.initialisers import Initialiser
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.options import CompileOptions, Target
from sigmagraph.program import CompiledFunction
from sigmagraph.tensor.tensor import Parameter
from sigmagraph.training.contract import dataset_entries
from sigmagraph.training.control import State
from sigmagraph.training.course import Course, Epoch, History
from sigmagraph.training.display.progress import Progress
from sigmagraph.training.hooking.firing import OnError
from sigmagraph.training.hooking.hook import Hook
from sigmagraph.training.hooking.timing import TimeScale
from sigmagraph.training.interrupts import Interrupts
from sigmagraph.training.loop import VALIDATION, Goal, Loop
from sigmagraph.training.network import Network
from sigmagraph.training.operators.crew import Task
from sigmagraph.training.operators.operator import Operator, describe, placed
from sigmagraph.training.seeds import Seeds
from sigmagraph.training.snapshot import restore
from sigmagraph.training.storage.checkpoints import CheckpointFolder, read_checkpoint, write_checkpoint
from sigmagraph.training.storage.run_folder import Ending
from sigmagraph.training.storage.run_reading import CHECKPOINTS
from sigmagraph.training.tasks import Kind, Tasks

__all__ = ["Epoch", "History", "State", "Trainer"]

T = TypeVar("T")


class TrainerOptions(TypedDict, total=False):
    """Arguments of :class:`Trainer` by name, as an environment hands them on."""

    target: Target | str | None
    options: CompileOptions | None
    operator: Operator | str | None
    on_hook_error: OnError
    prefetch: int | None
    check_finite: bool


class Trainer(Loop):
    """Trains a network on batches of a dataset.

    The step (forward, backward, optimiser) is compiled when it is first needed, and again only when other parameters of
    the network are frozen, or when hooks read values that it did not hand out so far. What training computes is a
    function of the network's seed and parameters, the batches' seed, the hyperparameters and the number of workers.

    Args:
        network: with a cost layer; its parameters are changed.
        optimiser: how they are changed.
        data: what is learnt from.
        validation: records that are held out, to judge the network by after every epoch; further ones by
            :meth:`add_dataset`.
        seed: if given, the network's parameters are drawn anew with it.
        target: what code is made for, such as ``cpu:1`` or ``cuda``; None for what the operator says.
        options: what else changes the code, such as ``CompileOptions(fast=True)``.
        name: a word; begins identifiers in an environment's registry.
        operator: ``cpu``, ``cpu:4`` for four workers, ``cuda``, ``cuda:1`` for the second GPU, or an
            :class:`Operator`; None for one worker on the target's device.
        seeds: where the seeds of workers, and of batches without one, come from.
        on_hook_error: whether a hook that fails ends training (``raise``), or is logged only (``log``).
        prefetch: how many batches a thread gathers ahead; None gathers ahead what does not lie in memory.
        tasks: where it is told that training is under way, and how far it is.
        check_finite: whether every iteration is looked at, and the layer, the node and the line are named that make the
            first NaN or infinity; for finding faults, as it takes time.

    Attributes:
        hyperparameters: run-time scalars by name, such as ``optimiser.learning_rate``; they are read at every step and
            may be set at any time, to numbers or to schedules.
        registry: everything by identifier; see ``docs/hooks.md``.
        operator: how training is carried out.
        folder: where the run is kept; None if nowhere.

    Raises:
        AttributeValueError: ``data`` is a dataset that is not in batches, or the seed is out of range.
        GraphError: the network has no cost layer, or no parameters that are not frozen.
        IdentifierError: a pattern of the optimiser names no parameter, or the name is none.
        TargetError: there is no such operator, or it is on another device than the target.
    """

    def __init__(
        self,
        network: Network,
        optimiser: Optimiser,
        data: Batches,
        validation: Deck | None = None,
        seed: int | None = None,
        target: Target | str | None = None,
        options: CompileOptions | None = None,
        *,
        name: str = "trainer",
        operator: Operator | str | None = None,
        seeds: Seeds | None = None,
        on_hook_error: OnError = "raise",
        prefetch: int | None = None,
        tasks: Tasks | None = None,
        check_finite: bool = False,
    ) -> None:
        _one_word(name, "trainer")
        _expect(data, Batches, "a trainer takes batches", "dataset.batches(size)")
        _expect(optimiser, Optimiser, "a trainer takes an optimiser", "one of sg.optimisers")
        if on_hook_error not in ("raise", "log"):
            raise AttributeValueError("'on_hook_error' makes no sense", expected="raise or log", got=on_hook_error)
        if seed is not None:
            network.reset(seed)
        if data.seed is None and seeds is not None:
            data = data.seeded(seeds.child("shuffle").integer())
        tree = seeds or Seeds(network.seed)
        self.operator, made_for = placed(operator, target)

        def seed_of(worker: int) -> int:
            return tree.child("worker", worker).integer()

        task = Task(network, optimiser, made_for, options, seed_of, batch=data.size)
        crew = self.operator.crew(task)
        super().__init__(
            name, network, optimiser, data, crew, (made_for, options), on_hook_error, prefetch, check_finite
        )
        self._tasks = tasks or Tasks()
        if validation is not None:
            self.add_dataset(VALIDATION, validation)

    def __repr__(self) -> str:
        return f"<Trainer {self.name!r} of {self.network!r}, {self.control.state}, {self.epoch} epochs>"

    # ---- where it stands

    @property
    def state(self) -> State:
        """What it is doing."""
        return self.control.state

    @property
    def steps(self) -> int:
        """Finished iterations of all epochs."""
        return self.iteration

    @property
    def history(self) -> History:
        """All epochs so far."""
        return self.course.history

    @property
    def memory(self) -> dict[str, Parameter]:
        """What the optimiser keeps from step to step, by name."""
        self.refresh()
        return self.crew.memory

    @property
    def step(self) -> CompiledFunction:
        """The compiled step; another one as soon as other parameters of the network are frozen.

        Parameters that stay in training keep what the optimiser remembers of them. When further ones join them, the
        optimiser starts anew, because its running means are measured by the number of steps since its start.

        Raises:
            GraphError: all parameters are frozen.
        """
        self.refresh()
        return self.crew.program

    @property
    def hooks(self) -> list[Hook]:
        """The hooks in the order in which they fire, with those that others require."""
        return [attachment.hook for attachment in self.attachments]

    def describe(self) -> dict[str, Any]:
        """What this training is, in plain values."""
        return {**super().describe(), "operator": describe(self.operator)}

    # ---- what it is made of

    def initialise(self, pattern: str, initialiser: Initialiser) -> None:
        """Draw parameters anew; see :meth:`Network.initialise`."""

        def command() -> None:
            self.network.initialise(pattern, initialiser)
            self.crew.spread()

        self.change(command)

    def freeze(self, pattern: str) -> None:
        """Leave parameters as they are from now on; see :meth:`Network.freeze`."""
        self.change(lambda: self.network.freeze(pattern))

    def unfreeze(self, pattern: str = "*") -> None:
        """Train parameters again; see :meth:`Network.unfreeze`."""
        self.change(lambda: self.network.unfreeze(pattern))

    def add_dataset(self, name: str, dataset: Deck) -> None:
        """Give a dataset a name, under which hooks find the network's cost and accuracy on it.

        Raises:
            IdentifierError: the name is taken, or no name.
            AttributeValueError: it is no dataset.
        """
        _one_word(name, "dataset")
        _expect(dataset, Deck, "the network is judged on datasets", "a dataset")

        def command() -> None:
            if name in self.registry:
                raise IdentifierError(f"the name '{name}' is taken", expected="another name", got=name)
            dataset_entries(self.registry, name, self.judge)
            self._datasets[name] = dataset
            self._changed = True

        self.at_rest(command)

    def add(self, hook: Hook) -> None:
        """Attach a hook, and the hooks that it requires; one that is equal to it stands for it.

        While training runs it takes part from the next iteration on.

        Raises:
            HookError: hooks need each other in a circle, or cannot work together.
            AttributeValueError: it is no hook.
        """
        _expect(hook, Hook, "this is no hook", "one of sg.hooks")

        def command() -> None:
            self.attachments.add(hook)
            self._changed = True

        self.at_rest(command)

    def remove(self, hook: Hook) -> None:
        """Take off a hook, and those that only it required.

        Raises:
            IdentifierError: it is not attached.
        """

        def command() -> None:
            for gone in self.attachments.remove(hook):
                self._firing.detach(gone)
            self._changed = True

        self.at_rest(command)

    # ---- training

    def run(
        self,
        epochs: int | None = None,
        *,
        until: int | None = None,
        iterations: int | None = None,
        bar: bool | None = None,
        lines: bool = True,
    ) -> History:
        """Train in this thread, and come back when it is done.

        An epoch that was begun is gone on with, and counts as one. The first Ctrl-C ends training after the iteration
        that is being done, writes a checkpoint to the run's folder if there is one, and says how to go on.

        Args:
            epochs: how many more.
            until: train until there are so many epochs altogether, which may be none more.
            iterations: how many more iterations.
            bar: whether a progress bar moves on stderr; None draws one if stderr is a terminal.
            lines: whether a line is printed after every epoch.

        Returns:
            All epochs so far, those of earlier runs included.

        Raises:
            AttributeValueError: not exactly one of the numbers is given, it is not a natural number, or a schedule
                gives a number that makes no sense.
            InputError: the data is not what the network takes.
            GraphError: all parameters are frozen.
            IdentifierError: a hook reads what there is not.
            HookError: a hook failed; the parameters are those after the last iteration.
            TrainingStateError: training runs already, or another one uses the run's folder.
            KeyboardInterrupt: after Ctrl-C.
        """
        goal = self._goal(epochs, until, iterations)
        self.control.begin()
        return self._run(goal, bar, lines)

    def start(
        self, epochs: int | None = None, *, until: int | None = None, iterations: int | None = None, lines: bool = False
    ) -> Future[History]:
        """Train in a thread of its own; the future has the history, or what went wrong.

        Arguments and errors are those of :meth:`run`.
        """
        goal = self._goal(epochs, until, iterations)
        future: Future[History] = Future()
        begun: Future[None] = Future()

        def work() -> None:
            try:
                self.control.begin()
            except TrainingStateError as error:
                begun.set_exception(error)
                return
            begun.set_result(None)
            try:
                future.set_result(self._run(goal, bar=False, lines=lines))
            except BaseException as error:  # noqa: BLE001  # whoever waits gets it
                future.set_exception(error)

        threading.Thread(target=work, name=f"sigmagraph-{self.name}", daemon=True).start()
        begun.result()
        return future

    def _goal(self, epochs: int | None, until: int | None, iterations: int | None) -> Goal:
        given = {"epochs": epochs, "until": until, "iterations": iterations}
        numbers = {name: number for name, number in given.items() if number is not None}
        if len(numbers) != 1:
            raise AttributeValueError(
                "training takes a number of epochs",
                expected="one of epochs, until and iterations",
                got=", ".join(numbers) or "none",
            )
        (number,) = numbers.values()
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise AttributeValueError("training takes a number of epochs", expected="0, 1, 2, ...", got=repr(number))
        if iterations is not None:
            return Goal(None, self.iteration + iterations)
        return Goal(until if epochs is None else self.epoch + epochs, None)

    def _run(self, goal: Goal, bar: bool | None, lines: bool) -> History:
        """Train in the thread that has begun."""
        state = State.PAUSED
        ending: Ending = "failed"
        total = self._left(goal)
        try:
            with (
                self._tasks.begin(Kind.TRAIN, self.name, total) as self._task,
                Progress(1, total, bar=bar, lines=lines) as self._progress,
                Interrupts(lambda: self.control.stop("Ctrl-C")) as interrupts,
            ):
                self.train(goal)
                if interrupts.happened:
                    ending = "paused"
                    self._keep()
                    raise KeyboardInterrupt
            state, ending = State.STOPPED, "finished" if goal.reached(self.course) else "stopped"
        finally:
            self.finish(state, ending)
        return self.history

    def _left(self, goal: Goal) -> int:
        """How many iterations there are until a goal."""
        if goal.epochs is None:
            return max(0, (goal.iterations or 0) - self.iteration)
        takes = self.crew.takes
        rounds = (goal.epochs - self.epoch) * -(-len(self.data) // takes) - -(-self.course.batch // takes)
        return max(0, rounds)

    def _keep(self) -> None:
        """After Ctrl-C: write a checkpoint, and say how to go on."""
        where = f"epoch {self.epoch + 1}, iteration {self.iteration}"
        if self.folder is None:
            self.say(f"paused in {where}; nothing is written, as the run has no folder; run again to go on")
            return
        path = self.folder.checkpoints.save(self.iteration, self.checkpoint())
        self.say(f"paused in {where}; {path} is written")
        folder = str(self.folder.path)
        self.say(f"go on with trainer.run(...) here, or elsewhere after trainer.resume({folder!r})")

    def pause(self) -> None:
        """Let it pause after this iteration.

        Raises:
            TrainingStateError: it does not train.
        """
        self.control.pause()

    def go_on(self) -> None:
        """Let it go on after a pause.

        Raises:
            TrainingStateError: it does not train.
        """
        self.control.resume()

    def advance(self, iterations: int = 1) -> None:
        """Let it do some iterations, step by step, and pause then.

        Raises:
            AttributeValueError: it is no number of iterations.
            TrainingStateError: it does not train.
        """
        self.control.advance(iterations)

    def wait(self, *states: State, timeout: float | None = None) -> bool:
        """Wait until it is in one of some states, ``STOPPED`` or ``PAUSED`` if none is named; whether it came to that.

        Args:
            states: what is waited for.
            timeout: seconds to wait at most.
        """
        return self.control.wait(*(states or (State.STOPPED, State.PAUSED)), timeout=timeout)

    def submit(self, command: Callable[[], T]) -> Future[T]:
        """Have something done between two iterations, or at once if it does not train.

        Args:
            command: a function without arguments, called by the thread that trains.

        Returns:
            What it gives, or raises.
        """
        return self.control.submit(command)

    def reset(self, seed: int | None = None) -> None:
        """End training, draw the network anew, and forget everything that was learnt.

        Args:
            seed: another one for the network, if given.

        Raises:
            TrainingStateError: it is asked by a hook.
        """
        if self.control.inside:
            raise TrainingStateError("training cannot be reset from inside", hint="stop it first")
        self.stop("reset")
        if self.control.active:
            self.control.wait(State.STOPPED, State.PAUSED)
        self.network.reset(seed)
        self.crew.restart(keep=False)
        self.crew.spread()
        self.attachments.forget()
        self.take_back(Course(), {}, self.data)
        self._known_folders.clear()
        self._origin = self.folder = None
        self._emit(TimeScale.RESET)

    # ---- keeping and going on

    def save(self, path: str | PathLike[str], *parts: str) -> None:
        """Write a checkpoint to a file: everything, or some parts; see :meth:`Checkpoint.select`.

        Raises:
            InputError: the file cannot be written.
            IdentifierError: a part names nothing.
        """
        checkpoint = self.checkpoint()
        write_checkpoint(path, checkpoint.select(*parts) if parts else checkpoint)

    def resume(self, path: str | PathLike[str], *, missing_ok: bool = False, same_data: bool = True) -> bool:
        """Stand where a training stood when a checkpoint was made, to the bit.

        Hooks are to be attached before, so that they remember what they knew.

        Args:
            path: a run's folder, of which the latest checkpoint is taken and in which the run goes on; or a file, which
                may be the beginning of another run.
            missing_ok: whether it is no error if there is none.
            same_data: whether data must be the same as then.

        Returns:
            Whether there was a checkpoint.

        Raises:
            InputError: there is none, or it cannot be read.
            FileFormatError: it is damaged, or of another training; nothing was changed.
            TrainingStateError: training runs.
        """
        if self.control.active:
            raise TrainingStateError("training runs", hint="stop it first")
        where = Path(path)
        if where.is_file():
            restore(self, read_checkpoint(where), same_data=same_data)
            self._origin = _run_of(where.parent)
            return True
        folder = where / CHECKPOINTS if (where / CHECKPOINTS).is_dir() else where
        found = CheckpointFolder(folder)
        if missing_ok and not found.files():
            return False
        restore(self, found.read_latest(), same_data=same_data)
        self._origin, run = None, _run_of(folder)
        if run is not None and run not in self._known_folders:
            self._known_folders.append(run)
        return True


def _run_of(checkpoints: Path) -> Path | None:
    """The folder of the run that checkpoints are of; None if they lie elsewhere."""
    where = checkpoints.resolve()
    return where.parent if where.name == CHECKPOINTS else None


def _one_word(name: str, what: str) -> None:
    if len(split_path(name)) != 1:
        raise IdentifierError(f"this is no name of a {what}", expected="a word without dots", got=repr(name))


def _expect(value: object, kind: type, message: str, expected: str) -> None:
    if not isinstance(value, kind):
        raise AttributeValueError(message, expected=expected, got=type(value).__name__)
