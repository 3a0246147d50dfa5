"""How many bytes of global memory a thread has asked for and not yet got, read from the order of its instructions.

Instructions of a thread are issued in order, and loads do not wait: a thread goes on up to the first instruction that
speaks of a register that is still to be loaded. Memory is taken to answer in order, so that everything that was asked
for before has come by then as well. A multiprocessor waits least where this, times the threads that it has, is what
memory delivers while a load takes its time (Little's law).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

_LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:\{\s*)?(@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*)")
_LABEL = re.compile(r"^\s*(\.L\w+):")
_TARGET = re.compile(r"(?:`\((\.L\w+)\)|\b0x([0-9a-f]+))\s*$")
_REGISTER = re.compile(r"(\[)?\bR(\d+)((?:\.\w+)*)")  # an address stands behind a bracket
WIDTHS = MappingProxyType({"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16, "256": 32})  # bytes; else 4
_ACCESSES = ("LDG", "LD", "STG", "ST", "STS", "STL")
_DOUBLE = ("DADD", "DMUL", "DFMA", "DSETP")  # of pairs of registers
_WAIT = re.compile(r"\bSB0,\s*0x([0-9a-f]+)")
_WORD = 4  # bytes of a register
_ENDS = ("EXIT", "RET", "BRA", "JMP", "BRX")
_JUMPS = ("BRA", "JMP")
_ROUNDS = 4  # through the code, within which what comes round a loop has come to everything behind it


@dataclass(frozen=True, slots=True)
class Flight:
    """Bytes of a thread that are on their way at most, loads that are stopped at as well as asynchronous copies.

    Attributes:
        straight: in code that is carried out once.
        loops: in loops that load something; 0 where there are none.
    """

    straight: int = 0
    loops: int = 0


@dataclass(frozen=True, slots=True)
class _Instruction:
    """One line of a listing.

    Attributes:
        address: of the instruction.
        parts: its name, cut at the dots.
        condition: under which it is carried out; empty where there is none.
        operands: as they stand in the listing.
    """

    address: int
    parts: tuple[str, ...]
    condition: str
    operands: str

    @property
    def bytes(self) -> int:
        """How many bytes a thread moves, if it is an access."""
        return max((WIDTHS.get(part, 0) for part in self.parts), default=0) or _WORD

    @property
    def registers(self) -> frozenset[int]:
        """The registers that it speaks of; of vectors all that it is known to read or write."""
        name = self.parts[0]
        words = -(-self.bytes // _WORD) if name in _ACCESSES else 2 if name in _DOUBLE else 1
        found: set[int] = set()
        for place, number, marks in _REGISTER.findall(self.operands):
            wide = 2 if ".64" in marks or (place and "E" in self.parts) else 1
            first = int(number)
            found.update(range(first, first + (wide if place else max(words, wide))))
        return frozenset(found)

    @property
    def loaded(self) -> frozenset[int]:
        """The registers that a load writes: those before its address."""
        first = _REGISTER.search(self.operands.split("[")[0])
        return frozenset(range(int(first[2]), int(first[2]) + -(-self.bytes // _WORD))) if first else frozenset()


@dataclass(frozen=True, slots=True)
class _State:
    """What is on its way.

    Attributes:
        loads: registers and bytes of each, the oldest first.
        copies: bytes of the groups of copies that are waited for as one, the oldest first, the last one being open.
    """

    loads: tuple[tuple[frozenset[int], int], ...] = ()
    copies: tuple[int, ...] = (0,)

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.loads) + sum(self.copies)

    def after(self, instruction: _Instruction) -> _State:
        """What is on its way once an instruction is issued."""
        name, used = instruction.parts[0], instruction.registers
        awaited = [number for number, (registers, _) in enumerate(self.loads) if registers & used]
        loads = self.loads[awaited[-1] + 1 :] if awaited else self.loads
        copies = self.copies
        if name == "LDG":
            loads = (*loads, (instruction.loaded, instruction.bytes))
        elif name == "LDGSTS":
            copies = (*copies[:-1], copies[-1] + instruction.bytes)
        elif name == "LDGDEPBAR":
            copies = (*copies, 0)
        elif name == "DEPBAR" and (left := _WAIT.search(instruction.operands)):
            copies = copies[-(int(left[1], 16) + 1) :]
        return replace(self, loads=loads, copies=copies)


def flight(lines: Iterable[str]) -> Flight:
    """What a kernel has on its way at most, given its lines in a listing by nvdisasm or cuobjdump."""
    code, labels = _read(lines)
    jumps = {i.address: target for i in code if (target := _target(i, labels)) is not None}
    loops = [(target, address) for address, target in jumps.items() if target <= address]
    incoming: dict[int, _State] = {}  # by address, of the way there on which most is left
    straight = looping = 0
    for _ in range(_ROUNDS):
        before = dict(incoming)
        state: _State | None = _State()
        for instruction in code:
            at = instruction.address
            state = _most(state, incoming.get(at)) or _State()
            state = state.after(instruction)
            if _loads(instruction) and any(first <= at <= last for first, last in loops):
                looping = max(looping, state.bytes)
            elif _loads(instruction):
                straight = max(straight, state.bytes)
            if at in jumps:
                there = _most(incoming.get(jumps[at]), state)
                assert there is not None
                incoming[jumps[at]] = there
            if instruction.parts[0] in _ENDS and _always(instruction):
                state = None
        if incoming == before:
            break
    return Flight(straight, looping)


def _loads(instruction: _Instruction) -> bool:
    return instruction.parts[0] in ("LDG", "LDGSTS")


def _read(lines: Iterable[str]) -> tuple[Sequence[_Instruction], dict[str, int]]:
    """The instructions, and the addresses of labels."""
    code: list[_Instruction] = []
    labels: dict[str, int] = {}
    waiting: list[str] = []
    for line in lines:
        if label := _LABEL.match(line):
            waiting.append(label[1])
        elif found := _LINE.match(line):
            address, condition, name, operands = found.groups()
            code.append(_Instruction(int(address, 16), tuple(name.split(".")), condition or "", operands))
            labels.update(dict.fromkeys(waiting, code[-1].address))
            waiting = []
    return code, labels


def _target(instruction: _Instruction, labels: dict[str, int]) -> int | None:
    """Where a jump goes, if it is one."""
    found = _TARGET.search(instruction.operands.strip()) if instruction.parts[0] in _JUMPS else None
    if found is None:
        return None
    return labels.get(found[1]) if found[1] else int(found[2], 16)


def _always(instruction: _Instruction) -> bool:
    """Whether a jump is taken in any case: its condition may stand before it or be its first operand."""
    return not instruction.condition and not re.match(r"\s*(?:!?U?P\w+|DIV|CONV|~\w+)\b", instruction.operands)


def _most(one: _State | None, other: _State | None) -> _State | None:
    """That state of two in which more is on its way."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda state: state.bytes)
