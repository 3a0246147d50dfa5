"""A training made by hand, so that hooks can be invoked without a trainer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from sigmagraph.training.hooking.hook import Hook, Moment
from sigmagraph.training.hooking.timing import TimeScale


class HandmadeTraining:
    """What hooks see of a trainer; it remembers what they did to it."""

    name = "handmade"
    epoch = 0
    iteration = 0

    def __init__(self, network: Any = None, folder: Any = None) -> None:
        self.network = network
        self.registry: Any = None
        self.folder = folder
        self.stops: list[str] = []
        self.lines: list[str] = []
        self.changes: list[tuple[str, Any]] = []
        self.shared: dict[str, Any] = {}
        self.restored: list[Any] = []

    def judge(self, name: str) -> Any:
        raise NotImplementedError

    def open_folder(self, path: str) -> Any:
        raise NotImplementedError

    def checkpoint(self) -> Any:
        raise NotImplementedError

    def restore(self, checkpoint: Any) -> None:
        self.restored.append(checkpoint)

    def set(self, identifier: str, value: Any) -> Future[list[str]]:
        self.changes.append((identifier, value))
        done: Future[list[str]] = Future()
        done.set_result([identifier])
        return done

    def stop(self, reason: str = "") -> None:
        self.stops.append(reason)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def moment(self, hook: Hook, state: dict[str, Any], values: Mapping[str, Any] | None = None) -> Moment:
        return Moment(
            scale=TimeScale.EPOCH,
            epoch=self.epoch,
            iteration=self.iteration,
            seconds=0.5 * self.iteration,
            worker=None,
            state=state,
            trainer=self,
            values=values or {},
            owner=hook.label,
            given=self.shared.__setitem__,
            asked=self.set,
        )

    def epochs(
        self, hook: Hook, values: Iterable[Mapping[str, Any]], state: dict[str, Any] | None = None, saved_at: int = -1
    ) -> dict[str, Any]:
        """Invoke a hook after each of some epochs of ten iterations; its state is written down and read at one of them."""
        state = hook.initial() if state is None else state
        for number, found in enumerate(values):
            if number == saved_at:
                state = json.loads(json.dumps(state, allow_nan=False))
            self.epoch += 1
            self.iteration += 10
            hook.invoke(self.moment(hook, state, found))
        return state
