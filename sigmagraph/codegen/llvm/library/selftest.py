"""Writes the self-test of a library: each function runs once on numbers made up, and gives what it gave at export."""

from __future__ import annotations

from collections.abc import Sequence

from sigmagraph.codegen.library.trials import Made, Trial, Trials, flat_words, state_entries, trial_tables
from sigmagraph.codegen.llvm.types import literal, memory_type
from sigmagraph.dims import evaluate
from sigmagraph.dtypes import BOOL, DType
from sigmagraph.ir.interface import Function, Interface, Status
from sigmagraph.ir.plan import align

_RUN = """
define WORD @NAME_selftest_size() #0 {
  ret WORD SELFTEST_SIZE
}

define signext i32 @NAME_selftest_run(ptr %memory, WORD %size) #0 {
  %here = icmp ne ptr %memory, null
  br i1 %here, label %room, label %missing
missing:
  ret i32 NULL
room:
  %enough = icmp uge WORD %size, SELFTEST_SIZE
  br i1 %enough, label %look, label %small
small:
  ret i32 SIZE
look:
  %level = call i32 @level()
  %runs = icmp sge i32 %level, 0
  br i1 %runs, label %do, label %lacking
lacking:
  ret i32 PROCESSOR
do:
  %old = call ptr @aligned(ptr %memory, i64 64)
  %new = getelementptr i8, ptr %old, i64 STATE_ROOM
  %old.values = call ptr @selftest.begin(ptr %old, i32 %level)
"""

_BEGIN = """
define internal ptr @selftest.begin(ptr %state, i32 %level) #0 {
  %shift = call i32 @state.shift(ptr %state)
  call void @state.begin(ptr %state, i32 %shift, i32 %level)
  %values = call ptr @state.values(ptr %state)
  call void @fill_values(ptr %values, ptr @selftest.state, i64 STORED_COUNT)
  %prepared = call i32 @NAME_state_prepare(ptr %state)
  ret ptr %values
}
"""


def selftest_text(interface: Interface, trials: Trials) -> tuple[str, dict[str, str]]:
    """The functions and their constants, and what stands for some words in them."""
    state = state_entries(interface, trials)
    room = align(interface.state_size)
    assert isinstance(room, int)
    texts, most = [_RUN.rstrip("\n")], 0
    constants = [_table("selftest.state", state)]
    for number, function in enumerate(interface.functions):
        if function.name in trials.calls:
            call = _Call(interface, function, trials.calls[function.name], number)
            texts += [
                f"  %call{number} = call i32 @selftest.call{number}(ptr %old.values, ptr %new, i32 %level)",
                f"  %good{number} = icmp eq i32 %call{number}, 0",
                f"  br i1 %good{number}, label %next{number}, label %wrong{number}",
                f"wrong{number}:",
                "  ret i32 SELFTEST",
                f"next{number}:",
            ]
            constants.append(call.text())
            most = max(most, call.bytes)
    texts += ["  ret i32 0", "}", _BEGIN]
    places = {
        "SELFTEST_SIZE": str(2 * room + most + 64),
        "STATE_ROOM": str(room),
        "STORED_COUNT": str(len(interface.stored)),
        "SELFTEST": str(int(Status.SELFTEST)),
    }
    return "\n".join(texts), places | {"CONSTANTS": "\n".join(constants)}


def _table(name: str, entries: Sequence[Sequence[int]]) -> str:
    words = flat_words(entries)
    return f"@{name} = internal constant [{len(words)} x i64] [{', '.join(f'i64 {w}' for w in words)}]"


class _Call:
    """The test of one function: memory behind the second state holds inputs, outputs and the arena."""

    def __init__(self, interface: Interface, function: Function, trial: Trial, number: int) -> None:
        self.number = number
        self.interface, self.function, self.trial = interface, function, trial
        room = align(interface.state_size)
        assert isinstance(room, int)
        self.tables = trial_tables(interface, function, trial, room)
        self.bytes = self.tables.end - room + evaluate(function.arena, trial.dims)

    def text(self) -> str:
        """The function and its constants."""
        name, f, trial = self.function.name, self.function, self.trial
        tables = self.tables
        arguments = ["ptr null", "ptr %state", "ptr %arena", *(f"i64 {trial.dims[d]}" for d in f.dims)]
        lines = [f"define internal i32 @selftest.call{self.number}(ptr %old, ptr %state, i32 %level) #0 {{"]
        lines += ["  %values = call ptr @selftest.begin(ptr %state, i32 %level)"]
        lines += [f"  call void @fill_values(ptr %state, ptr @selftest.inputs.{name}, i64 {len(tables.inputs)})"]
        lines += [f"  %arena = getelementptr i8, ptr %state, i64 {tables.end}"]
        for number, port in enumerate((*f.inputs, *f.outputs)):
            if port.shape or number >= len(f.inputs):
                lines.append(f"  %a{number} = getelementptr i8, ptr %state, i64 {tables.places[port.name]}")
                arguments.append(f"ptr %a{number}")
            else:
                arguments.append(f"{memory_type(port.dtype)} {_scalar(port.dtype, trial.inputs[port.name])}")
        lines += [f"  %status = call i32 @{self.interface.name}_{name}_with({', '.join(arguments)})"]
        for check, what, old in (("equal", "outputs", "ptr %state"), ("moved", "updates", "ptr %old, ptr %values")):
            count = len(tables.outputs if check == "equal" else tables.updates)
            passed = f"ptr @selftest.{what}.{name}, i64 {count}, ptr @selftest.wanted.{name}"
            lines.append(f"  %un{check} = call i32 @all_{check}({old}, {passed})")
        lines += ["  %either = or i32 %status, %unequal", "  %any = or i32 %either, %unmoved", "  ret i32 %any", "}"]
        numbers = ", ".join(f"double {literal(v, DType.F64)}" for v in tables.wanted)
        return "\n".join(
            [
                *lines,
                _table(f"selftest.inputs.{name}", tables.inputs),
                _table(f"selftest.outputs.{name}", tables.outputs),
                _table(f"selftest.updates.{name}", tables.updates),
                f"@selftest.wanted.{name} = internal constant [{len(tables.wanted)} x double] [{numbers}]",
            ]
        )


def _scalar(dtype: DType, made: Made) -> str:
    if dtype is BOOL:
        return str(int(made.low))
    return literal(made.low if dtype.is_float else int(made.low), dtype)
