"""The command line: train the demo; show, rewrite and run graphs; look at devices, the cache and runs."""

from __future__ import annotations

import io
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote

import numpy as np
import typer

from sigmagraph.cli_build import build
from sigmagraph.cli_runs import runs_commands
from sigmagraph.driver import compile_graph
from sigmagraph.errors import FileFormatError, InputError, PassError, SigmaError
from sigmagraph.ir.graph.graph import Graph, iter_updates
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.kernel.parser import parse_kernels
from sigmagraph.ir.kernel.printer import print_kernels
from sigmagraph.ir.kernel.verify import verify_kernels
from sigmagraph.loader import cache_folder
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions, as_target, from_environment
from sigmagraph.passes.manager import PassManager, Step, parse_pipeline
from sigmagraph.passes.pipelines import PASSES
from sigmagraph.passes.report import PassReport
from sigmagraph.runtime.cache import Cache
from sigmagraph.runtime.devices import devices as list_devices
from sigmagraph.runtime.devices import missing
from sigmagraph.runtime.state import Variable

NDArray: TypeAlias = "np.ndarray[Any, Any]"
GraphFile = Annotated[Path, typer.Argument(metavar="FILE.sg", help="A graph in text form.", show_default=False)]
TargetName = Annotated[str, typer.Option(help="What code is made for: cpu, cpu:THREADS, cuda or cuda:NUMBER.")]


def main() -> None:
    """Run the command that the process was started with; bad input ends in one message and exit code 1 or 2."""
    app = typer.Typer(name="sigmagraph", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(sigmagraph)
    for command in (demo, show, opt, run, build, devices, cache):
        app.command()(command)
    app.add_typer(runs_commands(), name="runs")
    try:
        app()
    except SigmaError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # whoever reads our output has seen enough
        sys.stderr.close()
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sigmagraph {metadata.version('sigmagraph')}")
        raise typer.Exit


def sigmagraph(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A symbolic graph compiler with a training system on top."""


def demo(
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Take MNIST's four IDX files from here.", show_default=False)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="How long to train.", show_default="50, or 5 with --data")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of first values, dropout, the split and the order of batches.")] = 0,
    target: TargetName = "cpu",
    dump: Annotated[Path, typer.Option(metavar="FOLDER", help="Where every stage of the program goes.")] = Path(
        "runs/demo"
    ),
) -> None:
    """Train Sigma.Core's README network on handwritten digits."""
    from sigmagraph.training import demo as training_demo

    training_demo.run(data, epochs, seed, target, dump, typer.echo)


def show(
    file: GraphFile,
    locations: Annotated[bool, typer.Option(help="Say where nodes come from.")] = True,
) -> None:
    """Check a graph, or the kernels of a .sgk file, and print it in its usual form."""
    if file.suffix == ".sgk":
        kernels = parse_kernels(_read_text(file), str(file))
        verify_kernels(kernels)
        text = print_kernels(kernels)
    else:
        text = print_graph(_read_graph(file), locations=locations)
    typer.echo(text, nl=False)


def opt(
    file: GraphFile,
    passes: Annotated[
        str, typer.Option("--passes", "-p", help="A pipeline: names of passes between commas.")
    ] = "standard",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where the graph goes.", show_default="stdout")
    ] = None,
    print_after: Annotated[
        str | None, typer.Option(metavar="PASS", help="Print the graph to stderr after this pass, or after all.")
    ] = None,
    stats: Annotated[
        bool, typer.Option("--stats", "--time-passes", help="Print times, nodes and rules of the passes to stderr.")
    ] = False,
    stop_after: Annotated[int | None, typer.Option(min=0, metavar="N", help="Stop after so many passes.")] = None,
) -> None:
    """Rewrite a graph by passes, verify it after each, and print it."""
    if print_after not in (None, "all", *PASSES):
        raise PassError("there is no such pass", expected=", ".join(("all", *PASSES)), got=print_after)

    def after(step: Step) -> None:
        if print_after in ("all", step.name):
            typer.echo(f"# after {step.number}: {step.name}\n{print_graph(step.graph)}", err=True)

    manager = PassManager(parse_pipeline(passes), OPS, verify=True, after=after, stop_after=stop_after)
    text = print_graph(manager.run(_read_graph(file)))
    if stats:
        typer.echo(PassReport(tuple(manager.steps)), err=True)
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text.encode())


