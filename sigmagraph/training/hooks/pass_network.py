"""A hook that has the network predict a block of records as training goes on, and hands over what comes out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cache
from typing import Any, ClassVar, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.hook import Hook, Moment, Training
from sigmagraph.training.hooks.sameness import sameness
from sigmagraph.training.network import Network

NDArray: TypeAlias = "np.ndarray[Any, Any]"

# Where the registry has parameters and states: those of a layer, and those of a part of it. What passes through layers
# lies deeper, and a program gives it only where somebody asks.
_VALUES = ("network.layers.*.*", "network.layers.*.*.*")


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
    strict: ClassVar[bool] = False  # few networks have parts of layers
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
        return _VALUES if self.background else ()

    def attached(self, trainer: Training) -> None:
        self._pass(_double(trainer.network), _values(trainer.network))  # which compiles, and refuses other records

    def invoke(self, now: Moment, /) -> None:
        network = now.trainer.network
        double = _double(network)
        if self.background:
            values = {name: np.asarray(now[f"network.layers.{name}"]) for name in _values(double.network)}
        else:
            values = _values(network)
        self.receiver(self._pass(double, values))

    def _pass(self, double: _Double, values: Mapping[str, NDArray]) -> Any:
        with double.lock:
            for name, value in _values(double.network).items():
                value[...] = values[name]
            if isinstance(self.inputs, dict):
                return double.network.predict(**self.inputs)
            return double.network.predict(self.inputs)


@dataclass(frozen=True, eq=False)
class _Double:
    """A copy of a network that predictions are made by, one after the other."""

    network: Network
    lock: threading.Lock


def _double(network: Network) -> _Double:
    doubles = _doubles()
    if network not in doubles:
        doubles[network] = _Double(network.copy(), threading.Lock())
    return doubles[network]


@cache
def _doubles() -> WeakKeyDictionary[Network, _Double]:
    return WeakKeyDictionary()


def _values(network: Network) -> dict[str, NDArray]:
    return network.parameters() | network.states()


def _kept(array: Any) -> NDArray:
    """A copy that nobody changes."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy
