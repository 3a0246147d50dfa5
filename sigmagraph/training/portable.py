"""What of a network and its training leaves Python: programs, the names of their variables, and what files say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.dtypes import I64, as_dtype
from sigmagraph.errors import FileFormatError, GraphError, InputError
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions, Target
from sigmagraph.program import Source
from sigmagraph.runtime.state import Variable
from sigmagraph.runtime.whole_files import write_text
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.training.network import Network
from sigmagraph.training.snapshot import ITERATION, MEMORY_ONLY, Subject, snapshot, variables_of
from sigmagraph.training.storage.checkpoints import Checkpoint, read_checkpoint, texts_of
from sigmagraph.training.storage.plain_values import as_json, from_json

NDArray: TypeAlias = "np.ndarray[Any, Any]"

PROGRAMS = "programs"  # the folder in that of a run
_LIST = "programs.json"
_FORMAT = "sigmagraph programs 1"


@dataclass(frozen=True, slots=True)
class Portable:
    """What leaves Python.

    Attributes:
        programs: by name.
        variables: everything that they read and write, by name in files.
        metadata: texts in files.
        counter: the variable that counts steps, by name in files; empty for none.
        ignored: what the names of arrays in files begin with that are no variables.
        scalars: values of hyperparameters.
    """

    programs: Mapping[str, Source]
    variables: Mapping[str, Variable]
    metadata: Mapping[str, str]
    counter: str = ""
    ignored: tuple[str, ...] = ()
    scalars: Mapping[str, float] = field(default_factory=dict)


def prediction_of(network: Network) -> Source:
    """The program of :meth:`Network.predict`.

    Raises:
        GraphError: the network gives nothing.
    """
    forward = network.forward(training=False)
    if not forward.predictions:
        raise GraphError(f"the network '{network.name}' gives nothing", expected="an Output", got="a function's None")
    return _source(forward.inputs, forward.predictions, forward.updates, "predict", CompileOptions())


def portable_training(subject: Subject) -> Portable:
    """Prediction, evaluation and the training step of a training, as it stands.

    Raises:
        GraphError: the network cannot be trained.
    """
    count = Variable(ITERATION, I64, (), np.int64(subject.course.iteration))
    return Portable(
        programs_of(subject),
        variables_of(subject, others=False) | {ITERATION: count},
        texts_of(snapshot(subject)),
        ITERATION,
        MEMORY_ONLY,
        dict(subject.hyperparameters),
    )


def programs_of(subject: Subject) -> dict[str, Source]:
    """The programs of a training, by name.

    Raises:
        GraphError: the network cannot be trained.
    """
    network, options = subject.network, subject.crew.task.options or CompileOptions()
    programs = {}
    forward = network.forward(training=False)
    if forward.predictions:
        programs["predict"] = replace(prediction_of(network), options=options)
    if forward.cost is not None:
        programs["evaluate"] = _source(forward.arguments, forward.costs(), {}, "evaluate", options)
    step = network.train_graph(subject.optimiser, subject.crew.memory)
    programs["train_step"] = _source(
        step.inputs, step.outputs, step.updates, "train_step", subject.crew.task.step_options
    )
    return programs


def write_programs(folder: Path, subject: Subject) -> None:
    """Keep the programs of a training in the folder of its run, from which they can be built without its Python code.

    Raises:
        InputError: they cannot be written.
    """
    names = {id(variable): name for name, variable in variables_of(subject, others=False).items()}
    place = folder / PROGRAMS
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{place} cannot be written to", got=error.strerror) from error
    kept = {}
    for name, source in programs_of(subject).items():
        write_text(place / f"{name}.sg", print_graph(source.graph))
        options = {key: value for key, value in asdict(source.options).items() if key != "target"}
        stored = {key: names[id(variable)] for key, variable in source.variables.items()}
        kept[name] = {"stored": stored, "options": options}
    data = {"format": _FORMAT, "programs": kept, "scalars": dict(subject.hyperparameters)}
    write_text(place / _LIST, as_json(data, "programs", indent=2))


def read_training(folder: str | PathLike[str], checkpoint: str | PathLike[str]) -> Portable:
    """A training as the folder of its run and a checkpoint have it.

    Raises:
        InputError: a file cannot be read.
        FileFormatError: one is damaged, or they do not fit together.
        ParseError: a program is damaged.
    """
    place = Path(folder) / PROGRAMS
    data = _listed(place / _LIST)
    found = read_checkpoint(checkpoint)
    counted = {ITERATION: np.array(found.document["course"]["iteration"], np.int64)}
    arrays = counted | dict(found.arrays)
    try:
        programs = dict(_read_programs(place, data["programs"], arrays))
        scalars = {str(key): float(value) for key, value in data["scalars"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"{place / _LIST} is damaged", expected="programs", got=repr(error)) from error
    variables = {name: variable for source in programs.values() for name, variable in source.variables.items()}
    stored = {variable.name: variable for variable in variables.values()}
    return Portable(
        programs,
        stored | {ITERATION: _variable(ITERATION, arrays)},
        texts_of(Checkpoint({}, found.document)),
        ITERATION,
        MEMORY_ONLY,
        scalars,
    )


def _listed(path: Path) -> dict[str, Any]:
    try:
        data = from_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read", got=error.strerror, hint="only runs that sigmagraph trained from now on have it"
        ) from error
    except ValueError as error:
        raise FileFormatError(f"{path} is damaged", expected="JSON", got=str(error)) from error
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise FileFormatError(f"{path} is no list of programs", expected=_FORMAT)
    return data


def _read_programs(
    place: Path, listed: Mapping[str, Any], arrays: Mapping[str, NDArray]
) -> Iterator[tuple[str, Source]]:
    known: dict[str, Variable] = {}
    allowed = {f.name for f in fields(CompileOptions)} - {"target"}
    for name, entry in listed.items():
        path = place / f"{name}.sg"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read", got=str(error)) from error
        graph = parse_graph(text, OPS, str(path))
        variables = {}
        for parameter in (graph.node(v) for v in graph.params):
            stored = entry["stored"][parameter.name]
            variables[parameter.name] = variable = known.setdefault(stored, _variable(stored, arrays))
            if (variable.dtype, variable.shape) != (parameter.types[0].dtype, parameter.types[0].shape):
                raise FileFormatError(
                    "the checkpoint is not one of this run",
                    expected=f"{stored}: {parameter.types[0]}",
                    got=f"{variable.dtype}{list(variable.shape)}",
                )
        options = {key: value for key, value in entry["options"].items() if key in allowed}
        for key in ("specialise", "hints"):
            options[key] = tuple((str(dim), int(size)) for dim, size in options.get(key, ()))
        yield name, Source(graph, variables, CompileOptions(Target(), **options))


def _variable(name: str, arrays: Mapping[str, NDArray]) -> Variable:
    if name not in arrays:
        raise FileFormatError("the checkpoint is not one of this run", expected=name, got=", ".join(arrays))
    return Variable(name, as_dtype(arrays[name].dtype), arrays[name].shape, arrays[name])


def _source(
    inputs: Sequence[Tensor],
    outputs: Mapping[str, Tensor],
    updates: Mapping[Tensor, Tensor],
    name: str,
    options: CompileOptions,
) -> Source:
    graph, variables = capture(inputs, outputs, updates, name)
    return Source(graph, variables, options)
