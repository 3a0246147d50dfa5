"""What is paid besides time: megabytes installed, seconds of imports and compilations, memory of training steps."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sigmagraph
from benchmarks import overheads
from benchmarks.memory import Row, training_rows


@dataclass(frozen=True, slots=True)
class Costs:
    """All figures; bytes and MB (10^6 bytes) as they are named."""

    installed_mb: float
    import_seconds: float
    import_compiler_seconds: float
    cold_seconds: float
    cached_seconds: float
    call_microseconds: float
    native_microseconds: float
    memory: list[Row] = field(default_factory=list)


def costs() -> Costs:
    """Measure everything."""
    cold, cached = overheads.compile_seconds()
    call, native = overheads.call_microseconds()
    return Costs(
        installed_bytes() / 1e6,
        overheads.import_seconds("import sigmagraph"),
        overheads.import_seconds("import sigmagraph; sigmagraph.compile"),
        cold,
        cached,
        call,
        native,
        training_rows() if importlib.util.find_spec("torch") else [],
    )


def installed_bytes() -> int:
    """Bytes of the package and of all that it depends on, as they lie on the disk, without compiled bytecode."""
    package = sum(_size(path) for path in Path(sigmagraph.__file__).parent.rglob("*"))
    return package + sum(map(_distribution_size, dependencies("sigmagraph") - {"sigmagraph"}))


def dependencies(name: str) -> set[str]:
    """The distributions that one needs, itself included, extras left out."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _required(name)
    return found


def _required(name: str) -> Iterator[str]:
    for line in importlib.metadata.requires(name) or ():
        requirement, _, marker = line.partition(";")
        other = re.match(r"[A-Za-z0-9._-]+", requirement)
        if other and "extra" not in marker and _is_installed(other.group()):
            yield re.sub(r"[-_.]+", "-", other.group()).lower()


def _is_installed(name: str) -> bool:
    """Whether a distribution is there; those that other systems or versions need are not."""
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _distribution_size(name: str) -> int:
    return sum(_size(Path(str(file.locate()))) for file in importlib.metadata.files(name) or ())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() and path.suffix != ".pyc" else 0
