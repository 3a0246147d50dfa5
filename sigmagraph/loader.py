"""Brings code to execution: the persistent cache, the loaded library, the threads, the variables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from sigmagraph.codegen.backend import Backend
from sigmagraph.codegen.llvm.caller import CallerLibrary, compile_caller
from sigmagraph.codegen.llvm.pool import PoolLibrary, compile_pool
from sigmagraph.codegen.targets import backend_for
from sigmagraph.dims import evaluate
from sigmagraph.errors import TargetError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.printer import canonical_text
from sigmagraph.ir.plan import Plan, Port, Program, from_json, to_json
from sigmagraph.options import CompileOptions, Environment, Target
from sigmagraph.runtime.cache import Cache, Entry
from sigmagraph.runtime.devices import default_threads, has_threads
from sigmagraph.runtime.executor import Executor
from sigmagraph.runtime.preparation import Preparation
from sigmagraph.runtime.profile import counters
from sigmagraph.runtime.state import Variable, place_together
from sigmagraph.runtime.threads import Pool

Build = Callable[[], tuple[Program, bytes]]


class Loader:
    """Finds programs in the cache or has them built, and makes them callable.

    Args:
        options: what changes the code.
        environment: where the cache is, and how many threads are allowed.
    """

    def __init__(self, options: CompileOptions, environment: Environment) -> None:
        self.options = options
        self.backend: Backend = backend_for(options.target)
        self._environment = environment
        in_use = options.cache and environment.cache_enabled
        self._cache = Cache(cache_folder(environment)) if in_use else None

    def load(self, graph: Graph, variables: Mapping[str, Variable], build: Build) -> tuple[Executor, bool]:
        """The executor of a captured graph, and whether its code came from the cache.

        Raises:
            TargetError: code for the target cannot run here.
        """
        if self.backend.foreign:
            raise TargetError("code for this target cannot run here", expected="cpu", got=self.options.target)

        def fresh() -> Entry:
            program, code = build()
            counters().compilations += 1
            return Entry(to_json(program), code)

        entry, cached = self._stored(cache_key(graph, self.options, self.backend), fresh)
        counters().cache_hits += cached
        program = from_json(entry.header)
        kept = {port.name: _variable(port) for port in program.kept}
        own = [variables[port.name] for port in program.params]
        place_together([*own, *kept.values()])
        everything = {variable.name: variable for variable in own} | kept
        plans = [plan for plan in (program.main, program.ahead) if plan is not None]
        library = self.backend.load(entry.code, tuple(plan.name for plan in plans))
        pool = self._pool()

        def executor(plan: Plan, preparation: Preparation | None = None) -> Executor:
            parameters = [everything[port.name] for port in plan.params]
            return Executor(plan, library.address(plan.name), parameters, pool, library, self._caller(), preparation)

        if program.ahead is None:
            return executor(program.main), cached
        sources = [everything[port.name] for port in program.ahead.params if port.name not in kept]
        preparation = Preparation(executor(program.ahead), sources)
        return executor(program.main, preparation), cached

    def _stored(self, key: str, make: Callable[[], Entry]) -> tuple[Entry, bool]:
        """The entry of a key, made and stored if there is none; and whether there was one."""
        entry = self._cache.load(key) if self._cache else None
        if entry is not None:
            return entry, True
        entry = make()
        if self._cache:
            self._cache.store(key, entry)
        return entry, False

    def _caller(self) -> CallerLibrary:
        """The native call of this process."""
        callers = _callers()
        if not callers:
            entry, _ = self._stored(_digest("caller", backend_for(Target()).key), lambda: Entry({}, compile_caller()))
            callers.append(CallerLibrary(entry.code))
        return callers[0]

    def _pool(self) -> Pool | None:
        """The pool of this process for the number of threads that is wanted; none is needed for one."""
        limit, wanted = self._environment.threads, self.options.target.threads
        threads = default_threads(limit) if not wanted else min(wanted, limit or wanted)
        if threads == 1:
            return None
        if not has_threads():
            raise TargetError("there are no pools of threads on this system", expected="cpu:1", got=f"cpu:{threads}")
        pools = _pools()
        if threads not in pools:
            key = _digest("pool", backend_for(Target()).key)
            entry, _ = self._stored(key, lambda: Entry({}, compile_pool()))
            pools[threads] = Pool(PoolLibrary(entry.code), threads)
        return pools[threads]


def _variable(port: Port) -> Variable:
    """The variable of a parameter that is nobody's but the program's."""
    shape = tuple(evaluate(size, {}) for size in port.shape)
    return Variable(port.name, port.dtype, shape)


def cache_folder(environment: Environment) -> Path:
    """Where compiled programs are kept."""
    if environment.cache_dir is not None:
        return environment.cache_dir
    import platformdirs

    return Path(platformdirs.user_cache_dir("sigmagraph")) / "programs"


def cache_key(graph: Graph, options: CompileOptions, backend: Backend) -> str:
    """The name of a program in the cache: everything that its code depends on."""
    return _digest(
        graph.name,
        canonical_text(graph),
        options.passes,
        options.fuse,
        options.remat,
        options.prepare,
        options.fast,
        options.checks,
        options.specialise,
        options.target.kind,
        backend.key,
    )


def _digest(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, (*parts, _fingerprint()))).encode()).hexdigest()


@cache
def _fingerprint() -> str:
    """The compiler itself, as a hash of its sources: another version makes other code."""
    root = Path(__file__).parent
    sources = [*root.glob("*.py"), *(p for f in ("ir", "ops", "passes", "codegen") for p in (root / f).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _callers() -> list[CallerLibrary]:
    """The native call of this process, once it is loaded."""
    return []


@cache
def _pools() -> dict[int, Pool]:
    """The pools of this process, by their number of threads."""
    return {}
