"""Export: from programs, or a whole training, to a library, a header, a manifest and a state file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib import metadata
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.artifact.golden import golden
from sigmagraph.artifact.header import header_text
from sigmagraph.artifact.identifiers import check_names
from sigmagraph.artifact.link import link
from sigmagraph.artifact.load import load
from sigmagraph.artifact.manifest import info_text, manifest_text
from sigmagraph.artifact.state_file import file_order, state_file
from sigmagraph.artifact.targets import artifact_target
from sigmagraph.codegen.cuda.library.whole import DeviceProgram, Sources, arena_of
from sigmagraph.codegen.library.content import Content
from sigmagraph.codegen.library.parts import Layout, Part, functions_of, lay_out
from sigmagraph.codegen.llvm.compile import Processor, processor
from sigmagraph.codegen.llvm.library.whole import Library
from sigmagraph.codegen.llvm.systems import LEVELS, NATIVE
from sigmagraph.codegen.targets import backend_for
from sigmagraph.driver import no_collections, write_program
from sigmagraph.errors import (
    AttributeValueError,
    CompileError,
    DeviceError,
    DeviceMemoryError,
    GraphError,
    InputError,
    TargetError,
)
from sigmagraph.identifiers import matching
from sigmagraph.ir.interface import CUDA, Function, Interface
from sigmagraph.ir.launch import unpack
from sigmagraph.ir.plan import Program
from sigmagraph.options import Target, as_target
from sigmagraph.program import CompiledFunction, Source
from sigmagraph.runtime.state import Variable
from sigmagraph.runtime.whole_files import write_whole
from sigmagraph.training.network import Network
from sigmagraph.training.portable import Portable, portable_training, prediction_of
from sigmagraph.training.trainer import Trainer

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Exportable: TypeAlias = CompiledFunction | Network

MULTI = "multi"
_LEVELS = ("x86-64", "x86-64-v3", "x86-64-v4")  # of multi
_ARGUMENTS = ("*learning_rate",)  # hyperparameters that stay arguments unless others are named


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported.

    Attributes:
        folder: where it lies.
        interface: what the library offers.
        files: names of what was written, and their bytes.
        linker: what made the library; empty where there was none, and only the object file came out.
        link_seconds: what that took.
        why: why there is no library, and what to do about it.
        tested: whether the library is for this machine, or a device in it, and passed its own test here.
    """

    folder: Path
    interface: Interface
    files: Mapping[str, int]
    linker: str
    link_seconds: float
    why: str
    tested: bool

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {size:,} bytes" for name, size in self.files.items())
        return "\n".join([f"{self.folder}: {sizes}", *([self.why] if self.why else [])])


def export(
    folder: str | PathLike[str],
    *,
    name: str,
    functions: Mapping[str, Exportable] | None = None,
    trainer: Trainer | None = None,
    target: str = "",
    cpu: str = "",
    threads: int = 1,
    embed_weights: bool = False,
    hyperparameters: Collection[str] | None = None,
) -> Export:
    """Write programs, or a training as it stands, as a library for C and its kin, which needs nothing else.

    Args:
        folder: where the files go: the library, ``NAME.h``, ``NAME.json`` (the manifest) and ``NAME.safetensors``.
        name: what all names in the library begin with.
        functions: compiled functions by name; a network stands for what it predicts.
        trainer: exports ``predict``, ``evaluate`` and ``train_step``; states are its checkpoints.
        target: the system, such as ``aarch64-linux-gnu``; empty for this one. ``cuda:sm_80`` is an architecture of
            GPUs: in place of a library there is ``NAME.c``, with their code in it, and ``NAME_F.cu`` to be read.
        cpu: the processor: empty for any of the system, ``native`` for the one at hand, ``x86-64-v3``, or ``multi`` for
            several levels in one library, which chooses at run time.
        threads: how many may take part in a call, if the host asks for them.
        embed_weights: whether the values of all parameters are in the library, for ``NAME_state_init``.
        hyperparameters: patterns of those of a trainer that functions take as arguments; all others keep their values
            of now. Those called ``learning_rate`` if none are named.

    Raises:
        SigmaError: there is nothing to export, a name cannot stand in C, there is no code for the target, a file
            cannot be written, or a library for this machine does not pass its own test.
    """
    portable = _portable(functions, trainer)
    return export_portable(
        folder,
        portable,
        name=name,
        target=target,
        cpu=cpu,
        threads=threads,
        embed_weights=embed_weights,
        hyperparameters=hyperparameters,
    )


