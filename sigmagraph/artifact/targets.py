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
        machine: the triple's first part, without what says the variant.
        kind: the library's format: ``elf``, ``pe``, ``macho``, ``wasm``, or ``bare`` for objects that nobody links here.
        prefix, suffix: around the artifact's name in the library's file name.
        mode: what an ELF linker or Windows's calls the machine.
        zig: Zig's name of the target.
        emulator: the program that runs programs for it on another Linux; empty for none.
        linker: GNU's linker for it, which Debian's ``binutils-...`` have.
    """

    machine: str
    kind: str
    prefix: str
    suffix: str
    mode: str = ""
    zig: str = ""
    emulator: str = ""
    linker: str = ""

    def library(self, name: str) -> str:
        """The library's file name."""
        return f"{self.prefix}{name}{self.suffix}"

    @property
    def loadable(self) -> bool:
        """Whether this process can load a library of it."""
        return self.kind == _KINDS.get(sys.platform) and self.machine == _machine(platform.machine())


_KINDS = {"linux": "elf", "win32": "pe", "darwin": "macho"}

# A system, a machine, and what there is to know about them together.
_TARGETS = (
    ("linux", "x86_64", ArtifactTarget("x86_64", "elf", "lib", ".so", "elf_x86_64", "x86_64-linux", "qemu-x86_64", "x86_64-linux-gnu-ld")),
    ("linux", "aarch64", ArtifactTarget("aarch64", "elf", "lib", ".so", "aarch64linux", "aarch64-linux", "qemu-aarch64", "aarch64-linux-gnu-ld")),
    ("linux", "riscv64", ArtifactTarget("riscv64", "elf", "lib", ".so", "elf64lriscv", "riscv64-linux", "qemu-riscv64", "riscv64-linux-gnu-ld")),
    ("windows", "x86_64", ArtifactTarget("x86_64", "pe", "", ".dll", "x64", "x86_64-windows")),
    ("windows", "aarch64", ArtifactTarget("aarch64", "pe", "", ".dll", "arm64", "aarch64-windows")),
    ("macos", "aarch64", ArtifactTarget("aarch64", "macho", "lib", ".dylib", "arm64", "aarch64-macos.11.0")),
    ("macos", "x86_64", ArtifactTarget("x86_64", "macho", "lib", ".dylib", "x86_64", "x86_64-macos.11.0")),
    ("wasm", "wasm32", ArtifactTarget("wasm32", "wasm", "", ".wasm", "wasm32", "wasm32-freestanding")),
    ("bare", "arm", ArtifactTarget("arm", "bare", "lib", ".a", "armelf", "thumb-freestanding", "", "arm-none-eabi-ld")),
    ("bare", "aarch64", ArtifactTarget("aarch64", "bare", "lib", ".a", "aarch64elf", "aarch64-freestanding")),
    ("bare", "riscv32", ArtifactTarget("riscv32", "bare", "lib", ".a", "elf32lriscv", "riscv32-freestanding")),
    ("bare", "riscv64", ArtifactTarget("riscv64", "bare", "lib", ".a", "elf64lriscv", "riscv64-freestanding")),
    ("bare", "x86_64", ArtifactTarget("x86_64", "bare", "lib", ".a", "elf_x86_64", "x86_64-freestanding")),
)  # fmt: skip


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
    system, machine = _system(triple), _machine(triple.split("-")[0])
    for ending, of, target in _TARGETS:
        if (ending, of) == (system, machine):
            return target
    known = ", ".join(f"{of} {'without a system' if ending == 'bare' else ending}" for ending, of, _ in _TARGETS)
    raise TargetError("there are no artifacts for this target", expected=known, got=triple)
