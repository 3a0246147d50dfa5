"""The whole compiler on one page: from a graph, through every stage, to a function that can be called."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sigmagraph.codegen.backend import Backend, Code, Modules
from sigmagraph.codegen.loops import naive_kernel
from sigmagraph.codegen.memory import plan_memory
from sigmagraph.codegen.partition import Partition, partition
from sigmagraph.codegen.targets import backend_for
from sigmagraph.codegen.transform.secure import secure
from sigmagraph.dims import names, nominal
from sigmagraph.errors import DimError
from sigmagraph.ir.bind import unbound_dims
from sigmagraph.ir.graph.body import bodies
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import requirements
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.plan import Plan, Port, Program, Requirement, pretty
from sigmagraph.loader import Loader
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions, Environment, Target, as_target, from_environment
from sigmagraph.passes.base import Pipeline
from sigmagraph.passes.fuse import Fuse
from sigmagraph.passes.guard import Guard
from sigmagraph.passes.manager import PassManager, Step, parse_pipeline
from sigmagraph.passes.pipelines import CLEAN, FAST, FUSED, SINGLE
from sigmagraph.passes.prepare import prepare
from sigmagraph.passes.remat import Remat
from sigmagraph.passes.report import PassReport
from sigmagraph.passes.specialise import specialise as specialise_graph
from sigmagraph.passes.specialise import unify
from sigmagraph.program import CompiledFunction, Origin, Source
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor

Record = Callable[[str, str], None]
Begin = Callable[[Kernel], None]
AHEAD = "ahead_"  # what files and kernels of the program begin with that runs before others
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
    with no_collections():
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

    def fresh() -> tuple[Program, bytes]:
        program, code = build(graph, options, loader.backend)
        return program, code.object

    with no_collections():
        executor, cached = loader.load(graph, variables, fresh)
    origin = Origin(
        Source(graph, variables, options),
        time.perf_counter() - start,
        cached,
        lambda record, target: build(graph, *_for(target, options, loader, environment), record),
        lambda: PassReport(planned(graph, options, loader.backend).steps),
    )
    function = CompiledFunction(executor, origin)
    if environment.dump is not None:
        function.dump(environment.dump / graph.name)
    return function


def _for(
    target: Target | str | None, options: CompileOptions, loader: Loader, environment: Environment
) -> tuple[CompileOptions, Backend]:
    """Options and backend of a target, which need not be here; those of the program if there is none."""
    if target is not None:
        options = replace(options, target=as_target(target))
        loader = Loader(options, environment)
    return options, loader.backend


def build(
    graph: Graph, options: CompileOptions, backend: Backend | None = None, record: Record | None = None
) -> tuple[Program, Code]:
    """Every stage in order. ``record`` is handed the name and the text of each file that a dump consists of."""
    backend = backend or backend_for(options.target, options.precision)
    with no_collections():
        return _build(graph, options, backend, record)


@contextmanager
def no_collections() -> Iterator[None]:
    """Put off the collection of garbage, which took a fifth of the time: many objects are made, and few cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _build(graph: Graph, options: CompileOptions, backend: Backend, record: Record | None) -> tuple[Program, Code]:
    with backend.generation(listing=record is not None) as generation:
        program = write_program(graph, options, backend, generation, record)
        code = generation.finish()
    if record:
        for name, text in code.listings.items():
            record(name, text)
    return program, code


def write_program(
    graph: Graph, options: CompileOptions, backend: Backend, code: Modules, record: Record | None = None
) -> Program:
    """Every stage down to the modules of a program, which ``code`` takes."""
    # What is planned in two ways is not begun before one of them is chosen.
    main = planned(graph, options, backend, record, None if options.remat else code.begin)
    made = [main, *([main.ahead] if main.ahead else [])]
    plans = []
    for part, prefix in zip(made, ("", AHEAD), strict=False):
        plans.append(code.enter(part.plan, part.legal, [array.data for array in part.parts.arrays()]))
        if record:
            _record(part, plans[-1], record, prefix)
    return Program(plans[0], plans[1] if main.ahead else None)


def _record(made: Planned, plan: Plan, record: Record, prefix: str) -> None:
    for stage in ([naive_kernel(w) for w in made.parts.works], made.scheduled, made.legal):
        for kernel in stage:
            record(f"{kernel.name}.{kernel.stage.value}.sgk", print_kernel(kernel))
    record(f"{prefix}plan.json", pretty(plan))


