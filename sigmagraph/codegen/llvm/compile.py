"""LLVM itself: module text to object code, object code to an address. The only user of llvmlite besides :mod:`pool`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from sigmagraph.codegen.llvm.archive import unpack
from sigmagraph.errors import CompileError, TargetError
from sigmagraph.options import Target

_VENDORS = ("apple", "pc", "unknown")


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
    def attributes(self) -> str:
        """Function attributes; wide vectors are used because the kernels are written for them."""
        return f'nounwind "target-cpu"="{self.cpu}" "target-features"="{self.features}" "prefer-vector-width"="512"'


def processor(target: Target) -> Processor:
    """The processor that a target names; the machine at hand where it names none."""
    _initialise()
    if target.triple:
        return Processor(_whole(target.triple), target.cpu, target.features)
    if target.cpu:
        return Processor(llvm.get_process_triple(), target.cpu, target.features)
    features = llvm.get_host_cpu_features().flatten()
    return Processor(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)


def _whole(triple: str) -> str:
    """A triple with all its four parts; people leave out the vendor."""
    architecture, *rest = triple.split("-")
    return triple if len(rest) != 2 or rest[0] in _VENDORS else "-".join((architecture, "unknown", *rest))


def version() -> str:
    """LLVM's version, for cache keys."""
    return ".".join(map(str, llvm.llvm_version_info))


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def know_all_targets() -> None:
    """Let this process make code for every system that LLVM knows."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@cache
def _emitter(processor: Processor) -> Any:
    """The machine that emits all code for a processor."""
    return _machine(processor)


def _machine(processor: Processor) -> Any:
    try:
        target = llvm.Target.from_triple(processor.triple)
    except RuntimeError as error:
        raise TargetError("LLVM does not know the target", got=processor.triple) from error
    return target.create_target_machine(
        cpu=processor.cpu,
        features=processor.features,
        opt=2,
        reloc="pic",
        codemodel="default",
        jit=not processor.foreign,  # what is loaded may lie anywhere, what is linked lies together
    )


@dataclass(frozen=True, slots=True)
class ObjectCode:
    """A compiled module: the object file, and what LLVM made of the text."""

    object: bytes
    optimised: str
    assembly: str


def compile_module(text: str, processor: Processor, listing: bool = False) -> ObjectCode:
    """Object code of a module; with ``listing`` also the optimised text and the assembly.

    For foreign processors this may end the process: see :mod:`sigmagraph.codegen.llvm.apart`.

    Raises:
        CompileError: LLVM refuses the module.
        TargetError: LLVM does not know the processor's system.
    """
    _initialise()
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.triple = processor.triple
        module.verify()
    except RuntimeError as error:
        raise CompileError("LLVM refuses the generated module", got=str(error)) from error
    machine = _emitter(processor)
    module.data_layout = str(machine.target_data)
    if " alloca " in text:
        _promote(module, machine)
    assembly = machine.emit_assembly(module) if listing else ""
    return ObjectCode(machine.emit_object(module), str(module) if listing else "", assembly)


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
        self._jit = llvm.create_lljit_compiler(_machine(processor))
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
