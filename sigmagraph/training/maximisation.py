"""Target maximisation: inputs that a network takes for what is asked for, found along the gradient of its cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypedDict

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.driver import compile
from sigmagraph.dtypes import F32
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, IdentifierError, InputError, ShapeError
from sigmagraph.optimisers.adam import Adam
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.derivatives import gradients
from sigmagraph.tensor.functions import maximum, minimum, placeholder, sqrt, where
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.tensor.math import logical_not
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.tensor.workspace import scope
from sigmagraph.training.graphs import ForwardGraph

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Callback: TypeAlias = Callable[[int, NDArray], object]

# Differences far below a grey level: total variation is smooth there, so that an even area comes to rest.
_SMOOTH = 1e-4
_MOST = float(np.finfo(np.float32).max)


class Dreamer(Protocol):
    """What is asked of a network: a name, and graphs over parameters that are only read."""

    name: str

    def forward(self, *, training: bool, given: Mapping[str, Tensor] | None = None) -> ForwardGraph:
        """A graph of the network; ``given`` tensors take the place of its inputs' placeholders."""
        ...


class DreamKeywords(TypedDict, total=False):
    """The types of the fields of :class:`DreamOptions`, for those who hand them in by keyword."""

    input: str | None
    output: str | None
    fixed: Mapping[str, Any]
    steps: int
    least: int
    attempts: int
    cost: float
    seed: int
    mean: float | NDArray
    deviation: float
    optimiser: Optimiser
    l2: float
    total_variation: float
    clip: tuple[float, float] | None
    callback: Callback | None