def export_portable(
    folder: str | PathLike[str],
    portable: Portable,
    *,
    name: str,
    target: str = "",
    cpu: str = "",
    threads: int = 1,
    embed_weights: bool = False,
    hyperparameters: Collection[str] | None = None,
) -> Export:
    """Write programs, wherever they are from, as a library; arguments and errors are those of :func:`export`."""
    if not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= 1024:
        raise AttributeValueError("this is no number of threads", expected="1 .. 1024", got=repr(threads))
    if target.partition(":")[0] == CUDA:
        if cpu or threads != 1:
            raise AttributeValueError(
                "GPUs take neither a processor nor threads", got=f"cpu={cpu!r}, threads={threads}"
            )
        interface, made = build_sources(name, portable, target, embed_weights, hyperparameters)
        sizes = _write_all(Path(folder), interface, made)
        return Export(Path(folder), interface, sizes, "", 0.0, "", _passes(Path(folder), interface))
    built = build_library(name, portable, target, cpu, threads, embed_weights, hyperparameters)
    interface = built.interface
    with TemporaryDirectory(prefix="sigmagraph-") as place:
        linked = link(
            built.code, artifact_target(interface.triple), interface.symbols, Path(place), name, threads=threads
        )
        made = {path.name: path.read_bytes() for path in linked.files}
    files = {**made, f"{name}.h": header_text(interface).encode(), f"{name}.safetensors": built.state}
    sizes = _write_all(Path(folder), interface, files)
    tested = linked.library is not None and _passes(Path(folder), interface)
    return Export(Path(folder), interface, sizes, linked.linker, linked.seconds, linked.why, tested)


