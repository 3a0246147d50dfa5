"""Brings code to execution: from the persistent cache, or freshly built."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from sigmagraph.codegen.backend import Backend
from sigmagraph.execution import assembled, execution_for
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.printer import canonical_text
from sigmagraph.ir.plan import Program, from_json, to_json
from sigmagraph.options import CompileOptions, Environment
from sigmagraph.runtime.cache import Cache, Entry
from sigmagraph.runtime.profile import counters
from sigmagraph.runtime.runner import Runner
from sigmagraph.runtime.state import Variable

Build = Callable[[], tuple[Program, bytes]]


class Loader:
    """Finds programs in the cache or has them built, and makes them callable.

    Args:
        options: what changes the code.
        environment: where the cache is, and how many threads are allowed.
    """

    def __init__(self, options: CompileOptions, environment: Environment) -> None:
        self.options = options
        self._execution = execution_for(options.target, environment)
        self.backend: Backend = self._execution.backend(options.precision)
        in_use = options.cache and environment.cache_enabled
        self._cache = Cache(cache_folder(environment)) if in_use else None

    def load(self, graph: Graph, variables: Mapping[str, Variable], build: Build) -> tuple[Runner, bool]:
        """What calls a captured graph, and whether its code came from the cache.

        Raises:
            TargetError: code for the target cannot run here.
        """
        self._execution.check()

        def fresh() -> Entry:
            program, code = build()
            counters().compilations += 1
            return Entry(to_json(program), code)

        entry, cached = self._stored(cache_key(graph, self.options, self.backend), fresh)
        counters().cache_hits += cached
        program = from_json(entry.header)
        return assembled(program, variables, lambda plans: self._execution.load(entry.code, plans, self._kept)), cached

    def _stored(self, key: str, make: Callable[[], Entry]) -> tuple[Entry, bool]:
        """The entry of a key, made and stored if there is none; and whether there was one."""
        entry = self._cache.load(key) if self._cache else None
        if entry is not None:
            return entry, True
        entry = make()
        if self._cache:
            self._cache.store(key, entry)
        return entry, False

    def _kept(self, key: str, make: Callable[[], bytes]) -> bytes:
        """What programs share, from the cache."""
        return self._stored(_digest(key), lambda: Entry({}, make()))[0].code


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
        options.precision,
        options.checks,
        options.specialise,
        options.hints,
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
