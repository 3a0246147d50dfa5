"""What is known about the systems that artifacts are made for, as a literal table."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from sigmagraph.errors import TargetError


@dataclass(frozen=True, slots=True)
class ArtifactTarget:
    """A kind of machine and system.

    Attributes:
        machine: ``x86_64``, ``aarch64``, ``riscv64``, ``riscv32``, ``arm`` or ``wasm32``.
        kind: the library's format: ``elf``, ``pe``, ``macho``, ``wasm``, or ``bare`` where no system loads any.
        prefix, suffix: around the artifact's name in the library's file name.
        mode: what ELF linkers, or those for Windows, call the machine.
        zig: Zig's name of the target, where Zig itself links.
        linker: GNU's linker for it, which Debian's ``binutils-...`` have.
    """

    machine: str
    kind: str
    prefix: str
    suffix: str
    mode: str = ""
    zig: str = ""
    linker: str = ""

    def library(self, name: str) -> str:
        """The library's file name."""
        return f"{self.prefix}{name}{self.suffix}"

    @property
    def loadable(self) -> bool:
        """Whether this process can load a library of it."""
        return self.kind == _KINDS.get(sys.platform) and self.machine == _machine(platform.machine())


def _linux(machine: str, mode: str) -> ArtifactTarget:
    return ArtifactTarget(machine, "elf", "lib", ".so", mode, "", f"{machine}-linux-gnu-ld")


_KINDS = {"linux": "elf", "win32": "pe", "darwin": "macho"}

# A system, and what there is to know about a machine with it.
_TARGETS = (
    ("linux", _linux("x86_64", "elf_x86_64")),
    ("linux", _linux("aarch64", "aarch64linux")),
    ("linux", _linux("riscv64", "elf64lriscv")),
    ("windows", ArtifactTarget("x86_64", "pe", "", ".dll", "x64")),
    ("windows", ArtifactTarget("aarch64", "pe", "", ".dll", "arm64")),
    ("macos", ArtifactTarget("aarch64", "macho", "lib", ".dylib", zig="aarch64-macos.11.0")),
    ("macos", ArtifactTarget("x86_64", "macho", "lib", ".dylib", zig="x86_64-macos.11.0")),
    ("wasm", ArtifactTarget("wasm32", "wasm", "", ".wasm")),
    ("bare", ArtifactTarget("arm", "bare", "lib", ".a")),
    ("bare", ArtifactTarget("aarch64", "bare", "lib", ".a")),
    ("bare", ArtifactTarget("riscv32", "bare", "lib", ".a")),
    ("bare", ArtifactTarget("riscv64", "bare", "lib", ".a")),
    ("bare", ArtifactTarget("x86_64", "bare", "lib", ".a")),
)


def _machine(text: str) -> str:
    """A machine's name, whoever says it."""
    text = text.lower()
    if text in ("amd64", "x86_64"):
        return "x86_64"
    if text in ("arm64", "aarch64"):
        return "aarch64"
    return "arm" if text.startswith(("arm", "thumb")) else text


def _system(triple: str) -> str:
    if triple.startswith("wasm"):
        return "wasm"
    for system, words in (("linux", ("linux",)), ("windows", ("windows", "win32")), ("macos", ("macos", "darwin"))):
        if any(word in triple for word in words):
            return system
    return "bare" if any(word in triple for word in ("-none", "-elf", "-eabi")) else ""


def artifact_target(triple: str) -> ArtifactTarget:
    """What is known about the system of a triple.

    Raises:
        TargetError: nothing is.
    """
    system, machine = _system(triple), _machine(triple.partition("-")[0])
    for name, target in _TARGETS:
        if (name, target.machine) == (system, machine):
            return target
    known = ", ".join(f"{target.machine} {'none' if name == 'bare' else name}" for name, target in _TARGETS)
    raise TargetError("there are no artifacts for this target", expected=known, got=triple)