def _write_all(folder: Path, interface: Interface, files: Mapping[str, bytes]) -> dict[str, int]:
    """The sizes of what was written; the manifest is the last, so that a folder that holds it is whole."""
    hashes = {key: hashlib.sha256(data).hexdigest() for key, data in files.items()}
    files = {**files, f"{interface.name}.json": manifest_text(interface, hashes).encode()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written to", got=error.strerror) from error
    for key, data in files.items():
        write_whole(folder / key, data)
    return {key: len(data) for key, data in files.items()}


def _passes(folder: Path, interface: Interface) -> bool:
    """Whether a library runs here, which then passes its own test.

    Raises:
        CompileError: it does not pass it.
    """
    if not interface.on_device and not artifact_target(interface.triple).loadable:
        return False
    try:
        artifact = load(folder / f"{interface.name}.json")
    except (TargetError, DeviceMemoryError):  # for a better processor than this one, or for no device that is here
        return False
    try:
        artifact.selftest()
    except (TargetError, DeviceError) as error:
        raise CompileError("the library computes something else than its programs mean", got=str(folder)) from error
    return True


def _portable(functions: Mapping[str, Exportable] | None, trainer: Trainer | None) -> Portable:
    if (functions is None) == (trainer is None):
        raise GraphError("there is nothing to export", expected="functions={...} or trainer=...", got=None)
    if trainer is not None:
        if not isinstance(trainer, Trainer):
            raise GraphError("this is no trainer", expected="Trainer", got=repr(trainer))
        return portable_training(trainer)
    programs: dict[str, Source] = {}
    variables: dict[str, Variable] = {}
    for key, function in (functions or {}).items():
        if not isinstance(function, (CompiledFunction, Network)):
            raise GraphError(f"'{key}' cannot be exported", expected="a compiled function", got=repr(function))
        programs[key] = source = prediction_of(function) if isinstance(function, Network) else function.source
        for variable in source.variables.values():
            if variables.setdefault(variable.name, variable) is not variable:
                raise GraphError(
                    f"two parameters of the functions are called '{variable.name}'",
                    hint="give them different names",
                )
    if not programs:
        raise GraphError("there is nothing to export", expected="at least one function", got=repr(functions))
    return Portable(programs, variables, {})


@dataclass(frozen=True, slots=True)
class Built:
    """A library before it is linked.

    Attributes:
        interface: what it offers.
        code: the object file.
        state: the state file.
    """

    interface: Interface
    code: bytes
    state: bytes


def build_library(
    name: str,
    portable: Portable,
    target: str = "",
    cpu: str = "",
    threads: int = 1,
    embed_weights: bool = False,
    hyperparameters: Collection[str] | None = None,
) -> Built:
    """The object file of a library, and the state file beside it; arguments and errors are those of :func:`export`."""
    levels = [Target(triple=target or _here(), cpu=level) for level in (_LEVELS if cpu == MULTI else (cpu,))]
    processors = [processor(level) for level in levels]
    _check_processors(processors, cpu)
    library = Library(processors, pooled=threads > 1)
    state = _State(portable)
    with no_collections():
        parts = _parts(library, portable, levels, processors, hyperparameters)
        layout = lay_out(state.stored, parts, threads)
        made_for = processors[0].triple, tuple(p.cpu for p in processors), threads
        interface = _interface(name, made_for, functions_of(parts, layout), layout, portable, embed_weights)
        code = library.finish(interface, layout, parts, state.content(interface, parts))
    return Built(interface, code, state.file)


class _State:
    """The values of a portable at export.

    Attributes:
        file: the state file.
        stored: what it holds, in its order; nothing is placed yet.
    """

    def __init__(self, portable: Portable) -> None:
        self._portable = portable
        # Values that are only read: devices need not take up again what they have.
        self._arrays = {key: variable.read() for key, variable in portable.variables.items()}
        self.file = state_file(self._arrays, portable.metadata)
        self._head, self.stored = file_order(self.file)

    def content(self, interface: Interface, parts: Sequence[Part]) -> Content:
        """What a library holds besides code."""
        values = {s.name: self._arrays[s.name].tobytes() for s in self.stored} if interface.embedded else {}
        graphs = {function: source.graph for function, source in self._portable.programs.items()}
        names = {part.name: part.stored for part in parts}
        trials = golden(interface, graphs, names, self._arrays, self._portable.scalars)
        return Content(values, self._head, info_text(interface), trials)


def _interface(
    name: str,
    made_for: tuple[str, tuple[str, ...], int],
    functions: tuple[Function, ...],
    layout: Layout,
    portable: Portable,
    embedded: bool,
) -> Interface:
    """What a library offers that is made for a system, its levels and a number of threads.

    Raises:
        GraphError: a name cannot stand in C.
    """
    version = metadata.version("sigmagraph")
    held = layout.stored, layout.state_bytes
    interface = Interface(name, version, *made_for, functions, *held, embedded, portable.counter, portable.ignored)
    check_names(interface)
    return interface


def build_sources(
    name: str,
    portable: Portable,
    target: str,
    embed_weights: bool = False,
    hyperparameters: Collection[str] | None = None,
) -> tuple[Interface, dict[str, bytes]]:
    """The files of a library for GPUs, all but the manifest; arguments and errors are those of :func:`export`."""
    made_for = as_target(target)
    names = {id(variable): key for key, variable in portable.variables.items()}
    fixed = _fixed(portable.scalars, hyperparameters)
    state = _State(portable)
    parts, codes, texts = [], [], {}
    with no_collections():
        for function, source in portable.programs.items():
            options = replace(source.options, target=made_for)
            backend = backend_for(options.target, options.precision)
            with backend.generation(listing=True) as generation:
                program = write_program(source.graph, options, backend, generation)
                code = generation.finish()
            stored = {key: names[id(variable)] for key, variable in source.variables.items()}
            inputs = [port.name for port in program.main.inputs]
            parts.append(Part(function, (program,), stored, {k: v for k, v in fixed.items() if k in inputs}))
            codes.append(DeviceProgram(unpack(code.object), code.listings["program.ptx"]))
            texts[f"{name}_{function}.cu"] = code.listings["program.cu"].encode()
        layout = lay_out(state.stored, parts, 1)
        functions = tuple(
            replace(f, arena=arena_of(part)) for f, part in zip(functions_of(parts, layout), parts, strict=True)
        )
        interface = _interface(name, (CUDA, (made_for.cpu,), 1), functions, layout, portable, embed_weights)
        library = Sources(interface, layout, parts, codes, state.content(interface, parts)).text()
    files = {f"{name}.c": library.encode(), f"{name}.h": header_text(interface).encode(), **texts}
    return interface, {**files, f"{name}.safetensors": state.file}


def _check_processors(processors: Sequence[Processor], cpu: str) -> None:
    """A library of a level looks at the processor before it runs; of other names it does not know what to ask."""
    is_x86 = processors[0].triple.startswith("x86_64")
    if cpu == MULTI and not is_x86:
        raise TargetError("there are no levels of such processors", expected="x86_64", got=processors[0].triple)
    if is_x86 and cpu not in ("", NATIVE, MULTI, *LEVELS):
        raise TargetError("libraries are made for levels", expected=", ".join((NATIVE, *LEVELS, MULTI)), got=cpu)


def _here() -> str:
    return processor(Target()).triple


def _parts(
    library: Library,
    portable: Portable,
    levels: Sequence[Target],
    processors: Sequence[Processor],
    hyperparameters: Collection[str] | None,
) -> list[Part]:
    """All programs for all levels, taken up by the library."""
    names = {id(variable): key for key, variable in portable.variables.items()}
    fixed = _fixed(portable.scalars, hyperparameters)
    parts = []
    for function, source in portable.programs.items():
        programs = []
        for number, (level, made_for) in enumerate(zip(levels, processors, strict=True)):
            graph = source.graph.copy()
            graph.name = f"{function}_{number}"
            programs.append(_program(library, replace(source, graph=graph), level, made_for))
        stored = {key: names[id(variable)] for key, variable in source.variables.items()}
        inputs = [port.name for port in programs[0].main.inputs]
        parts.append(Part(function, tuple(programs), stored, {k: v for k, v in fixed.items() if k in inputs}))
    return parts


def _program(library: Library, source: Source, level: Target, made_for: Processor) -> Program:
    modules, texts = library.modules(made_for)
    program = write_program(
        source.graph, replace(source.options, target=level), backend_for(level, source.options.precision), modules
    )
    library.add(program, texts)
    return program


def _fixed(scalars: Mapping[str, float], hyperparameters: Collection[str] | None) -> dict[str, float]:
    """The hyperparameters that are no arguments.

    Raises:
        IdentifierError: a pattern names nothing.
    """
    if hyperparameters is None:
        return {key: value for key, value in scalars.items() if not any(fnmatchcase(key, p) for p in _ARGUMENTS)}
    patterns = (hyperparameters,) if isinstance(hyperparameters, str) else hyperparameters
    wanted = [key for pattern in patterns for key in matching(pattern, scalars)]
    return {key: value for key, value in scalars.items() if key not in wanted}
