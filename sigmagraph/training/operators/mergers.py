"""How the values that several workers, or several networks, have come to become one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

from sigmagraph.driver import compile
from sigmagraph.errors import AttributeValueError, GraphError, ShapeError
from sigmagraph.identifiers import matching, most_specific
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.functions import constant, maximum
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.training.network import Network


class Merger(ABC):
    """A rule by which several values of one parameter become one, as part of a compiled program."""

    @abstractmethod
    def merge(self, values: Sequence[Tensor], shares: Sequence[Tensor], /) -> Tensor:
        """The merged value.

        Args:
            values: tensors of floats of one type, one for each worker.
            shares: for each worker, scalars of type f32, which part of all records it has seen; their sum is 1.
        """


@dataclass(frozen=True)
class Average(Merger):
    """The mean, in which each value counts as much as the records that it was made from."""

    def merge(self, values: Sequence[Tensor], shares: Sequence[Tensor], /) -> Tensor:
        return _weighted(values, shares)


@dataclass(frozen=True, init=False)
class Weighted(Merger):
    """The mean with weights of one's own: ``Weighted(2, 1)`` lets the first worker count for two.

    Raises:
        AttributeValueError: a weight is negative or not finite, or all are 0.
    """

    weights: tuple[float, ...]

    def __init__(self, *weights: float) -> None:
        object.__setattr__(self, "weights", weights)
        numbers = all(isinstance(w, (int, float)) and not isinstance(w, bool) for w in weights)
        if not numbers or not all(0 <= w < math.inf for w in weights) or not sum(weights):
            raise AttributeValueError(
                "these are no weights of a mean", expected="numbers of 0 or more, not all of them 0", got=weights
            )

    def merge(self, values: Sequence[Tensor], shares: Sequence[Tensor], /) -> Tensor:  # noqa: ARG002
        if len(values) != len(self.weights):
            raise AttributeValueError(
                "a weighted mean needs a weight for each worker", expected=len(values), got=len(self.weights)
            )
        return _weighted(values, [constant(w / sum(self.weights)) for w in self.weights])


@dataclass(frozen=True)
class Maximum(Merger):
    """The greatest value of each element."""

    def merge(self, values: Sequence[Tensor], shares: Sequence[Tensor], /) -> Tensor:  # noqa: ARG002
        return reduce(maximum, values)


@dataclass(frozen=True)
class Custom(Merger):
    """A function ``(values, shares) -> tensor`` as a rule; see :meth:`Merger.merge` for what it is handed."""

    function: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]

    def merge(self, values: Sequence[Tensor], shares: Sequence[Tensor], /) -> Tensor:
        merged = self.function(values, shares)
        if not isinstance(merged, Tensor) or merged.type != values[0].type:
            got = merged.type if isinstance(merged, Tensor) else repr(merged)
            raise ShapeError("a merger gives something else", expected=values[0].type, got=got)
        return merged


# One rule for everything, or rules by patterns of identifiers, of which the most specific one counts.
Mergers: TypeAlias = Merger | Mapping[str, Merger]


@dataclass(frozen=True)
class Rules:
    """Which rule counts for which identifier.

    Args:
        mergers: one for all, or several by pattern; what no pattern names is averaged.

    Raises:
        AttributeValueError: something else stands in the place of a merger.
    """

    mergers: Mergers = Average()

    def __post_init__(self) -> None:
        for merger in self.mergers.values() if isinstance(self.mergers, Mapping) else (self.mergers,):
            if not isinstance(merger, Merger):
                raise AttributeValueError(
                    "this is no merger", expected="Average(), Weighted(...), Custom(...)", got=repr(merger)
                )

    def check(self, identifiers: Sequence[str]) -> None:
        """Refuse patterns that name nothing.

        Raises:
            IdentifierError: one does not.
        """
        for pattern in self.mergers if isinstance(self.mergers, Mapping) else ():
            matching(pattern, identifiers)

    def __call__(self, identifier: str, values: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
        """The merged value; whole numbers, such as counters of steps, are equal everywhere: the first one counts."""
        if not values[0].dtype.is_float or len(values) == 1:
            return values[0]
        return self._of(identifier).merge(values, shares).astype(values[0].dtype)

    def _of(self, identifier: str) -> Merger:
        if isinstance(self.mergers, Merger):
            return self.mergers
        rule = most_specific(identifier, list(self.mergers.items()))
        return rule[1] if rule else Average()


def merge_networks(into: Network, networks: Sequence[Network], mergers: Mergers = Average()) -> None:
    """Let the parameters and states of a network become those of several others together, which count alike.

    Args:
        into: the network that is changed; it may be one of the others.
        networks: at least one, with parameters of the same names, shapes and dtypes.
        mergers: one rule, or several by patterns such as ``*.weights``.

    Raises:
        GraphError: the networks do not have the same parameters.
        IdentifierError: a pattern names nothing.
        AttributeValueError: something else stands in the place of a merger.
    """
    rules = Rules(mergers)
    names = into.identifiers
    rules.check(names)
    if not networks:
        raise GraphError("there is nothing to merge", expected="one network or more", got="none")
    for network in networks:
        _check_alike(into, network, names)
    shares = [constant(1 / len(networks))] * len(networks)
    updates: dict[Tensor, Tensor] = {}
    for name in names:
        values = [_renamed(network, name, number) for number, network in enumerate(networks)]
        updates[Parameter(into.variables[name], trainable=False)] = rules(name, values, shares)
    compile([], {}, updates, name=f"{into.name}.merge")()


def _renamed(network: Network, name: str, number: int) -> Tensor:
    """A copy of a parameter under a name that no other network has."""
    source = network.variables[name]
    value = source.read()
    return Parameter(Variable(f"{number}/{name}", source.dtype, source.shape, value), trainable=False)


def _check_alike(a: Network, b: Network, names: Sequence[str]) -> None:
    def described(network: Network, name: str) -> str:
        variable = network.variables.get(name)
        return "absent" if variable is None else f"{variable.dtype}{list(variable.shape)}"

    for name in dict.fromkeys([*names, *b.identifiers]):
        if described(a, name) != described(b, name):
            raise GraphError(
                f"the networks '{a.name}' and '{b.name}' differ in '{name}'",
                expected=described(a, name),
                got=described(b, name),
            )


def _weighted(values: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The sum of values times weights, in f32 at least."""
    wide = [w if v.dtype.itemsize < 4 else w.astype(v.dtype) for v, w in zip(values, weights, strict=True)]
    terms = [v.astype(w.dtype) * w for v, w in zip(values, wide, strict=True)]
    return reduce(lambda a, b: a + b, terms)
