"""The loop over epochs and iterations, and what happens between two of them: commands, events, verdicts."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from sigmagraph.data.batches import Batch, Batches
from sigmagraph.data.dataset import Dataset
from sigmagraph.data.deck import Deck
from sigmagraph.data.prefetch import prefetch
from sigmagraph.errors import IdentifierError
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.training.contract import contract, step_entries
from sigmagraph.training.control import Control, State
from sigmagraph.training.course import Course
from sigmagraph.training.display.progress import Progress
from sigmagraph.training.evaluation import Evaluation, Evaluator
from sigmagraph.training.finite import FiniteCheck
from sigmagraph.training.hooking.attachments import Attachments
from sigmagraph.training.hooking.firing import Firing, OnError
from sigmagraph.training.hooking.journal import Journal
from sigmagraph.training.hooking.timing import TimeScale
from sigmagraph.training.network import Network
from sigmagraph.training.operators.crew import Crew, Outcome
from sigmagraph.training.portable import write_programs
from sigmagraph.training.snapshot import restore_values, snapshot
from sigmagraph.training.steps import Fetch
from sigmagraph.training.storage.checkpoints import Checkpoint
from sigmagraph.training.storage.run_folder import Ending, RunFolder
from sigmagraph.training.tasks import Task
from sigmagraph.training.upcoming import Upcoming

NDArray: TypeAlias = "np.ndarray[Any, Any]"
T = TypeVar("T")
VALIDATION = "validation"
LOG = logging.getLogger("sigmagraph.training")
_STREAMED_AHEAD = 2  # batches


@dataclass(frozen=True, slots=True)
class Goal:
    """When a run is over: at so many epochs or iterations, counted from the beginning of all."""

    epochs: int | None
    iterations: int | None

    def reached(self, course: Course) -> bool:
        """Whether it is over."""
        by_epochs = self.epochs is not None and course.epoch >= self.epochs
        return by_epochs or (self.iterations is not None and course.iteration >= self.iterations)


class Loop:
    """Training as it runs; :class:`Trainer` is what users see of it.

    Attributes:
        name: a word.
        network, optimiser: what is trained, and how.
        crew: who does it.
        data: what is learnt from.
        course: where training stands.
        control: what is asked of it from other threads.
        attachments: its hooks.
        registry: everything by identifier.
        folder: where the run is kept; None if nowhere.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        optimiser: Optimiser,
        data: Batches,
        crew: Crew,
        judge_with: tuple[Target, CompileOptions | None],
        on_hook_error: OnError,
        ahead: int | None,
        check_finite: bool,
    ) -> None:
        self.name, self.network, self.optimiser = name, network, optimiser
        self.data, self.crew = data, crew
        self.course = Course()
        self.control = Control()
        self.attachments = Attachments()
        self.folder: RunFolder | None = None
        self._folders: dict[Path, RunFolder] = {}
        self._logs: list[logging.Handler] = []
        self._known_folders: list[Path] = []  # those that hold this run, as far as it has come
        self._origin: Path | None = None  # the one that holds it if a hook asks for it
        self._judge_with = judge_with
        self._evaluator: Evaluator | None = None
        self._datasets: dict[str, Deck] = {}
        self._verdicts: dict[str, Evaluation] = {}
        self._outcome = Outcome({}, {})
        self._began: float | None = None
        self._started = False
        self._progress: Progress | None = None
        self._task: Task | None = None
        self._resized: int | None = None
        self._ahead = ahead
        self._finite = FiniteCheck(crew) if check_finite else None
        self._changed = True  # hooks or identifiers: what hooks read must be found again
        self.registry = contract(self)
        self._firing = Firing(self, self.attachments, self._read, self._give, on_hook_error, self.control.obey)

    # ---- where it stands

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return self.course.epoch

    @property
    def iteration(self) -> int:
        """Finished iterations of all epochs."""
        return self.course.iteration

    @property
    def seconds(self) -> float:
        """Seconds that training took so far, without pauses."""
        return self.course.seconds + (time.perf_counter() - self._began if self._began is not None else 0.0)

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Run-time scalars by name, read at every step."""
        return self.crew.hyperparameters

    @property
    def handed(self) -> Mapping[str, NDArray]:
        """What the last iteration handed out, by identifier."""
        return self._outcome.values

    def handed_out(self, identifier: str) -> Any:
        """A value that the last iteration handed out.

        Raises:
            IdentifierError: it did not.
        """
        if identifier in self._outcome.values:
            return _plain(self._outcome.values[identifier])
        raise IdentifierError(
            f"the last iteration did not hand out '{identifier}'",
            expected=", ".join(self._outcome.values) or "an iteration",
            got=identifier,
            hint="it is handed out at the iterations at which a hook reads it",
        )

    def judge(self, name: str) -> Evaluation:
        """The verdict on a named dataset, by the network as it is now.

        While training runs it is found between two iterations, and kept until the next one.

        Raises:
            IdentifierError: there is no dataset of that name.
        """
        if name not in self._datasets:
            raise IdentifierError(
                "there is no dataset of that name", expected=", ".join(self._datasets) or "none", got=name
            )
        return self.at_rest(lambda: self._judge(name))

    def _judge(self, name: str) -> Evaluation:
        found = self._verdicts.get(name)
        if found is None:
            found = self.evaluate(self._datasets[name])
            if self.control.active:
                self._verdicts[name] = found
        return found

    def evaluate(self, dataset: Deck) -> Evaluation:
        """Judge the network as it is now on a dataset.

        Raises:
            AttributeValueError: the dataset is empty.
            InputError: its arrays are not what the network takes.
        """
        if self._evaluator is None:
            self._evaluator = Evaluator(self.network, *self._judge_with)
        scalars = self._evaluator.hyperparameters
        scalars.update((name, self.hyperparameters[name]) for name in scalars)
        return self._evaluator(dataset)

    def metrics(self) -> dict[str, float]:
        """The numbers that are known of the network as it is now, by identifier."""
        found: dict[str, float] = {}
        if self.course.history.epochs:
            found["cost"] = self.course.history.epochs[-1].cost
        for name, verdict in self._verdicts.items():
            found[f"{name}.cost"] = verdict.cost
            if verdict.accuracy is not None:
                found[f"{name}.accuracy"] = verdict.accuracy
        provided = [name for a in self.attachments for name in a.hook.provides() if name in self.registry]
        for name in provided:
            value = self.registry[name]
            if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
                found[name] = float(value)
        rate = "optimiser.learning_rate"
        return found | ({rate: self.hyperparameters[rate]} if rate in self.hyperparameters else {})

    # ---- between two iterations

    def at_rest(self, command: Callable[[], T]) -> T:
        """Have something done between two iterations, at once if that is now, and wait for what it gives."""
        return self.control.submit(command).result()

    def change(self, command: Callable[[], object]) -> None:
        """The same for something that changes values, so that verdicts must be found again."""

        def changing() -> None:
            command()
            self._verdicts.clear()

        self.at_rest(changing)

    def resize(self, size: int) -> None:
        """Take batches of another size from the next epoch on.

        Raises:
            AttributeValueError: there are no batches of that size.
        """
        self.data.sized(size)

        def command() -> None:
            if self.course.batch:
                self._resized = size
            else:
                self.data = self.data.sized(size)

        self.at_rest(command)

    def say(self, text: str) -> None:
        """Show a line to whoever watches, above the bar if there is one, and log it."""
        if self._progress is not None:
            self._progress.say(text)
        else:
            sys.stdout.write(text + "\n")
        self._log(text)

    def _log(self, text: str) -> None:
        """Log what was said, and tell the run's folder whatever level is shown elsewhere."""
        LOG.info("%s", text, extra={"said": True})
        record = LOG.makeRecord(LOG.name, logging.INFO, __file__, 0, text, (), None)
        for handler in self._logs:
            handler.handle(record)

    def stop(self, reason: str = "") -> None:
        """Let training end after this iteration; nothing happens if it does not run. The reason of a hook is said."""
        if reason and self.control.inside and not self.control.stopping:
            self.say(reason)
        self.control.stop(reason)

    def checkpoint(self) -> Checkpoint:
        """Everything that training depends on, as it is between two iterations."""

        def command() -> Checkpoint:
            self._firing.settle(all_=True)
            return snapshot(self)

        return self.at_rest(command)

    def set(self, identifier: str, value: Any) -> Future[list[str]]:
        """Set what an identifier or pattern of the registry names, between two iterations.

        Returns:
            The identifiers that were set, or what went wrong.
        """
        return self.control.submit(lambda: self.registry.assign(identifier, value))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Let parameters, optimiser and random numbers be as in a checkpoint; epochs and hooks go on as they are.

        Raises:
            FileFormatError: it is the checkpoint of another training; nothing was changed.
        """
        self.change(lambda: restore_values(self, checkpoint))

    def take_back(self, course: Course, handed: Any, data: Batches) -> None:
        """Stand somewhere else: after a reset, or where a checkpoint was made."""
        self.course, self.data = course, data
        self._outcome = Outcome(dict(handed), {})
        self._resized = None
        self._verdicts.clear()
        self._changed = True

    def open_folder(self, path: str | PathLike[str]) -> RunFolder:
        """A folder that this run is kept in; the first one also gets its metrics.

        Raises:
            TrainingStateError: it holds another run, or another one uses it.
            InputError: it cannot be used.
        """
        where = Path(path).resolve()
        if where not in self._folders:
            folder = RunFolder(where)
            known = where in (*self._known_folders, self._origin)
            folder.open(self.iteration if known else None, self.epoch if known else None)
            folder.configure(self.describe())
            write_programs(where, self)
            self._logs.append(folder.handler())
            self._folders[where] = folder
            if self.folder is None:
                self.attachments.add(Journal())
            if self.folder is None or self.folder.path == where:
                self.folder = folder
            self._changed = True
            if where not in self._known_folders:
                self._known_folders.append(where)
        return self._folders[where]

    def describe(self) -> dict[str, Any]:
        """What this training is, in plain values."""
        return {
            "name": self.name,
            "network": self.network.name,
            "layers": self.network.summary().splitlines(),
            "parameters": self.network.parameter_count,
            "optimiser": repr(self.optimiser),
            "hyperparameters": dict(self.hyperparameters),
            "batch": self.data.size,
            "records": self.data.records,
            "seed": self.network.seed,
            "workers": self.crew.size,
            "hooks": [repr(a.hook) for a in self.attachments],
        }

    # ---- the loop

    def train(self, goal: Goal) -> None:
        """Train until a goal is reached, or training is stopped; the thread that calls it has begun."""
        self._prepare()
        self._began, self._started = time.perf_counter(), True
        self._emit(TimeScale.START)
        while not goal.reached(self.course) and not self.control.stopping:
            if not self._epoch(goal):
                break

    def _prepare(self) -> None:
        for where in self._known_folders:
            self.open_folder(where)
        self._firing.attach()
        self._resolve()

    def _resolve(self) -> None:
        """Find what hooks read, after hooks or identifiers have changed."""
        self._changed = False
        self._firing.attach()
        self.attachments.resolve(self.registry.names, lambda: [name for name, _ in self.registry.walk()])

    def refresh(self) -> None:
        """Take notice of parameters that were frozen, or are not any more."""
        if self.crew.refresh():
            step_entries(self.registry, self)
            self._changed = True

    def _epoch(self, goal: Goal) -> bool:
        """Go on with an epoch, or begin one; whether it came to its end."""
        if self._resized is not None and not self.course.batch:
            self.data, self._resized = self.data.sized(self._resized), None
        ahead = self._ahead
        if ahead is None:  # what lies in memory is gathered in a hundredth of a step
            ahead = 0 if isinstance(self.data.dataset, Dataset) else _STREAMED_AHEAD
        with prefetch(self.data.epoch(self.epoch, self.course.batch), ahead) as source:
            batches = Upcoming(source, self.crew.send)
            while self.course.batch < len(self.data):
                if not self._proceed() or (goal.iterations is not None and goal.reached(self.course)):
                    return False
                self._iterate(list(islice(batches, self.crew.takes)), batches)
                self.control.done()
        if not self._proceed():
            return False
        self._close()
        return True

    def _proceed(self) -> bool:
        going_on = self.control.proceed(self._paused, self._resumed)
        if going_on and self._changed:
            self._resolve()
        return going_on

    def _iterate(self, batches: list[Batch], upcoming: Upcoming[Batch]) -> None:
        self.refresh()
        if self._changed:
            self._resolve()
        course = self.course
        self.hyperparameters.advance(course.iteration, course.epoch + course.batch / len(self.data))
        fetch = self._fetch(last=course.batch + len(batches) >= len(self.data))
        self._verdicts.clear()
        self.crew.prepare(fetch)
        if self._finite is not None:
            self._finite.remember()
        start = time.perf_counter()
        outcome = self.crew.begin(batches, fetch)
        if self.crew.ahead:
            upcoming.get_ready()
        self._outcome = outcome()
        seconds = time.perf_counter() - start
        if self._finite is not None:
            self._finite.check(batches, self._outcome)
        cost = float(self._outcome.values["cost"])
        course.step(len(batches), cost, seconds)
        if self._progress is not None:
            self._progress.step(course.epoch + 1, cost)
        if self._task is not None:
            self._task.advance()
        self._emit(TimeScale.ITERATION)

    def _fetch(self, *, last: bool) -> Fetch:
        """What the next iteration has to hand out: what hooks read that are due after it."""
        if not len(self.attachments):
            return ()
        workers = [str(number) for number in range(self.crew.size)]
        wanted = dict.fromkeys(self.attachments.fetched(TimeScale.ITERATION, workers))
        if last:
            wanted |= dict.fromkeys(self.attachments.fetched(TimeScale.EPOCH, workers))
        return tuple(sorted(name for name in wanted if name in self.crew.identifiers))

    def _close(self) -> None:
        """The epoch is done."""
        self.crew.settle()
        self._verdicts.clear()
        validation = self.judge(VALIDATION) if VALIDATION in self._datasets else None
        epoch = self.course.close(validation)
        if self._progress is not None:
            self._progress.line(str(epoch))
        self._log(str(epoch))
        self._emit(TimeScale.EPOCH)

    def _paused(self) -> None:
        self._clock(running=False)
        for folder in self._folders.values():
            folder.mark("paused")
        self._emit(TimeScale.PAUSE)

    def _resumed(self) -> None:
        self._clock(running=True)
        for folder in self._folders.values():
            folder.mark("running")
        self._emit(TimeScale.RESUME)

    def _clock(self, *, running: bool) -> None:
        self.course.seconds = self.seconds
        self._began = time.perf_counter() if running else None

    def _emit(self, scale: TimeScale) -> None:
        if len(self.attachments):
            workers = self._outcome.workers if scale is TimeScale.ITERATION else range(self.crew.size)
            self._firing.fire(scale, list(workers), self.seconds)

    def finish(self, state: State, ending: Ending) -> None:
        """Training ends, whatever the reason, which its folders tell."""
        try:
            if self._began is not None:
                self._clock(running=False)
            if self._started:
                self._started = False
                self._emit(TimeScale.PAUSE if state is State.PAUSED else TimeScale.STOP)
            self._firing.settle(all_=True)
        finally:
            self._firing.close()
            self.crew.close()
            self._verdicts.clear()
            self._progress = self._task = None
            for folder in self._folders.values():
                folder.close(ending)
            self._folders.clear()
            self._logs.clear()
            self.control.end(state)

    # ---- what hooks see and do

    def _read(self, identifier: str, worker: int | None) -> Any:
        if worker is not None:
            source = {"optimiser.cost": "cost", "optimiser.cost_total": "cost"}.get(identifier, identifier)
            values = self._outcome.workers.get(worker, {})
            if source in values:
                return _plain(values[source])
            own, name = self.crew.own(worker), identifier.removeprefix("network.layers.")
            if name in own and name != identifier:
                return own[name].read()
        if identifier in self.registry:
            return self.registry[identifier]
        return None  # what a hook provides and has not shared yet

    def _give(self, identifier: str, value: Any) -> None:
        if identifier in self.registry and self.registry.describe(identifier).live:
            raise IdentifierError(
                f"'{identifier}' is no name for what hooks share: it is training's own",
                expected="another one, such as shared.largest",
                got=identifier,
            )
        place, _, name = identifier.rpartition(".")
        (self.registry.child(place) if place else self.registry).set(name, value)


def _plain(value: NDArray) -> NDArray | float:
    """A number as one of Python's."""
    return value if value.ndim else value.item()