@dataclass(frozen=True, slots=True)
class Planned:
    """A program before code is made of it.

    Attributes:
        steps: the passes that were run.
        parts: its launches.
        scheduled, legal: its kernels.
        plan: what the runtime does.
        guarded: how many loads and stores could not be shown to be in bounds, and are looked at when they happen.
        ahead: what its parameters alone decide, as a program of its own.
    """

    steps: tuple[Step, ...]
    parts: Partition
    scheduled: Sequence[Kernel]
    legal: Sequence[Kernel]
    plan: Plan
    guarded: int
    ahead: Planned | None = None


def planned(
    graph: Graph,
    options: CompileOptions,
    backend: Backend,
    record: Record | None = None,
    begin: Begin | None = None,
) -> Planned:
    """The stages down to the plan; ``record`` is handed the text of every graph, ``begin`` every legal kernel."""
    graph = unify(specialise_graph(graph, dict(options.specialise), OPS), OPS)
    dims = _dims(graph)
    if record:
        record("00_captured.sg", print_graph(graph))

    # Graph [captured] -> Graph [primitive] -> Graph [fused]
    required = requirements(graph)
    first, last = (parse_pipeline(options.passes), ()) if options.passes else (CLEAN, FUSED if options.fuse else SINGLE)
    first = (*FAST, *first) if options.fast else first
    first = (Guard(), *first) if options.checks else first
    graph, steps = _run_passes(first, graph, (), options, record)
    split = prepare(graph, OPS) if options.prepare and not options.passes else None
    ahead = None
    if split is not None:
        graph = split.main
        early, _ = _run_passes(last, split.ahead, steps, options, record, AHEAD)
        ahead = _lowered(early, (), (), (), options, backend, begin, AHEAD)
    fused, steps = _run_passes(last, graph, steps, options, record)
    made = _lowered(fused, steps, dims, required, options, backend, begin)
    if options.remat:
        fused, steps = _run_passes((Remat(), Fuse(options.fuse)), fused, steps, options, record)
        other = _lowered(fused, steps, dims, required, options, backend, begin)
        made = min(made, other, key=lambda m: nominal(m.plan.arena_bytes(1)))
    return replace(made, ahead=ahead)


def _run_passes(
    pipeline: Pipeline,
    graph: Graph,
    before: tuple[Step, ...],
    options: CompileOptions,
    record: Record | None,
    prefix: str = "",
) -> tuple[Graph, tuple[Step, ...]]:
    """The graph after some passes, and the steps that they were, behind those before."""
    manager = PassManager(pipeline, OPS, verify=options.verify)
    if record:
        manager.after = lambda s: record(f"{prefix}{len(before) + s.number:02}_{s.name}.sg", print_graph(s.graph))
    return manager.run(graph), (*before, *manager.steps)


def _lowered(
    graph: Graph,
    steps: tuple[Step, ...],
    dims: Sequence[str],
    required: Sequence[Requirement],
    options: CompileOptions,
    backend: Backend,
    begin: Begin | None,
    prefix: str = "",
) -> Planned:
    """The kernels and the plan of a fused graph."""
    # Graph [fused] -> Compute -> Kernel [loops] -> Kernel [scheduled] -> Kernel [legal]
    parts = partition(graph, prefix, chains=options.fuse, again=backend.again)
    scheduled: list[Kernel] = []
    legal: list[Kernel] = []
    guarded = 0
    for work in parts.works:
        kernel, guards = backend.schedule(work), 0
        if options.verify:
            kernel, guards = secure(kernel)
        guarded += guards
        scheduled.append(kernel)
        legal.append(backend.legalize(kernel))
        if begin:
            begin(legal[-1])

    # -> Plan
    plan = plan_memory(graph, parts, {k.name: k for k in legal}, dims, required, backend.concurrent)
    plan = replace(plan, name=f"run_{_UNSAFE.sub('_', plan.name)}")
    return Planned(steps, parts, scheduled, legal, plan, guarded)


def _all_nodes(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph and of the bodies in it."""
    for node in graph.nodes():
        yield node
        for body in bodies(node):
            yield from _all_nodes(body)


def _dims(graph: Graph) -> tuple[str, ...]:
    """The symbolic dims of a graph, in the order of the entry point's table.

    Raises:
        DimError: no input says how large one of them is.
    """
    ports = [Port(graph.node(v).name, graph.type(v).dtype, graph.type(v).shape) for v in graph.inputs]
    dims = {n for node in _all_nodes(graph) for t in node.types for size in t.shape for n in names(size)}
    unknown = unbound_dims(ports, sorted(dims))
    for node in _all_nodes(graph):
        for type in node.types:
            if any(name in unknown for size in type.shape for name in names(size)):
                raise DimError(
                    f"no input has the dim '{unknown[0]}', so that a call could not say how large it is",
                    got=type,
                    node=node.name or node.op.name,
                    location=node.location,
                )
    return tuple(sorted(dims))
