"""A network: layers, the values of their parameters, and the graphs for training and prediction over them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from math import prod
from os import PathLike
from types import MappingProxyType
from typing import Any, TypeAlias, Unpack

import numpy as np

from sigmagraph.driver import compile
from sigmagraph.errors import AttributeValueError, FileFormatError, GraphError, ShapeError
from sigmagraph.identifiers import matching, most_specific
from sigmagraph.initialisers import Constant, Glorot, Initialiser
from sigmagraph.layers.assembly import RNG, Assembly
from sigmagraph.layers.base import Chain, Composable, Function, chain
from sigmagraph.layers.ports import Input
from sigmagraph.layers.records import Call, ParameterSpec, Placed
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.optimisers.modifiers import Modifier
from sigmagraph.program import CompiledFunction
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.tensor.workspace import scope
from sigmagraph.training.graphs import ForwardGraph, TrainGraph, train_graph
from sigmagraph.training.maximisation import (
    Dream,
    DreamKeywords,
    DreamOptions,
    Maximiser,
    desired_outputs,
    output_shape,
)
from sigmagraph.training.storage.weights import read_parameters, write_arrays

NDArray: TypeAlias = "np.ndarray[Any, Any]"
VariableOf: TypeAlias = Callable[[ParameterSpec], Variable]


class Network:
    """Layers with values.

    Parameters have identifiers such as ``1-dense.weights``. Their first values depend on the seed and the identifier
    alone: weights are drawn by Glorot's rule and biases are 0, unless :meth:`initialise` says something else.

    Args:
        name: letters, digits, ``_``, ``-`` and ``.``; begins the layer path of every node.
        layers: a chain that begins with an Input, or with a function without parameters that calls one or several.
        seed: of first values and of the random numbers of training, from 0 to 2**63 - 1.

    Raises:
        SigmaError: the layers do not fit together; the error names them.
    """

    def __init__(self, name: str, layers: Composable, seed: int = 0) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise AttributeValueError("this is no name of a network", expected="letters, digits, _ . -", got=repr(name))
        self.name = name
        self.seed = _checked_seed(seed)
        self._chain: Chain = chain(layers)
        self._specs: dict[str, ParameterSpec] = {}
        self._variables: dict[str, Variable] = {}
        self._modified: dict[tuple[Modifier, tuple[str, ...]], CompiledFunction] = {}
        self._rules: list[tuple[str, Initialiser]] = []
        self._frozen: tuple[str, ...] = ()
        self._predict: CompiledFunction | None = None
        self._maximisers: list[Maximiser] = []
        self._drawn: dict[str, int] = {}  # versions of variables when their values were drawn
        assembly = self.forward(training=True).assembly
        self._placed: list[Placed] = assembly.placed
        self._calls = assembly.calls
        self._costs = {c.layer: c.importance for c in assembly.costs}

    def __repr__(self) -> str:
        return f"Network({self.name!r}, {len(self._placed)} layers, {self.parameter_count} parameters)"

    # ---- values

    @property
    def parameter_count(self) -> int:
        """Number of all elements of all parameters."""
        return sum(prod(spec.shape) for spec in self._trainable())

    def parameters(self) -> dict[str, NDArray]:
        """The live values of all parameters by identifier; writing to an array writes to the network."""
        return {spec.identifier: self._variables[spec.identifier].value for spec in self._trainable()}

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The names of all parameters, then of all states."""
        return tuple(spec.identifier for spec in (*self._trainable(), *self._kept()))

    def states(self) -> dict[str, NDArray]:
        """The live values of what layers keep from call to call, such as running means, by identifier."""
        return {spec.identifier: self._variables[spec.identifier].value for spec in self._kept()}

    @property
    def untouched(self) -> bool:
        """Whether all values are as they were drawn: nobody loaded, trained, or asked for an array to write to."""
        return all(variable.version == self._drawn[name] for name, variable in self._variables.items())

    @property
    def calls(self) -> Mapping[str, Call]:
        """The layers by name, with what they were called on and what they gave when the network was made."""
        return MappingProxyType(self._calls)

    @property
    def costs(self) -> Mapping[str, float]:
        """How much each of the cost layers counts, by name."""
        return MappingProxyType(self._costs)

    @property
    def variables(self) -> Mapping[str, Variable]:
        """Everything that programs over the network read and write: parameters, states and the random key."""
        return MappingProxyType(self._variables)

    def resolve(self, pattern: str) -> dict[str, NDArray]:
        """The live values of the parameters and states that a pattern such as ``*.weights`` names.

        Raises:
            IdentifierError: it names none.
        """
        values = self.parameters() | self.states()
        return {identifier: values[identifier] for identifier in matching(pattern, values)}

    def forget(self, pattern: str) -> None:
        """Give the states that a pattern names their first values again, such as carried states before another text.

        Raises:
            IdentifierError: it names none.
        """
        for identifier in matching(pattern, [spec.identifier for spec in self._kept()]):
            self._variables[identifier].assign(self._draw(self._specs[identifier], []))

    def initialise(self, pattern: str, initialiser: Initialiser) -> None:
        """Draw the parameters that a pattern names anew, and say how they are drawn from now on.

        Of several patterns that name a parameter the one with most literal characters counts, whatever their order; of
        those with equally many the latest.

        Args:
            pattern: such as ``*.weights`` or ``3-dense.biases``.
            initialiser: one of :mod:`sigmagraph.initialisers`, or any ``(shape, rng) -> array``.

        Raises:
            IdentifierError: the pattern names nothing.
            AttributeValueError, ShapeError: the initialiser is none, or gives something that does not fit.
        """
        if not callable(initialiser):
            raise AttributeValueError("this is no initialiser", expected="(shape, rng) -> array", got=repr(initialiser))
        named = matching(pattern, [spec.identifier for spec in self._trainable()])
        rules = [*self._rules, (pattern, initialiser)]
        values = {i: self._draw(self._specs[i], rules) for i in named if most_specific(i, rules) is rules[-1]}
        self._rules = rules
        for identifier, value in values.items():
            self._enter(identifier, value)

    def reset(self, seed: int | None = None) -> None:
        """Draw all parameters anew and start the random numbers of training again, with another seed if one is given.

        Raises:
            AttributeValueError: the seed is out of range.
        """
        self.seed = self.seed if seed is None else _checked_seed(seed)
        for identifier, spec in self._specs.items():
            variable = self._variables[identifier]
            variable.assign(self._draw(spec, self._rules))
            self._drawn[identifier] = variable.version

    def _enter(self, identifier: str, value: NDArray) -> None:
        """Give a variable a value that was drawn."""
        variable = self._variables[identifier]
        was = variable.version
        variable.assign(value)
        if was == self._drawn[identifier]:
            self._drawn[identifier] = variable.version

    def modified(self, pattern: str, modifier: Modifier, step: int = 0, epoch: float = 0.0) -> dict[str, NDArray]:
        """What a modifier makes of the parameters that a pattern names, those that are frozen excepted.

        The program is compiled at the first call for the parameters and the modifier. The parameters stay as they are.

        Args:
            pattern: such as ``*.weights``.
            modifier: one of those that optimisers take, such as :class:`MaxNorm`.
            step: what its schedules are asked for, if it has any.
            epoch: the same, in epochs.

        Returns:
            New values by identifier.

        Raises:
            IdentifierError: the pattern names nothing.
            AttributeValueError: this is no modifier, or a schedule gives a number that makes no sense.
        """
        if not isinstance(modifier, Modifier):
            raise AttributeValueError("this is no modifier", expected="such as MaxNorm(3.0)", got=repr(modifier))
        named = matching(pattern, [spec.identifier for spec in self._trainable()])
        named = [identifier for identifier in named if identifier not in self._frozen]
        specs = modifier.specifications(pattern)
        numbers = [spec.at(spec.default, step, epoch) for spec in specs]
        known = (modifier, tuple(named))
        if not named:
            return {}
        if known not in self._modified:
            scalars = [spec.tensor() for spec in specs]
            parameters = [Parameter(self._variables[identifier]) for identifier in named]
            outputs = {p.name: modifier.modify(p, *scalars).astype(p.dtype) for p in parameters}
            self._modified[known] = compile(scalars, outputs, name=f"{self.name}.modified")
        return self._modified[known](*numbers)

    def copy(self) -> Network:
        """A network of the same layers with the values that this one has now, which goes its own way from there."""
        twin = Network(self.name, self._chain, self.seed)
        twin._rules, twin._frozen = list(self._rules), self._frozen
        for identifier, variable in self._variables.items():
            twin._variables[identifier].assign(variable.read())
        return twin

    # ---- which parameters are trained

    @property
    def frozen(self) -> tuple[str, ...]:
        """The identifiers of the parameters that training leaves as they are."""
        return self._frozen

    def freeze(self, pattern: str) -> None:
        """Let training leave the parameters that a pattern names as they are.

        They are not differentiated, and what only their gradients would need is not part of the step. A trainer takes
        notice at its next step.

        Raises:
            IdentifierError: the pattern names nothing.
        """
        known = [spec.identifier for spec in self._trainable()]
        named = matching(pattern, known)
        self._frozen = tuple(i for i in known if i in named or i in self._frozen)

    def unfreeze(self, pattern: str = "*") -> None:
        """Let the parameters that a pattern names be trained again.

        Raises:
            IdentifierError: the pattern names nothing.
        """
        named = matching(pattern, [spec.identifier for spec in self._trainable()])
        self._frozen = tuple(i for i in self._frozen if i not in named)

    def _trainable(self) -> list[ParameterSpec]:
        return [spec for spec in self._specs.values() if spec.trainable]

    def _kept(self) -> list[ParameterSpec]:
        return [spec for spec in self._specs.values() if not spec.trainable and spec.identifier != RNG]

    def variable(self, spec: ParameterSpec) -> Variable:
        """The variable of a parameter; made at first, found when another graph is built over the same parameters.

        Raises:
            GraphError: it is another one than in an earlier graph.
        """
        known = self._specs.setdefault(spec.identifier, spec)
        if known != spec:
            raise GraphError(
                f"the parameter '{spec.identifier}' is another one in each graph",
                expected=f"{known.dtype}{list(known.shape)}",
                got=f"{spec.dtype}{list(spec.shape)}",
                hint="a function of tensors must build the same layers every time",
            )
        if spec.identifier not in self._variables:
            value = self._draw(spec, self._rules)
            self._variables[spec.identifier] = Variable(spec.identifier, spec.dtype, spec.shape, value)
            self._drawn[spec.identifier] = self._variables[spec.identifier].version
        return self._variables[spec.identifier]

    def _draw(self, spec: ParameterSpec, rules: list[tuple[str, Initialiser]]) -> NDArray:
        if spec.identifier == RNG:
            return np.array([self.seed, 0], np.int64)
        rule = most_specific(spec.identifier, rules) if spec.trainable else None
        initialiser = rule[1] if rule else _default(spec)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, *spec.identifier.encode()])))
        value = np.asarray(initialiser(spec.shape, rng))
        if value.shape != spec.shape:
            raise ShapeError(
                f"the initialiser of '{spec.identifier}' gives another shape", expected=spec.shape, got=value.shape
            )
        if value.dtype.kind not in "biuf" or not np.isfinite(value).all():
            raise AttributeValueError(
                f"the initialiser of '{spec.identifier}' gives something else",
                expected="finite numbers",
                got=value.dtype,
            )
        return value.astype(spec.dtype.numpy)

    # ---- graphs

    def forward(
        self, *, training: bool, variable: VariableOf | None = None, given: Mapping[str, Tensor] | None = None
    ) -> ForwardGraph:
        """A new graph of the network over its parameters.

        Args:
            training: whether layers behave as in training (dropout).
            variable: gives the variable of a parameter, for a graph over other values than the network's own.
            given: tensors that take the place of placeholders of records, by alias.

        Raises:
            SigmaError: the layers do not fit together; the error names them.
        """
        assembly = Assembly(variable or self.variable, training, given=given or {})
        with scope(self.name), assembly.open():
            out = self._result()
            costs = assembly.costs
            cost = sum((c.loss for c in costs[1:]), costs[0].loss) if costs else None
        outputs = assembly.outputs or ({} if out is None else {"prediction": out})
        predictions = {
            alias: next((c.prediction for c in reversed(costs) if c.judged is x), x) for alias, x in outputs.items()
        }
        return ForwardGraph(self.name, tuple(assembly.inputs.values()), predictions, cost, assembly)

    def _result(self) -> Tensor | None:
        """What the layers give, called one behind the other; a function at the beginning may give nothing."""
        first, *rest = self._chain.layers
        if not isinstance(first, (Input, Function)):
            raise GraphError(
                f"the network '{self.name}' begins with something else", expected="an Input", got=first.name
            )
        out = first() if isinstance(first, Input) else _called(self.name, first.function)
        return Chain(tuple(rest))(out) if rest else out  # type: ignore[arg-type]  # layers refuse None by name

    def train_graph(self, optimiser: Optimiser, memory: Mapping[str, Parameter] | None = None) -> TrainGraph:
        """A new graph of one training step: cost, gradients, and the optimiser's new values of what is not frozen.

        Args:
            optimiser: makes the new values.
            memory: what the optimiser kept in an earlier graph, by name, if this one is to go on from there.

        Raises:
            GraphError: the network has no cost layer, or no parameters that are not frozen.
            IdentifierError: a pattern of the optimiser names nothing.
        """
        return train_graph(self.forward(training=True), optimiser, self._frozen, memory)

    def predict(self, *inputs: Any, **named: Any) -> Any:
        """What the network gives for records: probabilities behind a softmax cross entropy.

        The program is compiled at the first call and serves every number of records. States that layers carry from
        call to call are carried on.

        Args:
            inputs: [records, ...] for each Input, in its shape, in the order in which the network calls them.
            named: the same by alias.

        Returns:
            An array, or arrays by alias for a network of several Outputs.

        Raises:
            GraphError: the network gives nothing.
            InputError: the records have another shape or kind of dtype, or some are missing.
        """
        if self._predict is None:
            forward = self.forward(training=False)
            if not forward.predictions:
                raise GraphError(
                    f"the network '{self.name}' gives nothing", expected="an Output", got="a function's None"
                )
            program = compile(forward.inputs, forward.predictions, forward.updates, name=f"{self.name}.predict")
            self._predict = program
        out = self._predict(*map(np.asarray, inputs), **{alias: np.asarray(array) for alias, array in named.items()})
        return next(iter(out.values())) if len(out) == 1 else out

    def maximise(self, target: Any, **options: Unpack[DreamKeywords]) -> Dream:
        """Inputs that the network takes for what is asked for: it dreams them.

        From random numbers on, steps are made along the gradient of the sum of squared differences between the
        network's prediction and the desired one. The network is in evaluation mode, and nothing of it is changed. The
        program is compiled at the first call for a number of targets; it uses the parameters as they are at each call.

        Args:
            target: the number of a class, or several; or a desired output, or several, as floats.
            options: the fields of :class:`sigmagraph.training.maximisation.DreamOptions`.

        Returns:
            The inputs, costs and predictions of all targets; that of a single target is ``.input``.

        Raises:
            AttributeValueError: there is no such class, a number is not finite, or an option makes no sense.
            DTypeError: the input holds integers, by which nothing can be differentiated.
            IdentifierError: there is no such input or output, or several and none is named.
            InputError: a fixed input is missing, or does not fit.
            ShapeError: desired outputs have another shape than the output, or sizes are unknown.
            GraphError: the network gives nothing.
        """
        chosen = DreamOptions(**options)
        desired = desired_outputs(self.name, target, output_shape(self, chosen))
        made = next((m for m in self._maximisers if m.serves(len(desired), chosen)), None)
        if made is None:
            made = Maximiser(self, len(desired), chosen)
            self._maximisers.append(made)
        return made(desired, chosen)

    # ---- for people and files

    def summary(self) -> str:
        """A table of the layers with the types of their results and their numbers of parameters, states included."""
        rows = [("layer", "result", "parameters")]
        for placed in self._placed:
            count = sum(prod(self._specs[identifier].shape) for identifier in placed.parameters)
            rows.append((placed.name, str(placed.type), f"{count:,}"))
        rows.append(("total", "", f"{self.parameter_count:,}"))
        name, result, count_ = (max(len(row[i]) for row in rows) for i in range(3))
        return "\n".join(f"{a:<{name}}  {b:<{result}}  {c:>{count_}}" for a, b, c in rows)

    def save(self, path: str | PathLike[str]) -> None:
        """Write all parameters and states to a safetensors file.

        A file that was there is replaced only when all is on disk.

        Raises:
            InputError: the file cannot be written.
        """
        write_arrays(path, self.parameters() | self.states(), {"format": "sigmagraph network 1", "name": self.name})

    def load(self, path: str | PathLike[str]) -> None:
        """Read all parameters and states from a safetensors file; the network stays as it was if anything does not fit.

        Args:
            path: what :meth:`save` has written, or a checkpoint of a training.

        Raises:
            InputError: the file cannot be read.
            FileFormatError: it is damaged, or holds other names, shapes or dtypes than the network has.
        """
        arrays, parameters = read_parameters(path), self.parameters() | self.states()
        expected = {identifier: f"{p.dtype}{list(p.shape)}" for identifier, p in parameters.items()}
        got = {identifier: f"{a.dtype}{list(a.shape)}" for identifier, a in arrays.items()}
        wrong = [i for i in (*expected, *got) if expected.get(i) != got.get(i)]
        if wrong:
            raise FileFormatError(
                f"{path} holds the parameters of another network",
                expected=", ".join(f"{i} {expected.get(i, 'absent')}" for i in dict.fromkeys(wrong)),
                got=", ".join(f"{i} {got.get(i, 'absent')}" for i in dict.fromkeys(wrong)),
            )
        for identifier, array in arrays.items():
            parameters[identifier][...] = array


def _called(name: str, function: Callable[[], Any]) -> Tensor | None:
    """What the function gives that a network begins with."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        raise GraphError(
            f"the network '{name}' begins with something else",
            expected="an Input, or a function without parameters that calls Inputs",
            got=repr(function),
        ) from None
    out = function()
    if out is not None and not isinstance(out, Tensor):
        raise GraphError(f"the function of the network '{name}' gives no tensor", expected="Tensor", got=repr(out))
    return out


def _default(spec: ParameterSpec) -> Initialiser:
    if isinstance(spec.initial, (int, float)):
        return Constant(spec.initial)
    if spec.initial is not None:
        return spec.initial
    return Glorot() if len(spec.shape) > 1 else Constant(0)


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= seed < 2**63:
        raise AttributeValueError("this is no seed", expected="an int from 0 to 2**63 - 1", got=repr(seed))
    return seed.__index__()
