"""Brings code to execution: the persistent cache, the loaded library, the threads, the variables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from sigmagraph.codegen.backend import Backend
from sigmagraph.codegen.llvm.pool import PoolLibrary, compile_pool
from sigmagraph.codegen.targets import backend_for
from sigmagraph.errors import TargetError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.printer import canonical_text
from sigmagraph.ir.plan import Plan, from_json, to_json
from sigmagraph.options import CompileOptions, Environment, Target
from sigmagraph.runtime.cache import Cache, Entry
from sigmagraph.runtime.devices import default_threads, has_threads
from sigmagraph.runtime.executor import Executor
from sigmagraph.runtime.profile import counters
from sigmagraph.runtime.state import Variable, place_together
from sigmagraph.runtime.threads import Pool

Build = Callable[[], tuple[Plan, bytes]]


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
            plan, code = build()
            counters().compilations += 1
            return Entry(to_json(plan), code)

        entry, cached = self._stored(cache_key(graph, self.options, self.backend), fresh)
        counters().cache_hits += cached
        plan = from_json(entry.header)
        parameters = [variables[port.name] for port in plan.params]
        place_together(parameters)
        library = self.backend.load(entry.code, (plan.name,))
        return Executor(plan, library.address(plan.name), parameters, self._pool(), library), cached

    def _stored(self, key: str, make: Callable[[], Entry]) -> tuple[Entry, bool]:
        """The entry of a key, made and stored if there is none; and whether there was one."""
        entry = self._cache.load(key) if self._cache else None
        if entry is not None:
            return entry, True
        entry = make()
        if self._cache:
            self._cache.store(key, entry)
        return entry, False

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
def _pools() -> dict[int, Pool]:
    """The pools of this process, by their number of threads."""
    return {}
