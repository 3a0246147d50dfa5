"""A whole training as a checkpoint, and back: nothing is changed unless all of it fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from sigmagraph.data.batches import Batches
from sigmagraph.errors import FileFormatError
from sigmagraph.layers.assembly import RNG
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.training.course import Course
from sigmagraph.training.hooking.attachments import Attachments
from sigmagraph.training.network import Network
from sigmagraph.training.operators.crew import Crew
from sigmagraph.training.registry.registry import Registry
from sigmagraph.training.storage.checkpoints import Checkpoint

NDArray: TypeAlias = "np.ndarray[Any, Any]"
ITERATION = "course/iteration"
_TIMES = "course/step_seconds"
_VALUE = "value/"
MEMORY_ONLY = ("course/", _VALUE, "worker.")  # what names of arrays begin with that one program knows nothing of


class Subject(Protocol):
    """A training, as far as checkpoints know it."""

    name: str
    network: Network
    optimiser: Optimiser
    crew: Crew
    data: Batches
    course: Course
    attachments: Attachments
    registry: Registry

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Run-time scalars by name."""
        ...

    @property
    def handed(self) -> Mapping[str, NDArray]:
        """What the last iteration handed out."""
        ...

    def take_back(self, course: Course, handed: Mapping[str, NDArray], data: Batches) -> None:
        """Go on from there."""
        ...


def snapshot(subject: Subject) -> Checkpoint:
    """Everything that a training depends on, as it is now."""
    arrays = {name: variable.read().copy() for name, variable in variables_of(subject).items()}
    arrays[_TIMES] = subject.course.times()
    arrays[ITERATION] = np.array(subject.course.iteration, np.int64)
    # At the end of an epoch hooks may still have to see what its last iteration handed out.
    arrays |= {f"{_VALUE}{name}": np.asarray(array) for name, array in subject.handed.items()}
    values = subject.hyperparameters
    scheduled = values.scheduled()
    document = {
        "trainer": subject.name,
        "network": subject.network.name,
        "optimiser": type(subject.optimiser).__name__,
        "workers": subject.crew.size,
        "counts": subject.crew.counts(),
        "frozen": list(subject.network.frozen),
        "course": subject.course.document(),
        # Those that follow a schedule are what it says for their step.
        "hyperparameters": {name: None if name in scheduled else value for name, value in values.items()},
        "data": {"size": subject.data.size, "fingerprint": subject.data.fingerprint()},
        "hooks": subject.attachments.documents(),
        "shared": {name: value for name, value in _shared(subject.registry).items() if _is_plain(value)},
    }
    return Checkpoint(arrays, document)


def restore_values(subject: Subject, checkpoint: Checkpoint) -> None:
    """Let parameters, optimiser and random numbers be as they were; the course goes on as it does.

    Raises:
        FileFormatError: it is the checkpoint of another training.
    """
    variables = variables_of(subject)
    _check(variables, checkpoint)
    for name, variable in variables.items():
        variable.assign(checkpoint.arrays[name])
    subject.crew.count_from(checkpoint.document["counts"])


def restore(subject: Subject, checkpoint: Checkpoint, *, same_data: bool) -> None:
    """Let a training stand where it stood when a checkpoint was made.

    Args:
        subject: what is changed.
        checkpoint: where it stood.
        same_data: whether the data must be the same.

    Raises:
        FileFormatError: it is the checkpoint of another training, or other data; nothing was changed.
    """
    document, network = checkpoint.document, subject.network
    try:
        data = subject.data.sized(document["data"]["size"])
        course = _course(document["course"], checkpoint.arrays)
        numbers = {k: v for k, v in document["hyperparameters"].items() if v is not None}
        hooks, shared, frozen = document["hooks"], document["shared"], document["frozen"]
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            "the checkpoint lacks a part",
            got=error,
            hint="if it was written in part, network.load(path) takes its parameters",
        ) from error
    _expect("workers", subject.crew.size, document["workers"])
    _expect("optimiser", type(subject.optimiser).__name__, document["optimiser"])
    if same_data:
        _expect("data", data.fingerprint(), document["data"]["fingerprint"], "resume(..., same_data=False) allows it")
    unknown = [name for name in numbers if name not in subject.hyperparameters]
    _expect("hyperparameters", [], unknown)
    before = network.frozen
    _freeze(network, frozen)
    subject.crew.refresh()
    try:
        restore_values(subject, checkpoint)
    except FileFormatError:
        _freeze(network, before)
        subject.crew.refresh()
        raise
    for name, value in numbers.items():
        subject.hyperparameters[name] = value
    for name, value in shared.items():
        place, _, key = name.rpartition(".")
        subject.registry.child(place).set(key, value)
    subject.attachments.recall(hooks)
    handed = {n.removeprefix(_VALUE): a for n, a in checkpoint.arrays.items() if n.startswith(_VALUE)}
    subject.take_back(course, handed, data)


def variables_of(subject: Subject, *, others: bool = True) -> dict[str, Variable]:
    """Everything that programs write, by its name in checkpoints; with ``others`` what further workers have, too."""
    network = subject.network.variables
    found = {f"{'random' if name == RNG else 'network'}/{name}": variable for name, variable in network.items()}
    found |= {f"optimiser/{n.removeprefix('optimiser.')}": p.variable for n, p in subject.crew.memory.items()}
    return found | (subject.crew.more() if others else {})


def _course(document: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Course:
    """The course so far. Exported programs count on: they do steps of which document and times do not know."""
    if ITERATION not in arrays:  # of a version before there were exports
        return Course.of(document, arrays[_TIMES])
    course = Course.of(document, arrays.get(_TIMES, np.zeros(0)))
    course.iteration = int(arrays[ITERATION])
    return course


def _check(variables: Mapping[str, Variable], checkpoint: Checkpoint) -> None:
    own = (ITERATION, _TIMES)
    arrays = {n: a for n, a in checkpoint.arrays.items() if n not in own and not n.startswith(_VALUE)}
    expected = {name: f"{v.dtype}{list(v.shape)}" for name, v in variables.items()}
    got = {name: _described(a) for name, a in arrays.items()}
    wrong = [name for name in (*expected, *got) if expected.get(name) != got.get(name)]
    if wrong:
        names = list(dict.fromkeys(wrong))[:8]
        raise FileFormatError(
            "this is the checkpoint of another training",
            expected=", ".join(f"{n} {expected.get(n, 'absent')}" for n in names),
            got=", ".join(f"{n} {got.get(n, 'absent')}" for n in names),
        )


def _described(array: NDArray) -> str:
    from sigmagraph.dtypes import as_dtype

    return f"{as_dtype(array.dtype)}{list(array.shape)}"


def _expect(what: str, expected: object, got: object, hint: str | None = None) -> None:
    if expected != got:
        raise FileFormatError(
            f"this is the checkpoint of another training: other {what}", expected=expected, got=got, hint=hint
        )


def _freeze(network: Network, names: list[str] | tuple[str, ...]) -> None:
    network.unfreeze()
    for name in names:
        network.freeze(name)


def _shared(registry: Registry) -> dict[str, Any]:
    return {name: get() for name, get in registry.walk() if name.startswith("shared.")}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
