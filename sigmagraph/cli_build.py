"""The command ``sigmagraph build``: from a graph, or the folder of a run, to an artifact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import typer

from sigmagraph.dims import names
from sigmagraph.errors import FileFormatError, InputError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


def build(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL.sg|RUN", help="A graph in text form, or a run's folder.", show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the artifact goes.")] = Path(
        "dist"
    ),
    name: Annotated[
        str | None, typer.Option(help="What all names in the library begin with.", show_default="that of the model")
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            help="The system, such as aarch64-linux-gnu or wasm32, or a GPU: cuda:sm_80.", show_default="this one"
        ),
    ] = "",
    cpu: Annotated[
        str, typer.Option(help="native, x86-64-v3, x86-64-v4, multi ...", show_default="any of the system")
    ] = "",
    threads: Annotated[int, typer.Option(min=1, help="How many may take part in a call.")] = 1,
    embed_weights: Annotated[bool, typer.Option("--embed-weights", help="Put the values into the library.")] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Values of a graph's parameters, or a checkpoint.", show_default="the last checkpoint"
        ),
    ] = None,
    hyperparameter: Annotated[
        list[str] | None,
        typer.Option(help="A pattern of those of a run that are arguments.", show_default="*learning_rate"),
    ] = None,
    hint: Annotated[
        list[str] | None,
        typer.Option(metavar="DIM=SIZE", help="A size that is usual, for which code is made.", show_default=False),
    ] = None,
) -> None:
    """Build a library, or C for GPUs, a C header, a manifest and a state file, which need nothing else."""
    from sigmagraph.exporter import export_portable

    portable = _of_run(model, state) if model.is_dir() else _of_graph(model, state)
    if hint:
        portable = _hinted(portable, dict(map(_hint, hint)))
    called = name or "".join(c if c.isalnum() and c.isascii() else "_" for c in model.resolve().stem)
    made = export_portable(
        output,
        portable,
        name=called,
        target=target,
        cpu=cpu,
        threads=threads,
        embed_weights=embed_weights,
        hyperparameters=hyperparameter,
    )
    for file, size in made.files.items():
        typer.echo(f"{made.folder / file}: {size:,} bytes")
    if made.linker:
        typer.echo(f"linked by {made.linker} in {made.link_seconds:.2f} s")
    if made.why:
        typer.echo(f"no library: {made.why}", err=True)
    typer.echo("passed its own test here" if made.tested else "cannot be tested here")


def _hint(text: str) -> tuple[str, int]:
    """A dim and its size."""
    name, _, size = text.partition("=")
    if not name or not size.isdecimal() or int(size) < 1:
        raise InputError("this is no size of a dim", expected="--hint DIM=SIZE, such as --hint batch=8", got=text)
    return name, int(size)


def _hinted(portable: Any, hints: dict[str, int]) -> Any:
    """The same programs, made for sizes that are usual."""
    known = {n for source in portable.programs.values() for size in _input_sizes(source.graph) for n in names(size)}
    if unknown := sorted(hints.keys() - known):
        raise InputError(f"no program has the dim '{unknown[0]}'", expected=", ".join(sorted(known)), got=unknown[0])
    programs = {
        name: replace(
            source, options=replace(source.options, hints=tuple({**dict(source.options.hints), **hints}.items()))
        )
        for name, source in portable.programs.items()
    }
    return replace(portable, programs=programs)


def _input_sizes(graph: Any) -> Iterator[Any]:
    return (size for value in graph.inputs for size in graph.type(value).shape)


def _of_run(folder: Path, state: Path | None) -> Any:
    from sigmagraph.training.portable import read_training
    from sigmagraph.training.storage.run_reading import read_run

    return read_training(folder, state or read_run(folder).checkpoints.latest())


def _of_graph(path: Path, state: Path | None) -> Any:
    from sigmagraph.ir.graph.parser import parse_graph
    from sigmagraph.ops.registry import OPS
    from sigmagraph.options import CompileOptions
    from sigmagraph.program import Source
    from sigmagraph.runtime.state import Variable
    from sigmagraph.training.portable import Portable
    from sigmagraph.training.storage.weights import read_parameters

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read", got=error.strerror) from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is no text", expected="UTF-8", got=error.reason) from error
    graph = parse_graph(text, OPS, str(path))
    arrays = read_parameters(state) if state else {}
    variables = {}
    for node in (graph.node(v) for v in graph.params):
        if node.name not in arrays:
            raise InputError(f"the value of '{node.name}' is missing", expected="--state FILE.safetensors with it")
        shape = tuple(size for size in node.types[0].shape if isinstance(size, int))
        variables[node.name] = Variable(node.name, node.types[0].dtype, shape, arrays[node.name])
    return Portable({graph.name: Source(graph, variables, CompileOptions())}, variables, {})
