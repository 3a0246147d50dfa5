"""What an optimiser is: from parameters and gradients to new values, as part of the graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.identifiers import matching, most_specific
from sigmagraph.optimisers.clipping import Clipping
from sigmagraph.optimisers.modifiers import Modifier
from sigmagraph.optimisers.step import PREFIX, OptimiserGraph, specify, step_dtype
from sigmagraph.tensor.hyperparameter import Hyperparameter, Number
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.tensor.workspace import here, scope

Pairs = dict[Parameter, Tensor]


@dataclass(frozen=True, kw_only=True)
class Optimiser(ABC):
    """A rule that makes new values of parameters from their gradients.

    Subclasses are frozen records. Each number is a hyperparameter: the program takes it at every call as
    ``optimiser.<field>``, and what the record holds is its first value, or a schedule ``(step, epoch) -> number`` (see
    :mod:`sigmagraph.optimisers.schedules`) that says it for every step.

    What all optimisers can do besides, in this order:

    - ``clip`` makes gradients smaller: :class:`ClipByNorm`, :class:`ClipByValue`, or None.
    - ``weight_decay`` pulls parameters to 0. It is *coupled* (L2): ``g + weight_decay * w`` takes the place of the
      gradient; in AdamW and Lion it is *decoupled* from the rule: ``learning_rate * weight_decay * w`` is taken away
      from the new value. In [0, inf); None leaves it out. ``undecayed`` are patterns of parameters without decay, such
      as ``("*.biases",)``.
    - ``rate_factors`` multiply the learning rate of the parameters that a pattern names, such as ``{"*.biases": 2.0}``;
      of several patterns the one with most literal characters counts. Each is a hyperparameter
      ``optimiser.rate_factors.<pattern>`` in [0, inf).
    - ``modifiers`` change the new values of the parameters that a pattern names, such as ``{"*.weights": MaxNorm(3)}``;
      all that name a parameter do so, one after the other.

    Raises:
        AttributeValueError: a number is out of range, or something stands in the place of something else.
    """

    weight_decay: Number | None = None
    undecayed: Collection[str] = ()
    clip: Clipping | None = None
    rate_factors: Mapping[str, Number] = field(default_factory=dict, hash=False)
    modifiers: Mapping[str, Modifier] = field(default_factory=dict, hash=False)

    decoupled: ClassVar[bool] = False

    @abstractmethod
    def specifications(self) -> tuple[Hyperparameter, ...]:
        """The hyperparameters of the rule, with their first values and ranges; one is ``learning_rate``."""

    @abstractmethod
    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        """Enter new values of all parameters, and of the memory, into the graph, given parameters and gradients."""

    def __post_init__(self) -> None:
        self._check()
        self.hyperparameters()  # which check the first values

    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Those of the rule, and those of all that it is combined with."""
        found = [*self.specifications()]
        if self.weight_decay is not None:
            found.append(specify("weight_decay", self.weight_decay))
        if self.clip is not None:
            found += self.clip.specifications()
        found += [specify(f"rate_factors.{pattern}", factor) for pattern, factor in self.rate_factors.items()]
        for pattern, modifier in self.modifiers.items():
            found += modifier.specifications(pattern)
        return tuple(found)

    def updates(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        *,
        frozen: Collection[str] = (),
        memory: Mapping[str, Parameter] | None = None,
    ) -> OptimiserGraph:
        """The new values of parameters as part of their graph.

        Args:
            parameters: those to change, by identifier.
            gradients: one for each parameter, of its shape, by the same identifiers.
            frozen: identifiers of further parameters; patterns may name them, nothing is done to them.
            memory: that of an earlier graph, which is to go on; what is not in it starts anew.

        Raises:
            GraphError: identifiers differ, or one is no parameter.
            ShapeError, DTypeError: a gradient does not have its parameter's shape, or a parameter holds no floats.
            IdentifierError: a pattern names nothing.
        """
        if parameters.keys() != gradients.keys():
            raise GraphError(
                "the gradients are not those of the parameters",
                expected=", ".join(parameters),
                got=", ".join(gradients),
                location=here(),
            )
        trained = {name: _checked(name, tensor, gradients[name]) for name, tensor in parameters.items()}
        pairs = {parameter: gradients[name].astype(step_dtype(parameter)) for name, parameter in trained.items()}
        known = (*trained, *frozen)
        with scope(PREFIX):
            graph = OptimiserGraph({spec.name: (spec, spec.tensor()) for spec in self.hyperparameters()}, memory or {})
            graph.factors = self._factors(trained, known, graph)
            if self.clip is not None:
                pairs = dict(self.clip.clip(pairs, graph))
            decayed = [trained[name] for name in self._decayed(known) if name in trained]
            self.step(pairs if self.decoupled else _with_decay(pairs, decayed, graph), graph)
            if self.decoupled:
                _decay(decayed, graph)
            self._modify(trained, known, graph)
        return graph

    def _check(self) -> None:
        _expect("clip", self.clip, (Clipping, type(None)), "ClipByNorm(...), ClipByValue(...) or None")
        _expect("rate_factors", self.rate_factors, Mapping, "a mapping such as {'*.biases': 2.0}")
        _expect("modifiers", self.modifiers, Mapping, "a mapping such as {'*.weights': MaxNorm(3.0)}")
        for modifier in self.modifiers.values():
            _expect("modifiers", modifier, Modifier, "Clamp(...), Scale(...) or MaxNorm(...)")
        named = self.undecayed
        if isinstance(named, str) or not isinstance(named, Collection) or not all(isinstance(p, str) for p in named):
            _expect("undecayed", named, (), "a list of patterns such as ['*.biases']")

    def _decayed(self, known: Collection[str]) -> list[str]:
        """The identifiers of the parameters with weight decay."""
        spared = [name for pattern in self.undecayed for name in matching(pattern, known)]
        return [] if self.weight_decay is None else [name for name in known if name not in spared]

    def _factors(
        self, trained: Mapping[str, Parameter], known: Collection[str], graph: OptimiserGraph
    ) -> dict[Parameter, Tensor]:
        rules = [(pattern, graph.scalar(f"rate_factors.{pattern}")) for pattern in self.rate_factors]
        for pattern, _ in rules:
            matching(pattern, known)  # which refuses one that names nothing
        found = {parameter: most_specific(name, rules) for name, parameter in trained.items()}
        return {parameter: rule[1] for parameter, rule in found.items() if rule is not None}

    def _modify(self, trained: Mapping[str, Parameter], known: Collection[str], graph: OptimiserGraph) -> None:
        for pattern, modifier in self.modifiers.items():
            scalars = {spec.name: graph.hyperparameters[spec.name][1] for spec in modifier.specifications(pattern)}
            for name in matching(pattern, known):
                if name in trained:
                    new = graph.updates[trained[name]]
                    graph.set(trained[name], modifier.modify(new, *scalars.values()))


