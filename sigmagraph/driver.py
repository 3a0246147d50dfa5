"""The whole compiler on one page: from a graph, through every stage, to a function that can be called."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from sigmagraph.codegen.llvm.compile import Loaded, ObjectCode, Processor, compile_module, processor, version
from sigmagraph.codegen.llvm.entry import emit_module, kernel_codes, scratch_bytes
from sigmagraph.codegen.llvm.pool import PoolLibrary, compile_pool
from sigmagraph.codegen.loops import naive_kernel
from sigmagraph.codegen.memory import plan_memory
from sigmagraph.codegen.partition import partition
from sigmagraph.codegen.schedule.cpu import schedule
from sigmagraph.codegen.schedule.machine import machine_of
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.dims import maximum, names
from sigmagraph.dtypes import BF16, F16
from sigmagraph.errors import DimError, LoweringError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import requirements
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.graph.printer import canonical_text, print_graph
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.verify import verify_kernels
from sigmagraph.ir.plan import Plan, from_json, pretty, to_json
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions, Environment, Target, as_target, from_environment
from sigmagraph.passes.manager import PassManager, parse_pipeline
from sigmagraph.passes.pipelines import PIPELINES
from sigmagraph.passes.specialise import specialise as specialise_graph
from sigmagraph.passes.specialise import unify
from sigmagraph.program import CompiledFunction, Origin
from sigmagraph.runtime.cache import Cache, Entry
from sigmagraph.runtime.devices import default_threads
from sigmagraph.runtime.executor import Executor
from sigmagraph.runtime.profile import counters
from sigmagraph.runtime.state import Variable, place_together
from sigmagraph.runtime.threads import Pool
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


def compile_graph(
    graph: Graph, variables: Mapping[str, Variable], options: CompileOptions | None = None
) -> CompiledFunction:
    """Compile a captured graph, or take it from the cache; ``variables`` are its parameters by name.

    Raises:
        SigmaError: the graph breaks a rule, or cannot be compiled.
    """
    options = options or CompileOptions()
    environment = from_environment()
    start = time.perf_counter()
    store = Cache(cache_folder(environment)) if options.cache and environment.cache_enabled else None
    host = processor(options.target)

    def built() -> Entry:
        fresh = build(graph, options)
        counters().compilations += 1
        return Entry(to_json(fresh.plan), fresh.code.object)

    entry, cached = _stored(store, cache_key(graph, options, host), built)
    counters().cache_hits += cached
    plan = from_json(entry.header)
    parameters = [variables[p.name] for p in plan.params]
    place_together(parameters)
    loaded = Loaded(entry.code, (plan.name,), host, plan.name)
    pool = process_pool(_threads(options.target, environment), store)
    executor = Executor(plan, loaded.address(plan.name), parameters, pool, loaded)
    origin = Origin(time.perf_counter() - start, cached, lambda record: build(graph, options, record))
    function = CompiledFunction(graph, executor, origin)
    if environment.dump is not None:
        function.dump(environment.dump / graph.name)
    return function


def _stored(store: Cache | None, key: str, make: Callable[[], Entry]) -> tuple[Entry, bool]:
    """The entry of a key, made and stored if there is none; and whether there was one."""
    entry = store.load(key) if store else None
    if entry is not None:
        return entry, True
    entry = make()
    if store:
        store.store(key, entry)
    return entry, False


def parse(text: str, file: str = "<text>") -> Graph:
    """The graph that a text describes, as ``str(graph)`` writes it; ``file`` is what errors call the text.

    Raises:
        ParseError: the text is no graph; the error says where, and what was expected.
    """
    return parse_graph(text, OPS, file)


@dataclass(frozen=True, slots=True)
class Built:
    """A program fresh from the compiler."""

    plan: Plan
    code: ObjectCode
    kernels: tuple[Kernel, ...]


def build(graph: Graph, options: CompileOptions, record: Record | None = None) -> Built:
    """Every stage in order. ``record`` is handed the name and the text of each file that a dump consists of."""
    host = processor(options.target)
    machine = machine_of(host.triple, host.features)
    graph = unify(specialise_graph(graph, dict(options.specialise), OPS), OPS)
    dims = _dims(graph)
    _refuse_half(graph)
    if record:
        record("00_captured.sg", print_graph(graph))

    # Graph [captured] -> Graph [fused]
    pipeline = (
        parse_pipeline(options.passes) if options.passes else PIPELINES["standard" if options.fuse else "unfused"]
    )
    manager = PassManager(pipeline, OPS, verify=options.verify)
    if record:
        manager.after = lambda step: record(f"{step.number:02}_{step.name}.sg", print_graph(step.graph))
    fused = manager.run(graph)

    # -> Compute, Kernel [loops], Kernel [scheduled], Kernel [legal]
    parts = partition(fused)
    scheduled = [schedule(c, machine) for c in parts.computes]
    if options.verify:
        verify_kernels(scheduled)
    legal = legalize(scheduled)
    kernels = {k.name: k for k in legal}
    if record:
        for stage in ([naive_kernel(c) for c in parts.computes], scheduled, legal):
            for kernel in stage:
                record(f"{kernel.name}.{kernel.stage.value}.sgk", print_kernel(kernel))

    # -> LLVM IR, Plan
    declarations: dict[str, str] = {}
    codes, callees = kernel_codes(list(kernels.values()), declarations)
    scratch = maximum(0, *scratch_bytes(codes))
    plan = plan_memory(fused, parts, kernels, dims, requirements(graph), scratch)
    plan = replace(plan, name=f"run_{_UNSAFE.sub('_', plan.name)}")
    constants = [fused.node(v).attrs["value"].data for v in parts.constants]
    text = emit_module(plan, kernels, codes, callees, constants, declarations, host.attributes)

    # -> object code
    code = compile_module(text, host, listing=record is not None)
    if record:
        record("plan.json", pretty(plan))
        record("program.ll", text)
        record("program.opt.ll", code.optimised)
        record("program.s", code.assembly)
    return Built(plan, code, tuple(kernels.values()))


def cache_folder(environment: Environment) -> Path:
    """Where compiled programs are kept."""
    if environment.cache_dir is not None:
        return environment.cache_dir
    import platformdirs

    return Path(platformdirs.user_cache_dir("sigmagraph")) / "programs"


def cache_key(graph: Graph, options: CompileOptions, host: Processor) -> str:
    """The name of a program in the cache: everything that its code depends on."""
    target = (host.triple, host.cpu, host.features)
    parts = [graph.name, canonical_text(graph), options.passes, options.fuse, options.specialise, target, version()]
    return hashlib.sha256("\n".join(map(str, [*parts, _fingerprint()])).encode()).hexdigest()


@cache
def _fingerprint() -> str:
    """The compiler itself, as a hash of its sources: another version makes other code."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for folder in ("ir", "ops", "passes", "codegen"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    for path in (Path(__file__), root / "dims.py", root / "dtypes.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _dims(graph: Graph) -> tuple[str, ...]:
    """The symbolic dims of a graph, in the order of the entry point's table."""
    known = {n for v in graph.inputs for size in graph.type(v).shape for n in names(size)}
    for node in graph.nodes():
        for type in node.types:
            for size in type.shape:
                for name in names(size):
                    if name not in known:
                        raise DimError(
                            f"no input has the dim '{name}', so that a call could not say how large it is",
                            node=node.op.name,
                            location=node.location,
                        )
    return tuple(sorted(known))


def _refuse_half(graph: Graph) -> None:
    """Native code has no 16-bit floats yet; the interpreter has."""
    for node in graph.nodes():
        for type in node.types:
            if type.dtype in (F16, BF16):
                raise LoweringError(
                    f"there is no native code for {type.dtype} yet",
                    expected="f32 or f64",
                    got=type,
                    node=node.name or node.op.name,
                    location=node.location,
                )


def _threads(target: Target, environment: Environment) -> int:
    if target.threads:
        return min(target.threads, environment.threads) if environment.threads else target.threads
    return default_threads(environment.threads)


def process_pool(threads: int, store: Cache | None) -> Pool | None:
    """The pool of this process for a number of threads; none is needed for one."""
    if threads == 1:
        return None
    pools = _pools()
    if threads not in pools:
        key = hashlib.sha256(f"pool {processor(Target())} {version()} {_fingerprint()}".encode()).hexdigest()
        entry, _ = _stored(store, key, lambda: Entry({}, compile_pool()))
        pools[threads] = Pool(PoolLibrary(entry.code), threads)
    return pools[threads]


@cache
def _pools() -> dict[int, Pool]:
    """The pools of this process, by their number of threads."""
    return {}
