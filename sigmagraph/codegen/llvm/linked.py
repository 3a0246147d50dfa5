"""Several modules as one object file, of which the outside sees nothing but what is exported."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm

from sigmagraph.codegen.llvm.compile import Processor, add_own, emitter, parsed
from sigmagraph.errors import CompileError


@dataclass(frozen=True, slots=True)
class Group:
    """Modules that share their names; of what they define, other groups see only ``offers``."""

    texts: Sequence[str]
    offers: Collection[str]


def compile_linked(groups: Sequence[Group], exports: Collection[str], processor: Processor) -> bytes:
    """One object file of all modules.

    For foreign processors this may end the process: see :mod:`sigmagraph.codegen.llvm.apart`.

    Raises:
        CompileError: LLVM refuses a module, or two that belong together define the same name.
        TargetError: LLVM does not know the processor's system.
    """
    machine = emitter(processor, linked=True)
    context = llvm.create_context()
    whole: Any = None
    for group in groups:
        module: Any = None
        for text in group.texts:
            module = _joined(module, parsed(text, processor, machine, context))
        _hide(module, group.offers)
        whole = _joined(whole, module)
    _hide(whole, exports)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
    manager = llvm.create_new_module_pass_manager()
    manager.add_sroa_pass()
    manager.add_global_dead_code_eliminate_pass()
    manager.add_merge_functions_pass()
    manager.add_constant_merge_pass()
    manager.run(whole, builder)
    add_own(whole, processor, machine, context)
    return bytes(machine.emit_object(whole))


def _joined(into: Any, module: Any) -> Any:
    if into is None:
        return module
    try:
        into.link_in(module)
    except RuntimeError as error:
        raise CompileError("modules of a library do not fit together", got=str(error)) from error
    return into


def _hide(module: Any, visible: Collection[str]) -> None:
    for symbol in (*module.functions, *module.global_variables):
        if not symbol.is_declaration and symbol.name not in visible:
            symbol.linkage = "internal"
