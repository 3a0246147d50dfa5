"""A hook that lets the network dream as training goes on: inputs that it takes for what it is to recognise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, Unpack

import numpy as np

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.training.display.pictures import ascii_picture, beside, save_png
from sigmagraph.training.hooking.criteria import Criterion
from sigmagraph.training.hooking.hook import Hook, Moment, Training, When
from sigmagraph.training.hooks.acting import LATE
from sigmagraph.training.hooks.doubles import VALUES, double
from sigmagraph.training.hooks.sameness import sameness
from sigmagraph.training.maximisation import DreamKeywords, DreamOptions
from sigmagraph.training.namers import Namer

NDArray: TypeAlias = "np.ndarray[Any, Any]"
_COLUMNS = 80  # of the terminal
_WIDEST = 40  # a picture in it


@dataclass(frozen=True, init=False)
class Maximise(Hook):
    """Let the network dream of classes: ``Maximise(range(10), every="5 epochs", path="dreams/{epoch:03}.png")``.

    What comes out is shared: ``shared.target_maximisation_result_<class>_success`` (whether the input reached its cost)
    and ``..._input``. It is shown as text, or written to a picture where there is a path. A copy of the network dreams,
    which takes over the values that parameters and states have at the event.

    Args:
        targets: the class, or several.
        path: of a PNG file; what stands between braces in its name, ``epoch`` or ``iteration``, is filled in. Its
            folder is made.
        every, on, priority, background: as for :class:`Hook`.
        options: as for :meth:`Network.maximise`.

    Raises:
        AttributeValueError: one of these makes no sense.
    """

    targets: tuple[int, ...]
    path: str | None
    options: DreamKeywords = field(compare=False)
    _same: Any = field(repr=False, hash=False)

    strict: ClassVar[bool] = False

    def __init__(
        self,
        targets: int | Sequence[int],
        *,
        path: str | Path | None = None,
        every: When = "1 epoch",
        on: Criterion | None = None,
        priority: int = LATE,
        background: bool = False,
        **options: Unpack[DreamKeywords],
    ) -> None:
        super().__init__(every=every, on=on, priority=priority, background=background)
        DreamOptions(**options)  # which checks them
        object.__setattr__(self, "targets", _classes(targets))
        object.__setattr__(self, "path", None if path is None else str(path))
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "_same", sameness(options))
        if path is not None:
            Namer(Path(path).name)

    def reads(self) -> tuple[str, ...]:
        return VALUES if self.background else ()

    def provides(self) -> tuple[str, ...]:
        return tuple(_shared(target, what) for target in self.targets for what in ("success", "input"))

    def attached(self, trainer: Training) -> None:  # noqa: ARG002
        if self.path is not None:
            try:
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"the folder of {self.path} cannot be made", got=error.strerror) from error

    def invoke(self, now: Moment, /) -> None:
        with double(now.trainer.network, now if self.background else None) as network:
            dream = network.maximise(self.targets, **self.options)
        for target, reached, found in zip(self.targets, dream.reached, dream.inputs, strict=True):
            now.share(_shared(target, "success"), bool(reached))
            now.share(_shared(target, "input"), found)
        number = int(np.count_nonzero(dream.reached))
        now.say(f"epoch {now.epoch}: {number} of {len(self.targets)} dreams have reached their cost")
        images = _images(dream.inputs, DreamOptions(**self.options).clip)
        if self.path is None:
            for line in _gallery(images):
                now.say(line)
        else:
            name = Namer(Path(self.path).name)({"epoch": now.epoch, "iteration": now.iteration})
            save_png(Path(self.path).with_name(name), images)


def _shared(target: int, what: str) -> str:
    return f"shared.target_maximisation_result_{target}_{what}"


def _classes(targets: int | Sequence[int]) -> tuple[int, ...]:
    array = np.asarray(targets)
    if array.dtype.kind not in "iu" or array.ndim > 1 or not array.size or len(np.unique(array)) < array.size:
        raise AttributeValueError(
            "Maximise dreams of classes", expected="a whole number, or several different ones", got=repr(targets)
        )
    return tuple(int(target) for target in array.reshape(-1))


def _images(inputs: NDArray, clip: tuple[float, float] | None) -> NDArray:
    """Inputs as what pictures are made of, from 0 to 1; an axis of one channel is left out."""
    images = inputs[..., 0] if inputs.ndim == 4 and inputs.shape[-1] == 1 else inputs
    low, high = (images.min(), images.max()) if clip is None else clip
    return np.asarray((images - low) / (high - low if high > low else 1.0))


def _gallery(images: NDArray) -> Iterator[str]:
    """Images as text, as many side by side as a terminal is wide; nothing if they are none."""
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)):
        return
    width = min(2 * images.shape[2], _WIDEST)
    number = max(1, (_COLUMNS + 2) // (width + 2))
    pictures = [ascii_picture(image, width) for image in images]
    for start in range(0, len(pictures), number):
        yield beside(pictures[start : start + number])
