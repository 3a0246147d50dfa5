"""What a program is to those who call it, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeAlias

import numpy as np

from sigmagraph.errors import SigmaError
from sigmagraph.ir.plan import Plan
from sigmagraph.runtime.preparation import Preparation
from sigmagraph.runtime.state import Variable

NDArray: TypeAlias = "np.ndarray[Any, Any]"


class Run:
    """A run of a program that was begun, and perhaps goes on.

    Args:
        results: what is filled in by its end.
        wait: waits for its end, and raises what came of it.
        lock: held while that is done, so that whoever asks meanwhile waits too.
    """

    def __init__(
        self,
        results: dict[str, NDArray],
        wait: Callable[[], None] | None = None,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self._results = results
        self._wait = wait
        self._lock = lock or nullcontext()
        self._failure: SigmaError | None = None

    def end(self) -> None:
        """Wait for the end; what went wrong is told by :meth:`result`."""
        with self._lock:
            wait, self._wait = self._wait, None
            if wait is not None:
                try:
                    wait()
                except SigmaError as error:
                    self._failure = error

    def result(self) -> dict[str, NDArray]:
        """The outputs by name, once they are there.

        Raises:
            IndexRangeError: an index was out of range; parameters are as they were.
            DeviceError: a kernel failed.
        """
        self.end()
        if self._failure is not None:
            raise self._failure
        return self._results


class Runner(Protocol):
    """A program that can be called.

    Attributes:
        plan: what it is.
        variables: its parameters, in the plan's order.
        preparation: what is done ahead of calls.
        threads: how many threads of this process take part.
    """

    plan: Plan
    variables: tuple[Variable, ...]
    preparation: Preparation | None

    @property
    def threads(self) -> int: ...

    def run(self, arrays: list[Any]) -> dict[str, NDArray]:
        """Run the program on arrays in the order of its inputs; fresh arrays come out.

        Raises:
            InputError: an array has another dtype or shape than the input takes.
            DimError: two arrays disagree about a dim, or a dim breaks a requirement.
            IndexRangeError: an index in an array is out of range; parameters are as they were.
        """
        ...

    def begin(self, arrays: list[Any]) -> Run:
        """Like :meth:`run`, but where that can be, results are waited for when they are asked for."""
        ...

    def upload(self, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        """What stands for inputs, by name, in one run; where there is a device it is on its way there by then.

        Raises:
            InputError: there is no such input, or an array has another dtype than it takes.
        """
        ...

    def arena_bytes(self, dims: Mapping[str, int]) -> int:
        """Bytes of the arena for given dims."""
        ...
