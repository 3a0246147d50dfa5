"""What a user can set: compile options (they change the code), environment (it changes dumping and logging only)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from sigmagraph.errors import OptionError

HIGHEST = "highest"
_FORMS = "cpu, cpu:THREADS, cuda, cuda:sm_80, cuda:NUMBER or a triple such as aarch64-linux-gnu"
_ARCH = re.compile(r"sm_\d+[a-z]?")
_TRIPLE = re.compile(r"wasm32|\w+(-[\w.]+){1,3}")


@dataclass(frozen=True, slots=True)
class Target:
    """What code is made for.

    Attributes:
        kind: ``cpu`` or ``cuda``.
        cpu: of devices the architecture, such as ``sm_80``; of processors LLVM's name. ``x86-64``, ``x86-64-v2``,
            ``x86-64-v3`` and ``x86-64-v4`` mean the features of that level, ``native`` is the processor at hand with
            all it has. Empty for the one at hand, or where a system is named for the least processor of such systems
            (wasm32: with vectors; riscv64: rv64gc, without vectors; thumbv7em: ``cortex-m4``, whose f64 is computed by
            helpers of the ABI; ``cortex-m7`` has f64).
        features: LLVM feature string, such as ``+avx2,+fma``, added to what the processor's name means here. Of other
            processors schedules use only the features that are listed; without a list they are those of any
            processor of its kind.
        triple: LLVM's name of the system, such as ``aarch64-linux-gnu``, ``x86_64-windows-gnu``, ``aarch64-macos``,
            ``wasm32``, ``riscv64-linux-gnu`` or ``thumbv7em-none-eabihf``; empty for the machine at hand. Code for
            another system can be made, but not be run.
        threads: how many threads a program may use; 0 means min(affinity, cgroup quota).
        device: the number of the device.
    """

    kind: str = "cpu"
    cpu: str = ""
    features: str = ""
    threads: int = 0
    triple: str = ""
    device: int = 0

    def __str__(self) -> str:
        return ":".join(part for part in (self.triple or self.kind, self.cpu, str(self.device or "")) if part)


def as_target(value: Target | str) -> Target:
    """A target from its text form.

    ``cpu``, ``cpu:1`` (one thread), ``cpu:2``; ``cuda`` (the first device, whatever it is), ``cuda:1`` (the second),
    ``cuda:sm_80`` (what is made for that architecture); or a triple: ``aarch64-linux-gnu``.

    Whether there is a target of that kind is found out when something is compiled for it.

    Raises:
        OptionError: the text has another form.
    """
    if isinstance(value, Target):
        return value
    if not isinstance(value, str):
        raise OptionError("this is no target", expected=_FORMS, got=repr(value))
    if _TRIPLE.fullmatch(value):
        return Target(triple=value)
    kind, colon, rest = value.partition(":")
    if kind.isidentifier() and kind != "cuda" and (not colon or (rest.isdigit() and int(rest) > 0)):
        return Target(kind, threads=int(rest or 0))
    if kind == "cuda" and _ARCH.fullmatch(rest):
        return Target(kind, cpu=rest)
    if kind == "cuda" and (not colon or rest.isdigit()):
        return Target(kind, device=int(rest or 0))
    raise OptionError("this is no target", expected=_FORMS, got=repr(value))


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What changes the produced code; part of the cache key.

    Attributes:
        target: what code is made for.
        passes: the pipeline in text form; empty for the standard one.
        fuse: whether producers are merged into their consumers' kernels.
        remat: whether values are computed again where that makes the arena smaller, and groups run early that free
            memory; results stay the same to the last bit.
        prepare: whether what parameters alone decide is computed when they change and kept beside them, matrices in
            blocks as products read them, and not at every call.
        fast: whether results may differ from the exact ones where that saves time: the order and the rounding of sums
            are others, within an error that ``docs/training.md`` states. They are the same for any number of threads.
        precision: ``"highest"`` has products of f32 formed in f32. Else targets may round factors where that is many
            times faster: GPUs from sm_80 on round those of matrix products and convolutions to tf32 (ten bits of
            fraction), for tensor cores. Processors round nothing.
        checks: whether programs check that indices among their data lie in their range, and refuse the call if not.
        verify: whether graph and kernels are verified after every step.
        cache: whether compiled programs are read from and written to the persistent cache.
        specialise: symbolic dims replaced by numbers, by name.
        hints: sizes that symbolic dims usually have, by name. Code serves all sizes, and is made for these: it is
            chosen by them how work is cut, so that sums may differ in their last bits. Dims that a program does not
            have are of no account.
    """

    target: Target = field(default_factory=Target)
    passes: str = ""
    fuse: bool = True
    remat: bool = False
    prepare: bool = True
    fast: bool = False
    precision: str = ""
    checks: bool = True
    verify: bool = True
    cache: bool = True
    specialise: tuple[tuple[str, int], ...] = ()
    hints: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if self.precision not in ("", HIGHEST):
            raise OptionError("there is no such precision", expected=f"{HIGHEST!r} or ''", got=repr(self.precision))
        for name, size in self.hints:
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise OptionError(
                    f"the dim '{name}' cannot usually have this size", expected="1, 2, 3, ...", got=repr(size)
                )


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says. None of it changes the produced code.

    Attributes:
        dump: ``SIGMAGRAPH_DUMP``: folder into which every compiled program writes its stages.
        cache_dir: ``SIGMAGRAPH_CACHE``: folder of the persistent cache; ``off`` switches it off.
        threads: ``SIGMAGRAPH_THREADS``: upper bound on threads; 0 for none.
        careful: ``SIGMAGRAPH_CAREFUL``: 1 has every launch on a device waited for, so that errors name it.
    """

    dump: Path | None = None
    cache_dir: Path | None = None
    cache_enabled: bool = True
    threads: int = 0
    careful: bool = False


def from_environment() -> Environment:
    """Read the environment; the only place that does.

    Raises:
        OptionError: a variable has a value that means nothing.
    """
    dump = os.environ.get("SIGMAGRAPH_DUMP", "")
    cache_dir = os.environ.get("SIGMAGRAPH_CACHE", "")
    return Environment(
        dump=Path(dump) if dump else None,
        cache_dir=Path(cache_dir) if cache_dir and cache_dir != "off" else None,
        cache_enabled=cache_dir != "off",
        threads=_number("SIGMAGRAPH_THREADS"),
        careful=_number("SIGMAGRAPH_CAREFUL") > 0,
    )


def _number(name: str) -> int:
    text = os.environ.get(name, "") or "0"
    if not text.isdigit():
        raise OptionError(f"the environment variable {name} is not a number", expected="0, 1, 2, ...", got=repr(text))
    return int(text)