def _with_decay(pairs: Pairs, decayed: Collection[Parameter], graph: OptimiserGraph) -> Pairs:
    """The gradients with the slope of ``weight_decay / 2 * w ** 2``."""
    if not decayed:
        return pairs
    decay = graph.scalar("weight_decay")
    return {w: g + decay * w if w in decayed else g for w, g in pairs.items()}


def _decay(decayed: Collection[Parameter], graph: OptimiserGraph) -> None:
    for w in decayed:
        graph.set(w, graph.updates[w] - graph.rate(w) * graph.scalar("weight_decay") * w)


def _expect(name: str, value: object, kinds: type | tuple[type, ...], words: str) -> None:
    if not isinstance(value, kinds):
        raise AttributeValueError(f"'{PREFIX}.{name}' is something else", expected=words, got=repr(value))


def _checked(name: str, parameter: Tensor, gradient: Tensor) -> Parameter:
    if not isinstance(parameter, Parameter):
        raise GraphError(f"'{name}' is no parameter", expected="a parameter", got=repr(parameter), location=here())
    if not parameter.dtype.is_float:
        raise DTypeError(f"'{name}' cannot be optimised", expected="floats", got=parameter.type, location=here())
    if gradient.shape != parameter.shape:
        raise ShapeError(
            f"the gradient of '{name}' has another shape", expected=parameter.type, got=gradient.type, location=here()
        )
    return parameter
