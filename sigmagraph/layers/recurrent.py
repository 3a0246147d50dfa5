"""The layers that go through a sequence step by step: Elman's recurrence, LSTM and GRU."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

from sigmagraph.dims import product
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.initialisers import Uniform
from sigmagraph.layers.activation import activate, check_activation
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_count, check_floats, known, making
from sigmagraph.layers.dropout import Dropout
from sigmagraph.tensor.control import scan
from sigmagraph.tensor.creation import arange, zeros
from sigmagraph.tensor.functions import broadcast_to, concatenate, sigmoid, tanh, where
from sigmagraph.tensor.tensor import Tensor

# Named parts of the state of one step, each [batch, size]; the first, "state", is what the layer gives.
State: TypeAlias = dict[str, Tensor]
# From the state and the input's share of the gates [batch, gates * size] to the next state.
Step: TypeAlias = Callable[[State, Tensor], State]


@dataclass(frozen=True)
class Recurrence(Layer):
    """What recurrent layers have in common: [batch, time, features] -> [batch, time, size], or [batch, size].

    The inputs of all steps are multiplied with their weights at once; only what depends on the state is in the loop. A
    second operand ``lengths``, integers [batch], says how long each sequence is: steps beyond that leave the state as
    it is and give 0. So a sequence ends, forwards or backwards, with the state of its own last step.

    Args:
        size: of the state.
        sequences: whether the states of all steps are given, or only the last one.
        reverse: whether the last step comes first; the state of step t stands at t all the same.
        bidirectional: whether another layer goes the other way; what both give stands side by side, [..., 2 * size].
        depth: number of layers one on top of the other.
        dropout: rate of dropout between them.
        carry: number of sequences whose last states are the first ones at the next call; None starts from 0 each time.
            No gradient goes back to an earlier call. ``network.forget(pattern)`` starts anew.

    Raises:
        AttributeValueError: a number makes no sense, or states are carried against the direction of time.
    """

    size: int
    sequences: bool = True
    reverse: bool = False
    bidirectional: bool = False
    depth: int = 1
    dropout: float = 0.0
    carry: int | None = None
    name: str = "#-recurrence"

    gates: ClassVar[int] = 1
    parts: ClassVar[tuple[str, ...]] = ("state",)

    def __post_init__(self) -> None:
        with making(self.name):
            check_count(self.size, "size")
            check_count(self.depth, "depth")
            Dropout(self.dropout)
            if self.carry is not None:
                check_count(self.carry, "carry")
                if self.reverse or self.bidirectional:
                    way = "bidirectional" if self.bidirectional else "reverse"
                    raise AttributeValueError(
                        "states are carried forwards", expected="one direction, forwards", got=way
                    )

    @abstractmethod
    def step(self, site: Site, x: Tensor) -> Step:
        """What a step does, with its parameters, for inputs like ``x``."""

    def forward(self, x: Tensor, site: Site, /, lengths: Tensor | None = None) -> Tensor:
        if x.ndim != 3:
            raise ShapeError("it goes through sequences", expected="[batch, time, features]", got=x.type)
        check_floats(x)
        alive = None if lengths is None else _alive(x, lengths)
        for level in range(self.depth):
            label = f"{level}" if self.depth > 1 else ""
            last = level == self.depth - 1
            x = self._level(x, site, label, alive, self.sequences or not last)
            if self.dropout and not last:
                x = site.inner(f"dropout{level}", Dropout(self.dropout), x)
        return x

    def _level(self, x: Tensor, site: Site, label: str, alive: Tensor | None, sequences: bool) -> Tensor:
        """One layer of the stack, in one direction or both."""
        if not self.bidirectional:
            return self._pass(x, _below(site, label), alive, sequences, self.reverse)
        names = [f"{label}.{way}" if label else way for way in ("forward", "backward")]
        both = [
            self._pass(x, _below(site, name), alive, sequences, back)
            for name, back in zip(names, (False, True), strict=True)
        ]
        return concatenate(both, axis=-1)

    def _pass(self, x: Tensor, site: Site, alive: Tensor | None, sequences: bool, back: bool) -> Tensor:
        batch, time, _ = x.shape
        features = known(x.shape[2], "the number of features of its weights")
        weights = self._drawn(site, "weights", (features, self.gates * self.size), x)
        biases = site.parameter("biases", (self.gates * self.size,), x.dtype, initial=0)
        rows = x.transpose(1, 0, 2).reshape(product((time, batch)), features) @ weights + biases
        shares = rows.reshape(time, batch, self.gates * self.size)
        step = self.step(site, x)
        start = self._start(site, x)
        if self.carry is not None:
            shares = broadcast_to(shares, (time, self.carry, self.gates * self.size))

        def turn(state: State, at: tuple[Tensor, ...]) -> tuple[State, Tensor | None]:
            new = step(state, at[0])
            if alive is None:
                return new, new["state"] if sequences else None
            kept = {name: where(at[1], value, state[name]) for name, value in new.items()}
            return kept, where(at[1], new["state"], 0.0) if sequences else None

        end: State
        end, states = scan(turn, start, (shares,) if alive is None else (shares, alive), reverse=back)
        if self.carry is not None:
            for name in self.parts:
                site.update(name, end[name])
        return states.transpose(1, 0, 2) if sequences else end["state"]

    def _start(self, site: Site, x: Tensor) -> State:
        if self.carry is None:
            return {name: zeros((x.shape[0], self.size), x.dtype) for name in self.parts}
        return {name: site.state(name, (self.carry, self.size), x.dtype) for name in self.parts}

    def _drawn(self, site: Site, name: str, shape: tuple[int, ...], x: Tensor) -> Tensor:
        limit = 1 / math.sqrt(self.size)
        return site.parameter(name, shape, x.dtype, Uniform(-limit, limit))

    def _recurrent(self, site: Site, x: Tensor) -> Tensor:
        return self._drawn(site, "recurrent.weights", (self.size, self.gates * self.size), x)


@dataclass(frozen=True)
class Recurrent(Recurrence):
    """Elman's recurrence: ``h' = activation(x @ weights + biases + h @ recurrent.weights)``.

    Source: J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990). Parameters, of x's dtype: ``weights``
    [features, size], ``recurrent.weights`` [size, size], ``biases`` [size], which is the sum of PyTorch's two. In a
    stack or in two directions the names begin with ``0.``, ``forward.``, ``0.backward.`` and so on.
    """

    activation: str = "tanh"
    name: str = "#-recurrent"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_activation(self.activation, self.name)

    def step(self, site: Site, x: Tensor) -> Step:
        recurrent = self._recurrent(site, x)
        return lambda state, share: {"state": activate(share + state["state"] @ recurrent, self.activation)}


@dataclass(frozen=True)
class LSTM(Recurrence):
    """A recurrence with a memory cell that gates write to, erase and read.

    ``i, f, g, o = x @ weights + biases + h @ recurrent.weights``, ``c' = sigmoid(f) * c + sigmoid(i) * tanh(g)``,
    ``h' = sigmoid(o) * tanh(c')``. Source: S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural
    Computation 9 (1997), with the forget gate of F. Gers et al. (2000).

    Parameters, of x's dtype: ``weights`` [features, 4 * size], ``recurrent.weights`` [size, 4 * size], ``biases``
    [4 * size], with the gates side by side in this order, which is that of PyTorch's rows; the biases are the sum of
    its two.
    """

    name: str = "#-lstm"

    gates: ClassVar[int] = 4
    parts: ClassVar[tuple[str, ...]] = ("state", "cell")

    def step(self, site: Site, x: Tensor) -> Step:
        recurrent, size = self._recurrent(site, x), self.size

        def step(state: State, share: Tensor) -> State:
            gates = share + state["state"] @ recurrent
            write, keep, new, read = (gates[:, i * size : (i + 1) * size] for i in range(4))
            cell = sigmoid(keep) * state["cell"] + sigmoid(write) * tanh(new)
            return {"state": sigmoid(read) * tanh(cell), "cell": cell}

        return step


@dataclass(frozen=True)
class GRU(Recurrence):
    """A recurrence whose gates say how much of the state is forgotten and how much is kept.

    ``r, z, n = x @ weights + biases`` and ``a, b, c = h @ recurrent.weights``;
    ``h' = (1 - sigmoid(z + b)) * tanh(n + sigmoid(r + a) * (c + recurrent.biases)) + sigmoid(z + b) * h``. Source:
    K. Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014), with the reset gate behind the
    product, as PyTorch has it.

    Parameters, of x's dtype: ``weights`` [features, 3 * size], ``recurrent.weights`` [size, 3 * size], ``biases``
    [3 * size], ``recurrent.biases`` [size]; the first two of the three biases are the sums of PyTorch's.
    """

    name: str = "#-gru"

    gates: ClassVar[int] = 3

    def step(self, site: Site, x: Tensor) -> Step:
        recurrent, size = self._recurrent(site, x), self.size
        biases = site.parameter("recurrent.biases", (size,), x.dtype, initial=0)

        def step(state: State, share: Tensor) -> State:
            old = state["state"]
            own = old @ recurrent
            gates = sigmoid(share[:, : 2 * size] + own[:, : 2 * size])
            reset, keep = gates[:, :size], gates[:, size:]
            new = tanh(share[:, 2 * size :] + reset * (own[:, 2 * size :] + biases))
            return {"state": new + keep * (old - new)}

        return step


@dataclass(frozen=True)
class Bidirectional(Layer):
    """A recurrent layer that goes both ways: what ``replace(inner, bidirectional=True)`` gives.

    Raises:
        AttributeValueError: the inner layer is not recurrent, or goes both ways itself.
    """

    inner: Recurrence
    name: str = "#-bidirectional"

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Recurrence) or self.inner.bidirectional:
            raise AttributeValueError(
                f"the layer '{self.name}' cannot go both ways with this",
                expected="a recurrent layer of one direction",
                got=repr(self.inner),
            )
        replace(self.inner, bidirectional=True)

    def forward(self, x: Tensor, site: Site, /, lengths: Tensor | None = None) -> Tensor:
        return replace(self.inner, bidirectional=True).forward(x, site, lengths)


def _alive(x: Tensor, lengths: Tensor) -> Tensor:
    """Whether step t is one of sequence b: bool [time, batch, 1]."""
    if lengths.dtype.is_float or lengths.ndim != 1:
        raise ShapeError("the lengths of the sequences make no sense", expected="integers [batch]", got=lengths.type)
    steps = arange(x.shape[1], dtype=lengths.dtype)
    return (steps[:, None] < lengths[None])[:, :, None]


def _below(site: Site, label: str) -> Site:
    """The site of a part that has parameters of its own."""
    return replace(site, name=f"{site.name}.{label}") if label else site