@dataclass(frozen=True, kw_only=True, eq=False)
class DreamOptions:
    """How inputs are looked for.

    Attributes:
        input: alias of the input that is found; may be None where there is one.
        output: alias of the output that is to become the desired one; may be None where there is one.
        fixed: arrays for the other inputs, by alias: one record for all targets, or a record for each.
        steps: the most of each attempt.
        least: steps that are made at least; a target that reached its cost is made more probable, and its input more
            like what the priors want, until then.
        attempts: how often a target that did not reach its cost is begun anew, the first time included.
        cost: at most this much is taken for reached.
        seed: of the starts.
        mean: what an attempt starts around: a number, or an array of an input's shape, such as the mean of records.
        deviation: of the Gaussian numbers that are added to it.
        optimiser: makes the steps.
        l2: what the sum of an input's squares costs.
        total_variation: what the sum of the differences of neighbours costs.
        clip: least and greatest element of an input; None for no limits.
        callback: is called after each step with its number in the attempt, from 1, and the costs before it.

    Raises:
        AttributeValueError: a number is out of range, or something stands in the place of something else.
    """

    input: str | None = None
    output: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 1024
    least: int = 0
    attempts: int = 2
    cost: float = 0.06
    seed: int = 0
    mean: float | NDArray = 0.0
    deviation: float = 0.01
    optimiser: Optimiser = field(default_factory=lambda: Adam(learning_rate=0.02))
    l2: float = 0.0
    total_variation: float = 0.0
    clip: tuple[float, float] | None = (0.0, 1.0)
    callback: Callback | None = None

    def __post_init__(self) -> None:
        for name, low in (("steps", 1), ("least", 0), ("attempts", 1), ("seed", 0)):
            _check(name, getattr(self, name), low, whole=True)
        for name in ("cost", "deviation", "l2", "total_variation"):
            _check(name, getattr(self, name), 0)
        mean = np.asarray(self.mean)
        if mean.dtype.kind not in "iuf" or not np.isfinite(mean).all():
            raise _wrong("mean", "finite numbers", self.mean)
        if self.least > self.steps:
            raise _wrong("least", "at most as many as 'steps'", self.least)
        if not isinstance(self.optimiser, Optimiser):
            raise _wrong("optimiser", "one of sg.optimisers", self.optimiser)
        if not isinstance(self.fixed, Mapping):
            raise _wrong("fixed", "a dict of arrays by alias", self.fixed)
        _ = self.limits

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest element.

        Raises:
            AttributeValueError: ``clip`` is no range.
        """
        if self.clip is None:
            return -_MOST, _MOST
        if not isinstance(self.clip, (tuple, list)) or len(self.clip) != 2:
            raise _wrong("clip", "(low, high) or None", self.clip)
        for end in self.clip:
            _check("clip", end, -_MOST)
        low, high = self.clip
        if low >= high:
            raise _wrong("clip", "low < high", self.clip)
        return low, high


@dataclass(frozen=True, eq=False)
class Dream:
    """Inputs that were found, one for each target.

    Attributes:
        inputs: [targets, ...].
        predictions: what the network gives for them, [targets, ...].
        costs: the sum of squared differences between the prediction and the desired one, [targets].
        reached: whether the cost is at most the one that was asked for, [targets].
        steps: made in all, those of all attempts.
    """

    inputs: NDArray
    predictions: NDArray
    costs: NDArray
    reached: NDArray
    steps: int

    @property
    def input(self) -> NDArray:
        """The input of the one target.

        Raises:
            InputError: there are several.
        """
        if len(self.inputs) != 1:
            raise InputError("the dream has several inputs", expected="one target", got=len(self.inputs))
        return self.image(0)

    def image(self, place: int) -> NDArray:
        """The input of a target, by its place among the targets.

        Raises:
            InputError: there is no such target.
        """
        if not -len(self.inputs) <= place < len(self.inputs):
            raise InputError("the dream has no such input", expected=f"0 to {len(self.inputs) - 1}", got=place)
        return np.asarray(self.inputs[place])


class Maximiser:
    """The program that makes one step towards a number of targets at once; compiled once, for any targets.

    The network is in evaluation mode. Its parameters and states are read as they are at each step, and never written.

    Args:
        network: what dreams.
        targets: how many.
        options: of these the input, the output, the optimiser and the shapes of the fixed arrays make the program.

    Raises:
        GraphError: the network gives nothing, or the output does not depend on the input.
        IdentifierError: it has no such input or output, or several and none is named.
        DTypeError: the input holds integers.
        ShapeError: sizes of the input are unknown.
        InputError: a fixed array is missing, or does not fit.
    """

    def __init__(self, network: Dreamer, targets: int, options: DreamOptions) -> None:
        plain = network.forward(training=False)
        inputs = plain.assembly.inputs
        self.input = _chosen(network.name, "input", options.input, inputs)
        self.output = _chosen(network.name, "output", options.output, plain.predictions)
        self.record = _record(network.name, inputs[self.input])
        self._optimiser = options.optimiser
        self._shapes = _fixed_shapes(network.name, inputs, self.input, options.fixed, targets)
        self.dream = Variable(self.input, inputs[self.input].dtype, (targets, *self.record))
        parameter = Parameter(self.dream, trainable=True)
        given = {alias: placeholder(alias, shape, inputs[alias].dtype) for alias, shape in self._shapes.items()}
        forward = network.forward(training=False, given={**given, self.input: parameter})
        prediction = forward.predictions[self.output]
        self.result = _known(network.name, "output", self.output, prediction.shape[1:])
        with scope("maximisation"):
            self._make(network.name, forward, parameter, prediction, list(given.values()))

    def serves(self, targets: int, options: DreamOptions) -> bool:
        """Whether the program is the one for a number of targets with these options."""
        shapes = {alias: np.shape(array) for alias, array in options.fixed.items()}
        whole = {alias: shape[1:] for alias, shape in self._shapes.items()}
        return (
            self.dream.shape[0] == targets
            and options.optimiser == self._optimiser
            and options.input in (None, self.input)
            and options.output in (None, self.output)
            and shapes.keys() == whole.keys()
            and all(shape in (whole[alias], (targets, *whole[alias])) for alias, shape in shapes.items())
        )

    def _make(
        self, name: str, forward: ForwardGraph, parameter: Parameter, prediction: Tensor, given: list[Tensor]
    ) -> None:
        targets = self.dream.shape[0]
        desired = placeholder("dream.desired", prediction.shape, F32)
        scalars = {key: placeholder(f"dream.{key}", (), F32) for key in ("cost", "l2", "variation", "low", "high")}
        differences = prediction.astype(F32) - desired
        costs = (differences * differences).reshape(targets, -1).sum(-1)
        x = parameter.astype(F32)
        whole = costs.sum() + scalars["l2"] * (x * x).sum() + scalars["variation"] * _variation(x)
        slope = gradients(whole, [parameter])[0]
        step = self._optimiser.updates({self.input: parameter}, {self.input: slope})
        moved = maximum(minimum(step.updates[parameter].astype(F32), scalars["high"]), scalars["low"])
        # What has reached its cost stays, whatever the others need; NaN has not.
        going = logical_not(costs <= scalars["cost"]).reshape(targets, *(1 for _ in self.record))
        updates = {**step.updates, parameter: where(going, moved, x).astype(parameter.dtype)}
        more = forward.assembly.hyperparameters | step.hyperparameters
        self.hyperparameters = Hyperparameters(spec for spec, _ in more.values())
        self._first = {memory.variable: memory.variable.value.copy() for memory in step.memory.values()}
        self.program = compile(
            [*given, desired, *scalars.values(), *(tensor for _, tensor in more.values())],
            {"dream.costs": costs, "dream.prediction": prediction},
            updates,
            name=f"{name}.maximise",
        )

    def __call__(self, desired: NDArray, options: DreamOptions) -> Dream:
        """Look for the inputs.

        Args:
            desired: what the output is to be, [targets, ...].
            options: those that the program was made for, with any numbers.

        Raises:
            ShapeError: the mean has another shape than the input.
        """
        arrays = _scalars(desired, options) | self._fixed(options.fixed)
        dream, made = self._attempt(arrays, options, 0, None)
        for attempt in range(1, options.attempts):
            if dream.reached.all():
                break
            again, more = self._attempt(arrays, options, attempt, dream)
            made += more
            dream = _better(dream, again)
        return Dream(dream.inputs, dream.predictions, dream.costs, dream.reached, made)

    def _attempt(
        self, arrays: dict[str, Any], options: DreamOptions, attempt: int, before: Dream | None
    ) -> tuple[Dream, int]:
        """One attempt of all targets that have not reached their cost before, and the number of its steps."""
        start = self._start(arrays["dream.desired"], options, attempt)
        if before is not None:
            start[before.reached] = before.inputs[before.reached]
        self.dream.assign(start)
        for variable, value in self._first.items():
            variable.assign(value)
        least = options.least if before is None else 0
        made = 0
        while made < options.steps:
            self.hyperparameters.advance(made, 0.0)
            limit = np.float32(-1 if made < least else options.cost)
            out = self.program(**{**arrays, "dream.cost": limit}, **self.hyperparameters)
            if (out["dream.costs"] <= limit).all():
                break
            made += 1
            if options.callback is not None:
                options.callback(made, out["dream.costs"])
        # No cost is greater than this limit, so that nothing moves: these are the costs of what was found.
        out = self.program(**{**arrays, "dream.cost": np.float32(_MOST)}, **self.hyperparameters)
        costs, prediction = out["dream.costs"], out["dream.prediction"]
        reached = costs <= np.float32(options.cost)
        return Dream(self.dream.value.copy(), prediction.copy(), costs.copy(), reached, made), made

    def _start(self, desired: NDArray, options: DreamOptions, attempt: int) -> NDArray:
        """Random numbers that depend on a target and not on those beside it; of equal ones each has its own."""
        if np.shape(options.mean) not in ((), self.record):
            raise ShapeError(
                "the mean of a dream has another shape than its input",
                expected=list(self.record),
                got=list(np.shape(options.mean)),
            )
        met: dict[bytes, int] = {}
        rows = []
        for target in desired:
            content = target.tobytes()
            entropy = [options.seed, attempt, met.setdefault(content, 0), *content]
            met[content] += 1
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
            rows.append(options.mean + options.deviation * rng.standard_normal(self.record))
        return np.asarray(np.clip(np.stack(rows), *options.limits), self.dream.dtype.numpy)

    def _fixed(self, fixed: Mapping[str, Any]) -> dict[str, NDArray]:
        return {alias: np.broadcast_to(np.asarray(fixed[alias]), shape) for alias, shape in self._shapes.items()}


def desired_outputs(name: str, target: Any, shape: tuple[int, ...]) -> NDArray:
    """What outputs are to become, [targets, ...], for what a user asks for.

    Args:
        name: of the network.
        target: the number of a class or several, for an output of one axis; or floats of the output's shape, with or
            without an axis of targets before it.
        shape: of one output.

    Raises:
        AttributeValueError: there is no such class, or a number is not finite.
        DTypeError: the targets are no numbers.
        ShapeError: they have another shape.
    """
    try:
        array = np.asarray(target)
    except ValueError:
        raise ShapeError(f"the targets of '{name}' are no array", expected=list(shape), got=repr(target)) from None
    if array.dtype.kind not in "iuf" or not array.size:
        raise DTypeError(
            f"the network '{name}' cannot dream of this", expected="classes, or desired outputs", got=repr(target)
        )
    if array.dtype.kind == "f":
        if array.shape not in (shape, (*array.shape[:1], *shape)):
            raise ShapeError(
                f"the targets of '{name}' have another shape than its output", expected=list(shape), got=array.shape
            )
        if not np.isfinite(array).all() or np.abs(array).max() > _MOST:
            raise AttributeValueError(f"the targets of '{name}' make no sense", expected="finite numbers", got=target)
        return np.asarray(array.reshape(-1, *shape), np.float32)
    if len(shape) != 1 or array.ndim > 1:
        raise ShapeError(
            f"the output of '{name}' has no classes to name like this",
            expected=f"floats of shape {list(shape)}, or whole numbers for an output of one axis",
            got=f"whole numbers of shape {list(array.shape)}",
        )
    if array.min() < 0 or array.max() >= shape[0]:
        raise AttributeValueError(f"'{name}' has no such class", expected=f"0 to {shape[0] - 1}", got=repr(target))
    return np.asarray(np.eye(shape[0], dtype=np.float32)[array.reshape(-1)])


def output_shape(network: Dreamer, options: DreamOptions) -> tuple[int, ...]:
    """The shape of one output that is to become the desired one.

    Raises:
        IdentifierError: there is no such output, or several and none is named.
        ShapeError: its sizes are unknown.
    """
    predictions = network.forward(training=False).predictions
    alias = _chosen(network.name, "output", options.output, predictions)
    return _known(network.name, "output", alias, predictions[alias].shape[1:])


def _scalars(desired: NDArray, options: DreamOptions) -> dict[str, Any]:
    low, high = options.limits
    values = {"l2": options.l2, "variation": options.total_variation, "low": low, "high": high}
    return {"dream.desired": desired} | {f"dream.{name}": np.float32(value) for name, value in values.items()}


def _better(one: Dream, other: Dream) -> Dream:
    """Of each target the input that costs less; NaN is worse than all."""
    taken = (other.costs < one.costs) | np.isnan(one.costs)

    def chosen(mine: NDArray, others: NDArray) -> NDArray:
        return np.where(taken.reshape(-1, *(1 for _ in mine.shape[1:])), others, mine)

    return Dream(
        chosen(one.inputs, other.inputs),
        chosen(one.predictions, other.predictions),
        chosen(one.costs, other.costs),
        chosen(one.reached, other.reached),
        other.steps,
    )


def _variation(x: Tensor) -> Tensor:
    """Sum of the differences of neighbours along all axes of a record, of which the last of three is one of channels.

    ``sqrt(d * d + e) - sqrt(e)`` stands for ``|d|``, which has no slope at 0. Source: L. I. Rudin, S. Osher, E. Fatemi,
    "Nonlinear total variation based noise removal algorithms", Physica D 60, 1992; the sum is taken by axis.
    """
    total = (x * 0.0).sum()
    for axis in range(1, x.ndim if x.ndim <= 3 else x.ndim - 1):
        before: list[Any] = [slice(None)] * x.ndim
        after = list(before)
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        d = x[tuple(after)] - x[tuple(before)]
        total = total + (sqrt(d * d + _SMOOTH) - _SMOOTH**0.5).sum()
    return total


def _chosen(name: str, what: str, alias: str | None, known: Mapping[str, Tensor]) -> str:
    if not known:
        raise GraphError(f"the network '{name}' cannot dream", expected=f"a network with an {what}", got="none")
    if alias is None and len(known) == 1:
        return next(iter(known))
    if alias is None or alias not in known:
        raise IdentifierError(
            f"the network '{name}' has {'several ' + what + 's' if alias is None else 'no such ' + what}",
            expected=f"{what}= one of {', '.join(known)}",
            got=repr(alias),
        )
    return alias


def _record(name: str, x: Tensor) -> tuple[int, ...]:
    """The shape of a record of an input that can be found."""
    if not x.dtype.is_float:
        raise DTypeError(
            f"the input '{x.name}' of '{name}' cannot be dreamt",
            expected="floats, as there is no derivative by whole numbers",
            got=x.type,
        )
    return _known(name, "input", x.name, x.shape[1:])


def _known(name: str, what: str, alias: str, shape: tuple[Size, ...]) -> tuple[int, ...]:
    sizes = tuple(size for size in shape if isinstance(size, int))
    if len(sizes) != len(shape):
        raise ShapeError(f"the {what} '{alias}' of '{name}' has no certain size", expected="numbers", got=list(shape))
    return sizes


def _fixed_shapes(
    name: str, inputs: Mapping[str, Tensor], free: str, fixed: Mapping[str, Any], targets: int
) -> dict[str, tuple[int, ...]]:
    """The shapes in which the other inputs are handed in, [targets, ...]."""
    others = [alias for alias in inputs if alias != free]
    if set(others) != set(fixed):
        raise InputError(
            f"the other inputs of '{name}' are fixed",
            expected=f"fixed= a dict with {', '.join(others) or 'nothing'}",
            got=", ".join(fixed) or "nothing",
        )
    shapes = {}
    for alias in others:
        record, shape = inputs[alias].shape[1:], np.shape(fixed[alias])
        own = shape if len(shape) == len(record) else shape[1:]
        fits = len(own) == len(record) and all(
            s == r or not isinstance(r, int) for s, r in zip(own, record, strict=True)
        )
        if not fits or (len(shape) > len(own) and shape[0] != targets):
            raise InputError(
                f"the fixed input '{alias}' of '{name}' has another shape",
                expected=f"{list(record)}, or {targets} of them",
                got=list(shape),
            )
        shapes[alias] = (targets, *own)
    return shapes


def _check(name: str, value: object, low: float, *, whole: bool = False) -> None:
    kinds: Any = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= _MOST:
        what = "a whole number" if whole else "a finite number"
        raise _wrong(name, what if low == -_MOST else f"{what} of {low:g} or more", value)


def _wrong(name: str, expected: str, got: object) -> AttributeValueError:
    return AttributeValueError(f"'{name}' makes no sense for a dream", expected=expected, got=repr(got))
