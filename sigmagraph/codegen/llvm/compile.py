"""LLVM itself: module text to object code, object code to an address. The only user of llvmlite besides :mod:`pool`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from sigmagraph.codegen.llvm.archive import unpack
from sigmagraph.codegen.llvm.frames import PROBE, probe_attribute, probe_text, probes
from sigmagraph.codegen.llvm.systems import LEVELS, NATIVE, full_triple, system
from sigmagraph.errors import CompileError, TargetError
from sigmagraph.options import Target


@dataclass(frozen=True, slots=True)
class Processor:
    """What LLVM generates code for."""

    triple: str
    cpu: str
    features: str

    @property
    def foreign(self) -> bool:
        """Whether it belongs to another system than this process runs on."""
        return bool(self.triple != llvm.get_process_triple())

    @property
    def has_levels(self) -> bool:
        """Whether libraries find out which level of these is at hand; others are for the one that they name."""
        return self.triple.startswith("x86_64")

    @property
    def attributes(self) -> str:
        """Function attributes; wide vectors are used because the kernels are written for them."""
        probe = f" {probe_attribute()}" if probes(self.triple) else ""
        return (
            f'nounwind "target-cpu"="{self.cpu}" "target-features"="{self.features}" "prefer-vector-width"="512"{probe}'
        )


def processor(target: Target) -> Processor:
    """The processor that a target names; the machine at hand where it names none.

    Raises:
        TargetError: the processor at hand is asked for, but belongs to another kind of system.
    """
    _initialise()
    here = llvm.get_process_triple()
    triple = full_triple(target.triple) if target.triple else here
    cpu = target.cpu or ("" if target.triple else NATIVE)
    if cpu == NATIVE:
        if _architecture(triple) != _architecture(here):
            raise TargetError("the processor at hand is none of this system", expected=here, got=triple)
        features = llvm.get_host_cpu_features().flatten()
        return Processor(triple, llvm.get_host_cpu_name(), _joined(features, target.features))
    least = system(triple)
    return Processor(triple, cpu or least.cpu, _joined(least.features, LEVELS.get(cpu, ""), target.features))


def _architecture(triple: str) -> str:
    return triple.partition("-")[0].replace("arm64", "aarch64")


def _joined(*features: str) -> str:
    """Lists of features as one; the last word on one holds."""
    return ",".join(filter(None, features))


def version() -> str:
    """LLVM's version, for cache keys."""
    return ".".join(map(str, llvm.llvm_version_info))


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()  # for the few instructions that LLVM has no words for


def know_all_targets() -> None:
    """Let this process make code for every system that LLVM knows."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@cache
def emitter(processor: Processor, linked: bool) -> Any:
    """LLVM's machine that emits all code for a processor, to be loaded or to be linked.

    Raises:
        TargetError: LLVM does not know the processor's system.
    """
    return _machine(processor, linked)


def _machine(processor: Processor, linked: bool) -> Any:
    """LLVM's machine for code that is loaded, and may lie anywhere, or for objects that are linked and lie together."""
    _initialise()
    try:
        target = llvm.Target.from_triple(processor.triple)
    except RuntimeError as error:
        raise TargetError("LLVM does not know the target", got=processor.triple) from error
    kind = system(processor.triple)
    return target.create_target_machine(
        cpu=processor.cpu,
        features=processor.features,
        opt=2,
        reloc=kind.relocation,
        codemodel="default",
        jit=not linked,
        abiname=kind.abi,
    )


@dataclass(frozen=True, slots=True)
class ObjectCode:
    """A compiled module: the object file, and what LLVM made of the text."""

    object: bytes
    optimised: str
    assembly: str


def compile_module(text: str, processor: Processor, listing: bool = False, linked: bool = False) -> ObjectCode:
    """Object code of a module; with ``listing`` also the optimised text and the assembly.

    With ``linked`` the object is for a linker, as one for a foreign processor always is, and not to be loaded: half as
    large. For foreign processors this may end the process: see :mod:`sigmagraph.codegen.llvm.apart`.

    Raises:
        CompileError: LLVM refuses the module.
        TargetError: LLVM does not know the processor's system.
    """
    machine = emitter(processor, linked or processor.foreign)
    context = llvm.create_context()
    module = parsed(text, processor, machine, context)
    if " alloca " in text:
        _promote(module, machine)
    add_own(module, processor, machine, context)
    assembly = machine.emit_assembly(module) if listing else ""
    return ObjectCode(machine.emit_object(module), str(module) if listing else "", assembly)


def parsed(text: str, processor: Processor, machine: Any, context: Any) -> Any:
    """A module from its text, in one of LLVM's contexts, for a machine.

    Raises:
        CompileError: LLVM refuses the module.
    """
    try:
        module = llvm.parse_assembly(text, context)
        module.triple = processor.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise CompileError("LLVM refuses the generated module", got=str(error)) from error
    return module


def add_own(module: Any, processor: Processor, machine: Any, context: Any) -> None:
    """Add the functions that code calls on LLVM's own account; no pass may come after this, which would miss uses."""
    if probes(processor.triple):
        module.link_in(parsed(probe_text(), processor, machine, context))
        module.get_function(PROBE).linkage = "internal"


def _promote(module: Any, machine: Any) -> None:
    """Local arrays to registers: the only mid-level pass; everything else is in the text already."""
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
    manager = llvm.create_new_module_pass_manager()
    manager.add_sroa_pass()
    manager.run(module, builder)


class Loaded:
    """An archive of object code in memory; it lives as long as this object does."""

    def __init__(self, code: bytes, symbols: tuple[str, ...], processor: Processor, name: str) -> None:
        _initialise()
        self._jit = llvm.create_lljit_compiler(_machine(processor, linked=False))
        builder = llvm.JITLibraryBuilder().add_current_process()
        for member in unpack(code):
            builder.add_object_img(member)
        for symbol in symbols:
            builder.export_symbol(symbol)
        try:
            self._library = builder.link(self._jit, f"sigmagraph.{name}")
        except RuntimeError as error:
            raise CompileError("the object code cannot be loaded", got=str(error)) from error

    def address(self, symbol: str) -> int:
        """The address of an exported function."""
        return int(self._library[symbol])
