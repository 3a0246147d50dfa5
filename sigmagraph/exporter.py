"""Export: from programs, or a whole training, to a library, a header, a manifest and a state file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors.numpy import save

from sigmagraph.artifact.golden import golden
from sigmagraph.codegen.llvm.compile import processor
from sigmagraph.codegen.llvm.library.parts import Part, functions_of, lay_out
from sigmagraph.codegen.llvm.library.state import Content
from sigmagraph.codegen.llvm.library.whole import Library
from sigmagraph.codegen.targets import backend_for
from sigmagraph.driver import no_collections, write_program
from sigmagraph.errors import GraphError, InputError, OptionError
from sigmagraph.ir.interface import Interface, Stored
from sigmagraph.ir.plan import Program
from sigmagraph.options import Target
from sigmagraph.program import CompiledFunction, Source
from sigmagraph.runtime.state import Variable
from sigmagraph.training.network import Network
from sigmagraph.training.portable import Portable, portable_training, prediction_of
from sigmagraph.training.trainer import Trainer

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Exportable: TypeAlias = CompiledFunction | Network

MULTI = "multi"
_LEVELS = ("x86-64", "x86-64-v3", "x86-64-v4")  # of multi
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        interface: what the library offers.
        object: the object file.
        files: by name.
    """

    interface: Interface
    object: bytes
    state: bytes


def build_library(
    name: str, portable: Portable, target: str = "", cpu: str = "", threads: int = 1, embed_weights: bool = False
) -> Exported:
    levels = _targets(target, cpu)
    processors = [processor(level) for level in levels]
    library = Library(processors, pooled=threads > 1)
    names = _stored_names(portable)
    parts = []
    with no_collections():
        for function, source in portable.programs.items():
            programs = [_written(library, function, number, source, level) for number, level in enumerate(levels)]
            stored = {key: names[id(variable)] for key, variable in source.variables.items()}
            parts.append(Part(function, tuple(programs), stored, {}))
        arrays = {key: variable.value for key, variable in portable.variables.items()}
        state = save({key: np.asarray(a, order="C") for key, a in arrays.items()}, dict(portable.metadata) or None)
        head, stored_in_file = _file_order(state, portable.variables)
        layout = lay_out(stored_in_file, parts, threads)
        interface = Interface(
            name,
            _version(),
            processors[0].triple,
            tuple(p.cpu for p in processors),
            threads,
            functions_of(parts, layout),
            layout.stored,
            layout.state_bytes,
            embed_weights,
            portable.counter,
            portable.ignored,
        )
        values = (
            {s.name: arrays[s.name].tobytes() for s in layout.stored} if embed_weights else {}
        )
        graphs = {function: source.graph for function, source in portable.programs.items()}
        stored = {part.name: part.stored for part in parts}
        trials = golden(interface, graphs, stored, arrays, portable.scalars or {})
        code = library.finish(interface, layout, parts, Content(values, head, json.dumps({"name": name}), trials))
    return Exported(interface, code, state)


def _version() -> str:
    import sigmagraph

    return sigmagraph.__version__


def _targets(target: str, cpu: str) -> list[Target]:
    import llvmlite.binding as llvm

    triple = target or llvm.get_process_triple()
    return [Target(triple=triple, cpu=c) for c in (_LEVELS if cpu == MULTI else (cpu,))]


def _written(library: Library, function: str, number: int, source: Source, level: Target) -> Program:
    """A program for a level of processors, taken up by the library."""
    options = replace(source.options, target=level)
    backend = backend_for(level)
    modules, texts = library.modules(processor(level))
    graph = source.graph.copy()
    graph.name = f"{function}_{number}"
    program = write_program(graph, options, backend, modules)
    library.add(program, texts)
    return program


def _stored_names(portable: Portable) -> dict[int, str]:
    return {id(variable): key for key, variable in portable.variables.items()}


def _file_order(state: bytes, variables: Mapping[str, Variable]) -> tuple[bytes, list[Stored]]:
    """What a state file begins with, and the stored values in the order of the file."""
    begin = 8 + int.from_bytes(state[:8], "little")
    entries = {key: e for key, e in json.loads(state[8:begin]).items() if key != "__metadata__"}
    ordered = sorted(entries, key=lambda key: (entries[key]["data_offsets"], key))
    return state[:begin], [Stored(key, variables[key].dtype, variables[key].shape, 0) for key in ordered]
