"""A hook that has the network predict a block of records as training goes on, and hands over what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.hooking.hook import Hook, Moment, Training
from sigmagraph.training.hooks.doubles import VALUES, double
from sigmagraph.training.hooks.sameness import sameness
from sigmagraph.training.network import Network

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True)
class PassNetwork(Hook):
    """Predict given records, and hand what the network gives to a function: ``PassNetwork(images, show)``.

    The prediction is made by a copy of the network, which takes over the values that all parameters and states have at
    the event: beside training, which goes on meanwhile, or in its place with ``background=False``. What training
    depends on is not touched.

    Args:
        inputs: ``[records, ...]`` as for :meth:`Network.predict`; a mapping of such by alias where there are several.
        receiver: is called with what ``predict`` gives: an array, or arrays by alias.

    Raises:
        AttributeValueError: the receiver cannot be called, or it is to be local.
    """

    inputs: Any = field(compare=False)
    receiver: Callable[[Any], object]
    _: KW_ONLY
    background: bool = True
    strict: ClassVar[bool] = False
    _same: Any = field(init=False, repr=False, hash=False, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.receiver):
            raise AttributeValueError(
                "PassNetwork: nobody takes the output", expected="f(out)", got=repr(self.receiver)
            )
        if self.scope != "global":
            raise AttributeValueError(
                "PassNetwork passes what all workers have come to", expected="scope='global'", got=repr(self.scope)
            )
        named = isinstance(self.inputs, Mapping)
        kept = {alias: _kept(array) for alias, array in self.inputs.items()} if named else _kept(self.inputs)
        object.__setattr__(self, "inputs", kept)
        object.__setattr__(self, "_same", sameness(kept))

    def reads(self) -> tuple[str, ...]:
        return VALUES if self.background else ()

    def attached(self, trainer: Training) -> None:
        with double(trainer.network) as network:
            self._pass(network)  # which compiles, and refuses other records

    def invoke(self, now: Moment, /) -> None:
        with double(now.trainer.network, now if self.background else None) as network:
            out = self._pass(network)
        self.receiver(out)

    def _pass(self, network: Network) -> Any:
        return network.predict(**self.inputs) if isinstance(self.inputs, dict) else network.predict(self.inputs)


def _kept(array: Any) -> NDArray:
    """A copy that nobody changes."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy
