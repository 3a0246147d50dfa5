"""The whole compiler on one page: from a graph, through every stage, to a function that can be called."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sigmagraph.codegen.backend import Backend, Code
from sigmagraph.codegen.loops import naive_kernel
from sigmagraph.codegen.memory import plan_memory
from sigmagraph.codegen.partition import partition
from sigmagraph.codegen.targets import backend_for
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.dims import names
from sigmagraph.errors import DimError
from sigmagraph.ir.bind import unbound_dims
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import requirements
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.verify import verify_kernels
from sigmagraph.ir.plan import Plan, Port, pretty
from sigmagraph.loader import Loader
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions, Target, as_target, from_environment
from sigmagraph.passes.manager import PassManager, parse_pipeline
from sigmagraph.passes.pipelines import PIPELINES
from sigmagraph.passes.specialise import specialise as specialise_graph
from sigmagraph.passes.specialise import unify
from sigmagraph.program import CompiledFunction, Origin
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor

Record = Callable[[str, str], None]
_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")


def compile(
    inputs: Sequence[Tensor],
    outputs: Mapping[str, Tensor],
    updates: Mapping[Tensor, Tensor] | None = None,
    target: Target | str = "cpu",
    *,
    name: str = "main",
    specialise: Mapping[str, int] | None = None,
    options: CompileOptions | None = None,
) -> CompiledFunction:
    """Compile tensors into one native function.

    Args:
        inputs: placeholders, in the order of positional arguments.
        outputs: what a call returns, by name.
        updates: new values of parameters, written when a call is done; all outputs see the old ones.
        target: ``cpu``, or ``cpu:THREADS``.
        name: of the program, in dumps and reports.
        specialise: numbers for symbolic dims, by name; the function then serves only these.
        options: what else changes the code.

    Raises:
        SigmaError: the tensors do not make a program; the error says where.
    """
    graph, variables = capture(inputs, outputs, updates, name)
    fixed = tuple(sorted((specialise or {}).items()))
    options = replace(options or CompileOptions(), target=as_target(target), specialise=fixed)
    return compile_graph(graph, variables, options)


def parse(text: str, file: str = "<text>") -> Graph:
    """The graph that a text describes, as ``str(graph)`` writes it; ``file`` is what errors call the text.

    Raises:
        ParseError: the text is no graph; the error says where, and what was expected.
    """
    return parse_graph(text, OPS, file)


def compile_graph(
    graph: Graph, variables: Mapping[str, Variable], options: CompileOptions | None = None
) -> CompiledFunction:
    """Compile a captured graph, or take it from the cache; ``variables`` are its parameters by name.

    Raises:
        SigmaError: the graph breaks a rule, or cannot be compiled.
    """
    start = time.perf_counter()
    options = options or CompileOptions()
    environment = from_environment()
    loader = Loader(options, environment)

    def fresh() -> tuple[Plan, bytes]:
        plan, code = build(graph, options, loader.backend)
        return plan, code.object

    executor, cached = loader.load(graph, variables, fresh)
    origin = Origin(time.perf_counter() - start, cached, lambda record: build(graph, options, loader.backend, record))
    function = CompiledFunction(graph, executor, origin)
    if environment.dump is not None:
        function.dump(environment.dump / graph.name)
    return function


def build(
    graph: Graph, options: CompileOptions, backend: Backend | None = None, record: Record | None = None
) -> tuple[Plan, Code]:
    """Every stage in order. ``record`` is handed the name and the text of each file that a dump consists of."""
    backend = backend or backend_for(options.target)
    graph = unify(specialise_graph(graph, dict(options.specialise), OPS), OPS)
    dims = _dims(graph)
    backend.check(graph)
    if record:
        record("00_captured.sg", print_graph(graph))

    # Graph [captured] -> Graph [primitive] -> Graph [fused]
    standard = PIPELINES["standard" if options.fuse else "unfused"]
    manager = PassManager(parse_pipeline(options.passes) if options.passes else standard, OPS, verify=options.verify)
    if record:
        manager.after = lambda step: record(f"{step.number:02}_{step.name}.sg", print_graph(step.graph))
    fused = manager.run(graph)

    # -> Compute -> Kernel [loops] -> Kernel [scheduled] -> Kernel [legal]
    parts = partition(fused)
    scheduled = [backend.schedule(c) for c in parts.computes]
    if options.verify:
        verify_kernels(scheduled)
    legal = legalize(scheduled)
    if record:
        for stage in ([naive_kernel(c) for c in parts.computes], scheduled, legal):
            for kernel in stage:
                record(f"{kernel.name}.{kernel.stage.value}.sgk", print_kernel(kernel))

    # -> Plan
    kernels = {k.name: k for k in legal}
    plan = plan_memory(fused, parts, kernels, dims, requirements(graph))
    plan = replace(plan, name=f"run_{_UNSAFE.sub('_', plan.name)}")

    # -> LLVM IR -> object code
    constants = [fused.node(v).attrs["value"].data for v in parts.constants]
    code = backend.generate(plan, kernels, constants, listing=record is not None)
    if record:
        record("plan.json", pretty(plan))
        for name, text in code.listings.items():
            record(name, text)
    return plan, code


def _dims(graph: Graph) -> tuple[str, ...]:
    """The symbolic dims of a graph, in the order of the entry point's table.

    Raises:
        DimError: no input says how large one of them is.
    """
    ports = [Port(graph.node(v).name, graph.type(v).dtype, graph.type(v).shape) for v in graph.inputs]
    dims = {n for node in graph.nodes() for t in node.types for size in t.shape for n in names(size)}
    unknown = unbound_dims(ports, sorted(dims))
    for node in graph.nodes():
        for type in node.types:
            if any(name in unknown for size in type.shape for name in names(size)):
                raise DimError(
                    f"no input has the dim '{unknown[0]}', so that a call could not say how large it is",
                    got=type,
                    node=node.name or node.op.name,
                    location=node.location,
                )
    return tuple(sorted(dims))
