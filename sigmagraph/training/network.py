"""A network: layers, the values of their parameters, and the graphs for training and prediction over them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from os import PathLike
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.driver import compile
from sigmagraph.errors import AttributeValueError, FileFormatError, GraphError, ShapeError
from sigmagraph.initialisers import Constant, Glorot, Initialiser
from sigmagraph.layers.base import RNG, Assembly, Chain, Composable, ParameterSpec, Placed, chain
from sigmagraph.layers.ports import Input
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.program import CompiledFunction
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.functions import constant, gradients
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.tensor.workspace import scope
from sigmagraph.training.identifiers import matching, specificity
from sigmagraph.training.weights import read_arrays, write_arrays

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, slots=True, eq=False)
class ForwardGraph:
    """A network as a graph.

    Attributes:
        input: placeholder of the records.
        prediction: what the network gives for them; probabilities behind a softmax cross entropy.
        cost: what training makes small, a scalar; None without a cost layer.
        assembly: parameters, targets, hyperparameters and costs of the layers.
    """

    input: Tensor
    prediction: Tensor
    cost: Tensor | None
    assembly: Assembly


@dataclass(frozen=True, slots=True, eq=False)
class TrainGraph:
    """One training step as what ``compile`` takes.

    Attributes:
        inputs: placeholders of the records, the targets and the hyperparameters.
        outputs: ``cost``, and ``cost.<layer>`` for each of several cost layers.
        updates: new values of parameters, optimiser memory and the random key.
        hyperparameters: values for the last of the inputs; a call takes them as keyword arguments.
        memory: what the optimiser keeps from step to step, by name.
    """

    inputs: tuple[Tensor, ...]
    outputs: dict[str, Tensor]
    updates: dict[Tensor, Tensor]
    hyperparameters: Hyperparameters
    memory: dict[str, Parameter]


class Network:
    """Layers with values.

    Parameters have identifiers such as ``1-dense.weights``. Their first values depend on the seed and the identifier
    alone: weights are drawn by Glorot's rule and biases are 0, unless :meth:`initialise` says something else.

    Args:
        name: letters, digits, ``_``, ``-`` and ``.``; begins the layer path of every node.
        layers: a chain that begins with an Input.
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
        self._rules: list[tuple[str, Initialiser]] = []
        self._predict: CompiledFunction | None = None
        self._placed: list[Placed] = self.forward(training=True).assembly.placed

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

    def resolve(self, pattern: str) -> dict[str, NDArray]:
        """The live values of the parameters that a pattern such as ``*.weights`` names.

        Raises:
            IdentifierError: it names none.
        """
        parameters = self.parameters()
        return {identifier: parameters[identifier] for identifier in matching(pattern, parameters)}

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
        values = {i: self._draw(self._specs[i], rules) for i in named if _rule(i, rules) is rules[-1]}
        self._rules = rules
        for identifier, value in values.items():
            self._variables[identifier].assign(value)

    def reset(self, seed: int | None = None) -> None:
        """Draw all parameters anew and start the random numbers of training again, with another seed if one is given.

        Raises:
            AttributeValueError: the seed is out of range.
        """
        self.seed = self.seed if seed is None else _checked_seed(seed)
        for identifier, spec in self._specs.items():
            self._variables[identifier].assign(self._draw(spec, self._rules))

    def _trainable(self) -> list[ParameterSpec]:
        return [spec for spec in self._specs.values() if spec.identifier != RNG]

    def _variable(self, spec: ParameterSpec) -> Variable:
        """The variable of a parameter; made at first, found when another graph is built over the same parameters."""
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
        return self._variables[spec.identifier]

    def _draw(self, spec: ParameterSpec, rules: list[tuple[str, Initialiser]]) -> NDArray:
        if spec.identifier == RNG:
            return np.array([self.seed, 0], np.int64)
        rule = _rule(spec.identifier, rules)
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

    def forward(self, *, training: bool) -> ForwardGraph:
        """A new graph of the network over its parameters.

        Args:
            training: whether layers behave as in training (dropout).

        Raises:
            SigmaError: the layers do not fit together; the error names them.
        """
        first = self._chain.layers[0]
        if not isinstance(first, Input):
            raise GraphError(
                f"the network '{self.name}' begins with something else", expected="an Input", got=first.name
            )
        assembly = Assembly(self._variable, training)
        with scope(self.name), assembly.open():
            records = first.placeholder()
            out = self._chain(records)
            cost = sum((c.loss for c in assembly.costs[1:]), assembly.costs[0].loss) if assembly.costs else None
        prediction = next((c.prediction for c in reversed(assembly.costs) if c.judged is out), out)
        return ForwardGraph(records, prediction, cost, assembly)

    def train_graph(self, optimiser: Optimiser) -> TrainGraph:
        """A new graph of one training step: cost, gradients, and the optimiser's new values of all parameters.

        Raises:
            GraphError: the network has no cost layer, or no parameters.
        """
        forward = self.forward(training=True)
        assembly = forward.assembly
        if forward.cost is None or not assembly.parameters:
            lacks = "cost layer" if forward.cost is None else "parameters"
            raise GraphError(f"the network '{self.name}' cannot be trained", expected=f"a network with {lacks}")
        slopes = gradients(forward.cost, list(assembly.parameters.values()))
        step = optimiser.updates(assembly.parameters, dict(zip(assembly.parameters, slopes, strict=True)))
        updates = dict(step.updates)
        if assembly.key is not None:
            with scope(self.name):
                updates[assembly.key] = assembly.key + constant(np.array([0, 1], np.int64))
        outputs = {"cost": forward.cost}
        if len(assembly.costs) > 1:
            outputs |= {f"cost.{c.layer}": c.loss for c in assembly.costs}
        scalars = assembly.hyperparameters | step.hyperparameters
        return TrainGraph(
            (forward.input, *assembly.targets.values(), *(tensor for _, tensor in scalars.values())),
            outputs,
            updates,
            Hyperparameters(spec for spec, _ in scalars.values()),
            step.memory,
        )

    def predict(self, inputs: Any) -> NDArray:
        """What the network gives for records: probabilities behind a softmax cross entropy, else its last result.

        The program is compiled at the first call and serves every number of records.

        Args:
            inputs: [records, ...], in the shape of the Input.

        Raises:
            InputError: the records have another shape or kind of dtype.
        """
        if self._predict is None:
            forward = self.forward(training=False)
            outputs = {"prediction": forward.prediction}
            self._predict = compile([forward.input], outputs, name=f"{self.name}.predict")
        return self._predict(np.asarray(inputs))["prediction"]

    # ---- for people and files

    def summary(self) -> str:
        """A table of the layers with the types of their results and their numbers of parameters."""
        rows = [("layer", "result", "parameters")]
        for placed in self._placed:
            count = sum(prod(self._specs[identifier].shape) for identifier in placed.parameters)
            rows.append((placed.name, str(placed.type), f"{count:,}"))
        rows.append(("total", "", f"{self.parameter_count:,}"))
        name, result, count_ = (max(len(row[i]) for row in rows) for i in range(3))
        return "\n".join(f"{a:<{name}}  {b:<{result}}  {c:>{count_}}" for a, b, c in rows)

    def save(self, path: str | PathLike[str]) -> None:
        """Write all parameters to a safetensors file; a file that was there is replaced only when all is on disk.

        Raises:
            InputError: the file cannot be written.
        """
        write_arrays(path, self.parameters(), {"format": "sigmagraph network 1", "name": self.name})

    def load(self, path: str | PathLike[str]) -> None:
        """Read all parameters from a safetensors file; the network stays as it was if anything does not fit.

        Raises:
            InputError: the file cannot be read.
            FileFormatError: it is damaged, or holds other names, shapes or dtypes than the network has.
        """
        arrays, parameters = read_arrays(path), self.parameters()
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


def _rule(identifier: str, rules: list[tuple[str, Initialiser]]) -> tuple[str, Initialiser] | None:
    """The rule that counts for an identifier: the latest of the most specific ones."""
    fitting = [rule for rule in rules if fnmatchcase(identifier, rule[0])]
    return max(reversed(fitting), key=lambda rule: specificity(rule[0]), default=None)


def _default(spec: ParameterSpec) -> Initialiser:
    if spec.initial is not None:
        return Constant(spec.initial)
    return Glorot() if len(spec.shape) > 1 else Constant(0)


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= seed < 2**63:
        raise AttributeValueError("this is no seed", expected="an int from 0 to 2**63 - 1", got=repr(seed))
    return seed.__index__()
