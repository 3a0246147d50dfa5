"""Copies of networks that hooks predict and dream with, so that nothing that training depends on is touched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from sigmagraph.training.hooking.hook import Moment
from sigmagraph.training.network import Network

NDArray: TypeAlias = "np.ndarray[Any, Any]"

# Where the registry has parameters and states: those of a layer, and those of a part of it. What passes through layers
# lies deeper, and a program gives it only where somebody asks. A hook that reads this is not strict, as few networks
# have parts of layers.
VALUES = ("network.layers.*.*", "network.layers.*.*.*")


@contextmanager
def double(network: Network, now: Moment | None = None) -> Iterator[Network]:
    """A copy of a network for one user at a time, with the values that all parameters and states have.

    Args:
        network: what it is a copy of; there is one copy of each.
        now: where the values are taken from, if that is what a hook has read (see ``VALUES``); None for the network.

    Raises:
        IdentifierError: the hook has read something else.
    """
    copy, lock = _copy_of(network)
    with lock:
        live = _values(network) if now is None else {}
        for name, value in _values(copy).items():
            value[...] = live[name] if now is None else now[f"network.layers.{name}"]
        yield copy


def _values(network: Network) -> dict[str, NDArray]:
    return network.parameters() | network.states()


def _copy_of(network: Network) -> tuple[Network, threading.Lock]:
    copies = _copies()
    if network not in copies:
        copies[network] = (network.copy(), threading.Lock())
    return copies[network]


@cache
def _copies() -> WeakKeyDictionary[Network, tuple[Network, threading.Lock]]:
    return WeakKeyDictionary()