def run(
    file: GraphFile,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", metavar="NAME=FILE.npy", help="An input or parameter; a number stands for itself."
        ),
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write results as NAME.npy.", show_default="print them")
    ] = None,
    target: TargetName = "cpu",
    fast: Annotated[bool, typer.Option("--fast", help="Let sums be others, within an error, to save time.")] = False,
) -> None:
    """Compile a graph and run it once on arrays."""
    graph = _read_graph(file)
    given = _read_arrays(inputs or [])
    parameters = {graph.node(v).name: graph.type(v) for v in graph.params}
    missing = [name for name in (*(graph.node(v).name for v in graph.inputs), *parameters) if name not in given]
    if missing:
        raise InputError(f"'{missing[0]}' is missing", expected=f"--input {missing[0]}=FILE.npy", got=", ".join(given))
    variables = {name: _variable(name, type, given.pop(name)) for name, type in parameters.items()}
    function = compile_graph(graph, variables, CompileOptions(as_target(target), fast=fast))
    results = function(**given)
    results |= {output.name: variables[str(output.updates)].value for output in iter_updates(graph)}
    for name, array in results.items():
        _report(name, array, output_dir)


def devices() -> None:
    """List what programs can be compiled for on this machine."""
    for device in list_devices():
        threads = f", {device.threads} threads" if device.name == "cpu" else ""
        typer.echo(f"{device.name}  {device.description}{threads}")
    for reason in missing():
        typer.echo(f"no {reason}")


def cache(clear: Annotated[bool, typer.Option("--clear", help="Remove all entries.")] = False) -> None:
    """Say where compiled programs are kept and how large they are."""
    environment = from_environment()
    store = Cache(cache_folder(environment))
    size = sum(path.stat().st_size for path in store.entries())
    state = "" if environment.cache_enabled else " (switched off)"
    typer.echo(f"{store.folder}{state}: {len(store.entries())} entries, {size:,} bytes")
    if clear:
        typer.echo(f"removed {store.clear()} entries")


def _read_graph(path: Path) -> Graph:
    return parse_graph(_read_text(path), OPS, str(path))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read", got=error.strerror) from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is no text", expected="UTF-8", got=error.reason) from error


def _read_arrays(options: list[str]) -> dict[str, NDArray]:
    out: dict[str, NDArray] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"expected NAME=FILE.npy, got {option!r}", param_hint="--input")
        if name in out:
            raise InputError(f"'{name}' is given twice")
        out[name] = _read_array(value)
    return out


def _read_array(text: str) -> NDArray:
    for number in (int, float):
        try:
            return np.asarray(number(text))
        except ValueError:
            continue
    try:
        with Path(text).open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise InputError(f"{text} cannot be read", got=error.strerror) from error
    except (ValueError, EOFError, MemoryError, OverflowError) as error:
        raise FileFormatError(f"{text} cannot be used", expected="a whole .npy file", got=error) from error


def _variable(name: str, type: TensorType, value: NDArray) -> Variable:
    shape = tuple(size for size in type.shape if isinstance(size, int))
    if value.shape != shape:
        raise InputError(f"the parameter '{name}' has another shape", expected=type, got=list(value.shape))
    return Variable(name, type.dtype, shape, value)


def _report(name: str, array: NDArray, folder: Path | None) -> None:
    """Print an array, or write it to ``name.npy`` in a folder and print where."""
    type = f"{array.dtype}{list(array.shape)}"
    if folder is None:
        typer.echo(f"{name}: {type}\n{array}")
        return
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    path = folder / f"{quote(name, safe=' ')}.npy"
    _write(path, content.getvalue())
    typer.echo(f"{name}: {type} -> {path}")


def _write(path: Path, content: bytes) -> None:
    """Write a whole file, or leave what was there."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written", got=error.strerror) from error
