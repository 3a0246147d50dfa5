"""Environments: named places with a registry, seeds, tasks and a workspace of their own, in which trainers live."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
from collections.abc import Callable
from concurrent.futures import wait
from functools import cache, partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack
from weakref import WeakValueDictionary

from sigmagraph.data.batches import Batches
from sigmagraph.data.deck import Deck
from sigmagraph.errors import AttributeValueError, IdentifierError, InputError, TrainingStateError
from sigmagraph.identifiers import split_path
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.training.course import History
from sigmagraph.training.namers import checked_file_name
from sigmagraph.training.network import Network
from sigmagraph.training.registry.registry import Registry
from sigmagraph.training.seeds import Seeds
from sigmagraph.training.tasks import Tasks
from sigmagraph.training.trainer import Trainer, TrainerOptions


class Environment:
    """A named place that holds what trainers have in common.

    A name is taken while its environment lives: until it is closed, or until nobody refers to it any more.

    Args:
        name: a word without dots and characters of patterns that can be the name of a folder.
        seed: the root of its seeds; None draws one from the system, which is logged.
        workspace: the folder for what it keeps; None takes the user's data folder of sigmagraph, such as
            ``~/.local/share/sigmagraph`` on Linux. Nothing is made there before it is used.

    Attributes:
        name: what it is called.
        registry: the root of everything that can be looked up; its keys are ``name``, ``seed`` and ``workspace``, and
            what trainers and others add.
        seeds: where random numbers come from.
        tasks: what is under way.
        workspace: the folder.
        logger: ``sigmagraph.environment.<name>``.

    Raises:
        IdentifierError: an environment of that name lives already, or this is no name.
        AttributeValueError: the name is no name of a folder, or the seed is none.
    """

    def __init__(self, name: str, seed: int | None = None, workspace: str | PathLike[str] | None = None) -> None:
        if len(split_path(name)) != 1:
            raise IdentifierError("this is no name of an environment", expected="a word without dots", got=repr(name))
        self.name = checked_file_name(name)
        self.seeds = Seeds(seed)
        self.tasks = Tasks()
        self.workspace = _default_workspace() if workspace is None else Path(workspace)
        self.logger = logging.getLogger(f"sigmagraph.environment.{name}")
        self._on_close: list[Callable[[], object]] = []
        self._trainers: dict[str, Trainer] = {}
        self._closed = False
        self.registry = Registry(name, tags=("environment",))
        # The links refer to values, not to the environment, which therefore goes as soon as nobody needs it.
        self.registry.link("name", partial(str, name), type=str)
        self.registry.link("seed", partial(int, self.seeds.seed), type=int)
        self.registry.link("workspace", partial(Path, self.workspace), type=Path)
        _living().add(self)  # last: what fails above takes no name
        if seed is None:
            self.log("environment %s draws the seed %d", name, self.seeds.seed)

    @staticmethod
    def get(name: str) -> Environment:
        """The living environment of that name.

        Raises:
            IdentifierError: there is none.
        """
        found = _living().find(name)
        if found is None:
            raise IdentifierError(
                "there is no such environment",
                expected=", ".join(Environment.names()) or "one that lives",
                got=repr(name),
                hint="an environment lives while somebody refers to it",
            )
        return found

    @staticmethod
    def get_or_create(name: str, seed: int | None = None, workspace: str | PathLike[str] | None = None) -> Environment:
        """The living environment of that name, or a new one, for which the other arguments are.

        Raises:
            IdentifierError: this is no name.
            AttributeValueError: the name is no name of a folder, or the seed is none.
        """
        with _living().lock:
            return _living().find(name) or Environment(name, seed, workspace)

    @staticmethod
    def exists(name: str) -> bool:
        """Whether an environment of that name lives."""
        return _living().find(name) is not None

    @staticmethod
    def names() -> list[str]:
        """The names of all living environments, sorted."""
        return _living().names()

    # Who trains in it.

    def trainer(
        self,
        name: str,
        network: Network,
        optimiser: Optimiser,
        data: Batches,
        validation: Deck | None = None,
        **more: Unpack[TrainerOptions],
    ) -> Trainer:
        """A trainer of this environment; its registry is ``<name>`` in the environment's.

        A network that was not touched yet gets its first values from the environment's seeds, as workers and batches
        without a seed of their own do.

        Args:
            name: a word that no other trainer of the environment has.
            network: what is trained.
            optimiser: how.
            data: on what.
            validation: what it is judged by.
            more: further arguments of :class:`Trainer`, such as ``operator="cpu:2"``.

        Raises:
            IdentifierError: the name is taken, or no name.
            SigmaError: what :class:`Trainer` raises.
        """
        if name in self.registry:
            raise IdentifierError(
                f"the environment '{self.name}' has a '{name}' already", expected="another name", got=name
            )
        seeds = self.seeds.child(name)
        if network.untouched:
            network.reset(seeds.child("initialisation").integer())
        trainer = Trainer(network, optimiser, data, validation, name=name, seeds=seeds, tasks=self.tasks, **more)
        self.registry[name] = trainer.registry
        self._trainers[name] = trainer
        return trainer

    @property
    def trainers(self) -> dict[str, Trainer]:
        """The trainers by name."""
        return dict(self._trainers)

    def remove(self, name: str) -> None:
        """Part from a trainer.

        Raises:
            IdentifierError: there is none of that name.
            TrainingStateError: it trains.
        """
        trainer = self._find(name)
        if trainer.control.active:
            raise TrainingStateError(f"the trainer '{name}' trains", hint="stop it first")
        del self._trainers[name], self.registry[name]

    def run_all(self, epochs: int) -> dict[str, History]:
        """Let all trainers train at the same time, each in a thread of its own, and wait for them.

        Args:
            epochs: how many more, for each.

        Returns:
            Their histories by name.

        Raises:
            SigmaError: what the first of them ended with that failed; the others were waited for.
        """
        futures = {name: trainer.start(epochs) for name, trainer in self._trainers.items()}
        wait(futures.values())
        return {name: future.result() for name, future in futures.items()}

    def stop_all(self) -> None:
        """Let all trainers end after their iteration, and wait for that."""
        for trainer in self._trainers.values():
            trainer.stop("the environment ends")
        for trainer in self._trainers.values():
            if trainer.control.active and not trainer.control.inside:
                trainer.wait()

    def _find(self, name: str) -> Trainer:
        if name not in self._trainers:
            raise IdentifierError(
                "there is no such trainer", expected=", ".join(self._trainers) or "none", got=repr(name)
            )
        return self._trainers[name]

    # What it keeps on disk.

    @property
    def cache(self) -> Path:
        """The folder for what can be made again; it is made if missing."""
        return self._folder("cache")

    @property
    def datasets(self) -> Path:
        """The folder for records; it is made if missing."""
        return self._folder("datasets")

    @property
    def runs(self) -> Path:
        """The folder for what trainings leave; it is made if missing."""
        return self._folder("runs")

    def _folder(self, name: str) -> Path:
        folder = self.workspace / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the folder {folder} cannot be made", got=error.strerror) from error
        return folder

    def log(self, message: str, *values: object, level: int = logging.INFO) -> None:
        """Log a message of this environment.

        Args:
            message: with ``%`` marks for the values, as :mod:`logging` has them.
            values: what is put in, if anybody listens.
            level: such as ``logging.WARNING``.
        """
        self.logger.log(level, message, *values)

    # Its end.

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def on_close(self, callback: Callable[[], object]) -> None:
        """Have a function called when it is closed; the last one that was added is called first.

        Raises:
            AttributeValueError: it was closed already, or this cannot be called.
        """
        if self._closed or not callable(callback):
            what = "a living environment and a function"
            raise AttributeValueError("this cannot be called at the end", expected=what, got=repr(callback))
        self._on_close.append(callback)

    def close(self) -> None:
        """End it: call what waits for that, cancel what is under way and free the name, whatever goes wrong before.

        Closing it again does nothing. What a callback raises is raised after all of them were called.
        """
        if self._closed:
            return
        self._closed = True
        with contextlib.ExitStack() as stack:
            stack.callback(_living().remove, self)
            stack.callback(self.stop_all)
            for task in self.tasks.running():
                stack.callback(task.cancel)
            for callback in self._on_close:
                stack.callback(callback)
            self._on_close = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Environment {self.name!r}, seed {self.seeds.seed}{', closed' if self._closed else ''}>"


class _Living:
    """The environments of this process that live, by name."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._found: WeakValueDictionary[str, Environment] = WeakValueDictionary()

    def add(self, environment: Environment) -> None:
        with self.lock:
            if environment.name in self._found:
                gc.collect()  # perhaps only a circle of objects, such as an error's traceback, refers to it
            if environment.name in self._found:
                raise IdentifierError(
                    "an environment of this name lives already",
                    expected="another name, Environment.get_or_create(name), or close() first",
                    got=repr(environment.name),
                )
            self._found[environment.name] = environment

    def remove(self, environment: Environment) -> None:
        with self.lock:
            if self._found.get(environment.name) is environment:
                del self._found[environment.name]

    def find(self, name: str) -> Environment | None:
        with self.lock:
            return self._found.get(name)

    def names(self) -> list[str]:
        with self.lock:
            return sorted(self._found.keys())


@cache
def _living() -> _Living:
    return _Living()


def _default_workspace() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("sigmagraph"))
