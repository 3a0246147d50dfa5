"""Objects need nothing, whatever scalar ops they compute, for every system that artifacts are made for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sparse import some

from sigmagraph.artifact.formats import inspect_library
from sigmagraph.codegen.llvm.apart import Apart
from sigmagraph.codegen.llvm.backend import CpuBackend
from sigmagraph.codegen.llvm.emit import emit_kernel
from sigmagraph.codegen.llvm.generation import Modules, module_text
from sigmagraph.codegen.llvm.linked import Group
from sigmagraph.driver import write_program
from sigmagraph.dtypes import DType
from sigmagraph.errors import DTypeError
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.scalar import SCALARS, ScalarOp
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions, Target

CORPUS = Path(__file__).parent.parent / "corpus"
# Arithmetic that the processor lacks is in helpers of the ABI (Run-time ABI for the Arm Architecture, IHI 0043), which
# every compiler for it brings: of 64-bit integers, and of f64 where that is not in hardware.
OF_GPUS = ("exp2_approx", "round_tf32_even")  # instructions that processors lack
LONG = {f"__aeabi_{name}" for name in ("ldivmod", "l2f", "l2d", "f2lz", "d2lz")}
DOUBLE = {f"__aeabi_{name}" for name in (
    "dadd", "dsub", "dmul", "ddiv", "dcmpeq", "dcmplt", "dcmple", "dcmpgt", "dcmpge", "dcmpun",
    "d2f", "f2d", "d2iz", "d2uiz", "i2d", "ui2d",
)}  # fmt: skip
WASM = {f"env.__{name}" for name in ("linear_memory", "stack_pointer", "indirect_function_table")}
ARM = "thumbv7em-none-eabihf"
SYSTEMS: dict[str, tuple[Target, set[str]]] = {
    "x86-64": (Target(triple="x86_64-linux-gnu"), set()),
    "x86-64-v3": (Target(triple="x86_64-linux-gnu", cpu="x86-64-v3"), set()),
    "aarch64": (Target(triple="aarch64-linux-gnu"), set()),
    "windows": (Target(triple="x86_64-windows-gnu"), set()),
    "macos": (Target(triple="aarch64-macos"), set()),
    "wasm": (Target(triple="wasm32"), set()),
    "riscv64": (Target(triple="riscv64-linux-gnu"), set()),
    "cortex-m4": (Target(triple=ARM, cpu="cortex-m4"), LONG | DOUBLE),
    "cortex-m7": (Target(triple=ARM, cpu="cortex-m7"), LONG),
}
every_system = pytest.mark.parametrize("system", SYSTEMS)
# Those that lack most are tried by default.
_LESSER = ("x86-64", "wasm", "riscv64", "cortex-m4")
lesser_first = pytest.mark.parametrize("system", some(tuple(SYSTEMS), _LESSER))


def needs(code: bytes) -> set[str]:
    """What others have to offer; for wasm without the memory, stack and table of functions, which its linker makes."""
    return {name for name in inspect_library(code).undefined if name not in WASM}


# ---- scalar ops


def uses(chosen: Callable[[ScalarOp], bool]) -> Iterator[tuple[str, list[DType], DType]]:
    """Scalar ops in every type that they take: expression, types of operands and of the result."""
    for op in SCALARS.values():
        for dtype in DType:
            operands = [dtype] * op.arity
            if op.name == "select":
                operands[0] = DType.BOOL
            try:
                result = op.result(operands)
            except DTypeError:
                continue
            if chosen(op) and not op.lanes and not op.name.startswith(("soft_", "split_")) and op.name not in OF_GPUS:
                yield f"{op.name}({', '.join(f'%x{k}[@]' for k in range(op.arity))})", operands, result


def casts() -> Iterator[tuple[str, list[DType], DType]]:
    for source in DType:
        for target in DType:
            if source is not target:
                yield f"cast(%x0[@], {target})", [source], target


def kernel(number: int, expr: str, operands: list[DType], result: DType, lanes: int) -> Kernel:
    params = ", ".join([*(f"%x{k}: in {d}[{lanes}*n]" for k, d in enumerate(operands)), f"%y: out {result}[{lanes}*n]"])
    return parse_kernel(
        f"sigmagraph 1\nkernel @k{number} stage(scheduled) dims(n) params({params}) {{\n"
        f"  for %i in n {{ for %v in {lanes} vectorized {{ %y[@] = {expr} }} }}\n}}\n".replace("@]", f"{lanes}*%i+%v]")
    )


def needs_of_ops(target: Target, chosen: Callable[[ScalarOp], bool]) -> set[str]:
    backend = CpuBackend(target)
    declarations: dict[str, str] = {}
    texts = []
    for number, use in enumerate((*uses(chosen), *casts())):
        legal = backend.legalize(kernel(number, *use, lanes=4))
        texts.append(emit_kernel(legal, declarations).text)
    apart = Apart(backend.processor)
    try:
        code = apart.compile(module_text("\n".join(texts), declarations, backend.processor.attributes))
    finally:
        apart.close()
    return needs(code.object)


@lesser_first
def test_primitive_ops_need_what_is_listed_and_no_more(system: str) -> None:
    """All others are written in these."""
    target, known = SYSTEMS[system]
    assert needs_of_ops(target, lambda op: op.primitive) == known


@pytest.mark.extended
@every_system
def test_ops_need_nothing(system: str) -> None:
    target, known = SYSTEMS[system]
    assert needs_of_ops(target, lambda op: not op.primitive) <= known


# ---- programs


def needs_of_program(system: str, name: str) -> set[str]:
    """Of all of its modules as one object file, which is what artifacts are made of."""
    target = SYSTEMS[system][0]
    backend = CpuBackend(target)
    texts: list[str] = []
    modules = Modules(backend.processor, texts.append, pooled=False)
    program = write_program(
        parse_graph((CORPUS / f"{name}.sg").read_text(encoding="utf-8"), OPS, name),
        CompileOptions(target, verify=False),
        backend,
        modules,
    )
    apart = Apart(backend.processor)
    try:
        return needs(apart.compile_linked([Group(texts, [program.main.name])], [program.main.name]))
    finally:
        apart.close()


@pytest.mark.extended
@pytest.mark.parametrize(
    "name",
    [
        "perceptron_step",
        "lstm_step",
        "convolution_step",
        "attention_step",
        "random_step",
        "halves",
        "integers",
        "systems",
    ],
)
@every_system
def test_programs_need_nothing(system: str, name: str) -> None:
    assert needs_of_program(system, name) <= SYSTEMS[system][1]


@pytest.mark.parametrize("system", ["windows", "cortex-m4"])
def test_a_program_needs_nothing(system: str) -> None:
    assert needs_of_program(system, "perceptron_step") <= SYSTEMS[system][1]
