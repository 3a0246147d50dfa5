"""A hook that writes values to event files, which TensorBoard shows as curves and histograms."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sigmagraph.errors import InputError
from sigmagraph.training.hooking.criteria import Criterion
from sigmagraph.training.hooking.hook import Moment, State, Training, When
from sigmagraph.training.hooks.acting import ActingHook
from sigmagraph.training.hooks.comparison import is_number, number
from sigmagraph.training.hooks.listing import listed

_BINS = 64


@dataclass(frozen=True, init=False)
class TensorBoard(ActingHook):
    """Write values for TensorBoard: ``TensorBoard("runs/digits/events", "optimiser.cost", histograms=["*.weights"])``.

    A value's tag is its identifier with a slash for the first dot, by which TensorBoard groups curves; its step is the
    iteration. Needs ``pip install "sigmagraph[tensorboard]"``.

    The file is closed after every event. When training is resumed that had gone on behind the checkpoint, a new file
    begins with the mark by which TensorBoard drops what it has from later steps.

    Args:
        folder: of the event files; it is made.
        identifiers: of numbers, or patterns; of what these name, numbers count.
        histograms: identifiers of arrays, or patterns of them. Elements that are not finite are left out, and it is
            said how many they are.
        every, on, priority: as for :class:`Hook`.

    Raises:
        AttributeValueError: one of these makes no sense.
    """

    folder: str
    identifiers: tuple[str, ...]
    histograms: tuple[str, ...]

    def __init__(
        self,
        folder: str | Path,
        *identifiers: str,
        histograms: str | tuple[str, ...] | list[str] = (),
        every: When = "1 epoch",
        on: Criterion | None = None,
        priority: int = 0,
    ) -> None:
        super().__init__(every=every, on=on, priority=priority)
        object.__setattr__(self, "folder", str(folder))
        object.__setattr__(self, "identifiers", identifiers)
        object.__setattr__(self, "histograms", (histograms,) if isinstance(histograms, str) else tuple(histograms))

    def reads(self) -> tuple[str, ...]:
        return self.identifiers + self.histograms

    def initial(self) -> State:
        return {"file": None, "bytes": 0, "iteration": 0}

    def attached(self, trainer: Training) -> None:  # noqa: ARG002
        _format()
        try:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be made", got=error.strerror) from error

    def invoke(self, now: Moment, /) -> None:
        form, state = _format(), now.state
        events = b"".join(form.event(now.iteration, summary=summary) for summary in self._summaries(now, form))
        try:
            if not self._goes_on(state):
                first = form.event(0, file_version="brain.Event:2")
                if state["file"] is not None:
                    first += form.event(state["iteration"] + 1, session_log=form.start())
                state.update(file=_new(Path(self.folder)), bytes=0)
                events = first + events
            path = Path(self.folder, state["file"])
            with path.open("ab") as file:
                file.write(events)
        except OSError as error:
            raise InputError(f"events in {self.folder} cannot be written", got=error.strerror) from error
        state.update(bytes=state["bytes"] + len(events), iteration=now.iteration)

    def _goes_on(self, state: State) -> bool:
        """Whether the file ends with what the hook wrote last."""
        path = Path(self.folder, state["file"] or "")
        return path.is_file() and path.stat().st_size == state["bytes"]

    def _summaries(self, now: Moment, form: _Format) -> Iterator[Any]:
        for identifier, value in listed(now, self.identifiers).items():
            if identifier in self.identifiers or is_number(value):
                yield form.scalar(_tag(identifier), number(now, identifier))
        for identifier, value in listed(now, self.histograms).items():
            array = np.asarray(value, np.float64).ravel()
            finite = array[np.isfinite(array)]
            if len(finite) < len(array):
                now.say(f"TensorBoard: {len(array) - len(finite)} elements of {identifier} are not finite")
            if len(finite):
                yield form.histogram(_tag(identifier), finite, _BINS)


@dataclass(frozen=True)
class _Format:
    """What TensorBoard's files are made of: the library's messages, and its check sums around them."""

    scalar: Callable[[str, float], Any]
    histogram: Callable[[str, Any, int], Any]
    message: Callable[..., Any]
    session: Any
    checked: Callable[[bytes], int]

    def start(self) -> Any:
        """The mark by which all is dropped from its step on."""
        return self.session(status=self.session.START)

    def event(self, step: int, **content: Any) -> bytes:
        """A record of an event file: length, check sum, message, check sum.

        Source: "TFRecords format details" in TensorFlow's guide "TFRecord and tf.train.Example".
        """
        message = self.message(step=step, wall_time=time.time(), **content).SerializeToString()
        length = struct.pack("<Q", len(message))
        checks = [struct.pack("<I", self.checked(part)) for part in (length, message)]
        return b"".join((length, checks[0], message, checks[1]))


def _format() -> _Format:
    try:
        from tensorboardX import summary
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import masked_crc32c
    except ImportError as error:
        raise InputError(
            "the hook TensorBoard needs another library",
            expected="tensorboardX",
            got=error,
            hint='pip install "sigmagraph[tensorboard]"',
        ) from error
    return _Format(summary.scalar, summary.histogram, event_pb2.Event, event_pb2.SessionLog, masked_crc32c)


def _tag(identifier: str) -> str:
    return identifier.replace(".", "/", 1)


def _new(folder: Path) -> str:
    """The name of a new file behind those that the folder has; it is made."""
    second = int(time.time())
    while True:
        path = folder / f"events.out.tfevents.{second:010}.{socket.gethostname()}"
        try:
            path.open("xb").close()
        except FileExistsError:
            second += 1
        else:
            return path.name
