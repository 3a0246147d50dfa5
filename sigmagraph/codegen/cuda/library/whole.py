"""Writes the library of an artifact for GPUs: one file of C with the code of its programs in it.

``library.c`` beside this file has what all libraries have, with places for what differs; ``@`` stands for the
artifact's name in it, ``$`` for the same in capitals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from sigmagraph.codegen.cuda.library.plan import Addresses, Kernels, PlanWriter
from sigmagraph.codegen.cuda.library.routines import routines_in_c
from sigmagraph.codegen.cuda.library.text import numbers_text, size_text, string_text, words_text
from sigmagraph.codegen.library.c_types import C_TYPES
from sigmagraph.codegen.library.content import Content
from sigmagraph.codegen.library.parts import Layout, Part, Placed, largest_dim
from sigmagraph.codegen.library.trials import flat_words, state_entries, trial_tables
from sigmagraph.codegen.llvm.native.selftest import SELFTEST_ROUTINES
from sigmagraph.codegen.llvm.native.state_file import STATE_ROUTINES, state_table
from sigmagraph.dims import Size, product
from sigmagraph.dtypes import BOOL
from sigmagraph.errors import DimError
from sigmagraph.ir.interface import OWN_ERRORS, STATUS_TEXTS, Function, Interface
from sigmagraph.ir.launch import LIMIT, RUNNING, DeviceCode, Launches, flow_words
from sigmagraph.ir.plan import Check, Plan, Port, first_user, flat_steps

# Rows of tables that would be empty, which C does not allow.
_NO_TEXT, _NO_PORT, _NO_KERNEL = '""', '{"", 1}', '{"", "", "", "", 0, 0, 0}'
APART = 256  # what inputs, outputs and constants begin at multiples of
_ARCH = re.compile(r"sm_(\d+)(\d)([a-z]?)")


@dataclass(frozen=True, slots=True)
class DeviceProgram:
    """The code of one part.

    Attributes:
        code: what its plans launch, and the machine code.
        ptx: assembly for newer devices; it is left out where the code is for one architecture alone.
    """

    code: DeviceCode
    ptx: str


def arena_of(part: Part) -> Size:
    """Bytes on the device for a call: the arena, and inputs and outputs behind it."""
    size = _up(part.main.arena_bytes(1))
    for port in (*part.inputs, *part.main.outputs):
        size = size + _up(port.bytes)
    return size


def _up(size: Size) -> Size:
    return (size + (APART - 1)) // APART * APART


class Sources:
    """The text of a library.

    Args:
        interface: what it offers.
        layout: where stored values lie.
        parts: its programs.
        compiled: their code, in the same order.
        content: of constants.
    """

    def __init__(
        self,
        interface: Interface,
        layout: Layout,
        parts: Sequence[Part],
        compiled: Sequence[DeviceProgram],
        content: Content,
    ) -> None:
        self.interface, self.layout, self.parts, self.compiled = interface, layout, parts, compiled
        self.content = content
        self.kernels = Kernels()
        self.constants = bytearray()  # of all programs, as they lie on the device
        self.rows: list[str] = []  # of programs

    def text(self) -> str:
        """The whole file.

        Raises:
            DimError: a parameter has too many elements for a device.
        """
        plans = [self._program(number) for number in range(len(self.parts))]
        rows = ",\n    ".join(self.rows or ["{0}"])
        plans.append(f"static const sg_program sg_programs[SG_PROGRAMS] = {{\n    {rows}\n}};")
        routines = routines_in_c((*STATE_ROUTINES, *SELFTEST_ROUTINES))
        functions = "\n".join(self._function(number) for number in range(len(self.parts)))
        tests = self._trials()  # names of programs are not needed there, but their number is
        places = {
            "SG_TABLES": "\n".join([self._numbers(), *self._tables(), tests]),
            "SG_ROUTINES": routines,
            "SG_PLANS": "\n".join(plans),
            "SG_FUNCTIONS": functions,
        }
        source = (files("sigmagraph.codegen.cuda.library") / "library.c").read_text(encoding="utf-8")
        name = self.interface.name
        pieces = re.split(r"^(SG_TABLES|SG_ROUTINES|SG_PLANS|SG_FUNCTIONS)$", source, flags=re.MULTILINE)
        pieces = [places.get(piece) or piece.replace("@", name).replace("$", name.upper()) for piece in pieces]
        counts = self._counts()
        head = f"/* {name}: made by sigmagraph {self.interface.version} for {self._arch}; see {name}.h. */\n"
        return "\n".join([head, counts, "".join(pieces)])

    @property
    def _arch(self) -> str:
        return self.interface.levels[0]

    # ---- numbers and tables

    def _counts(self) -> str:
        """Numbers that the types of the file are made of."""
        functions = self.interface.functions
        counts = {
            "SG_PROGRAMS": len(functions),
            "SG_KERNELS": len(self.kernels.rows),
            "SG_DIMS": max((len(f.dims) for f in functions), default=0),
            "SG_PORTS": max((len(f.inputs) + len(f.outputs) for f in functions), default=0),
            "SG_SLOTS": max((len(part.main.slots) for part in self.parts), default=0),
            "SG_ARGUMENTS": 8 * self.kernels.most_arguments,
        }
        return "\n".join(f"#define {name} {max(count, 1)}" for name, count in counts.items()) + "\n"

    def _numbers(self) -> str:
        interface, stored = self.interface, self.interface.stored
        end = stored[-1].offset + stored[-1].bytes if stored else 0
        major, minor, alone = _arch_numbers(self._arch)
        counter = next((s.offset for s in stored if s.name == interface.counter), -1)
        numbers: dict[str, int | str] = {
            "SG_MODEL": f"UINT64_C({interface.model})",
            "SG_VALUES": max(interface.state_bytes, 1),
            "SG_STORED": max(-(-end // 8) * 8, 8),
            "SG_STORED_COUNT": len(stored),
            "SG_FILE": len(self.content.file_head) + sum(s.bytes for s in stored),
            "SG_CONSTANTS": max(len(self.constants), 1),
            "SG_COUNTER": counter,
            "SG_EMBEDDED": int(interface.embedded),
            "SG_TRIALS": len(self.content.trials.calls),
            "SG_LIMIT": f"INT64_C({LIMIT})",
            "SG_ARCH": string_text(self._arch),
            "SG_ARCH_MAJOR": major,
            "SG_ARCH_MINOR": minor,
            "SG_ARCH_ALONE": int(alone),
        }
        return "\n".join(f"#define {name} {_number(value)}" for name, value in numbers.items())

    def _tables(self) -> list[str]:
        interface, content = self.interface, self.content
        words, text = state_table(interface, content.file_head)
        errors = [(int(status), text) for status, text in STATUS_TEXTS.items()]
        errors += list(enumerate(interface.own_errors, OWN_ERRORS))
        rows = ",\n    ".join(f"{{{number}, {string_text(text)}}}" for number, text in errors)
        images, table = [], []
        alone = _arch_numbers(self._arch)[2]
        for number, (part, made) in enumerate(zip(self.parts, self.compiled, strict=True)):
            images.append(words_text(f"sg_cubin{number}", made.code.image))
            images.append(words_text(f"sg_ptx{number}", b"\0" if alone else made.ptx.encode() + b"\0"))
            table.append(f"{{{string_text(part.name)}, sg_cubin{number}, sg_ptx{number}}}")
        return [
            f"static const sg_error sg_errors[] = {{\n    {rows}\n}};",
            words_text("sg_info", content.info.encode() + b"\0"),
            numbers_text("sg_state_table", words),
            words_text("sg_state_text", text),
            words_text("sg_weights", self._weights()),
            words_text("sg_constants", bytes(self.constants)),
            f"static const char sg_largest_stored[] = {string_text(self._largest_stored())};",
            *images,
            f"static const sg_image sg_images[SG_PROGRAMS] = {{\n    {_rows(table)}\n}};",
            f"static const sg_kernel sg_kernels[SG_KERNELS] = {{\n    {_rows(self.kernels.rows, _NO_KERNEL)}\n}};",
            "static const sg_program sg_programs[SG_PROGRAMS];",
        ]

    def _largest_stored(self) -> str:
        """What a message says besides where there is no memory for the state."""
        if not self.interface.stored:
            return ""
        largest = max(self.interface.stored, key=lambda stored: stored.bytes)
        return f"; the largest of {len(self.interface.stored)} values is '{largest.name}': {largest.bytes} bytes"

    def _weights(self) -> bytes:
        """The values at export as they lie on the device; nothing where they are not embedded."""
        out = bytearray()
        if self.interface.embedded:
            for stored in self.interface.stored:
                out += bytes(stored.offset - len(out)) + self.content.values[stored.name]
            out += bytes(-len(out) % 8)
        return bytes(out)

    def _constant(self, data: bytes) -> int:
        """Put something to the constants; where it begins."""
        self.constants += bytes(-len(self.constants) % APART)
        at = len(self.constants)
        self.constants += data
        return at

    # ---- programs

    def _program(self, number: int) -> str:
        """The functions around one program; its row goes to the table."""
        part, function, compiled = self.parts[number], self.interface.functions[number], self.compiled[number]
        placed = self.layout.placed[number][0]
        launches = compiled.code.plans[part.main.name]
        flow = self._flow(part.main, launches)
        texts = [
            self._check(number, function, part, launches),
            self._place(number, function, part),
            PlanWriter(part.main, launches, number, self.kernels, self._addresses(part, placed, launches, flow)).text(
                f"static int32_t sg_run{number}(sg_state *s, const int64_t *dims, uint64_t base, const int64_t *at)",
                ("s", "dims", "base", "at"),
            ),
            self._slots(number, part.main, launches),
        ]
        ahead = placed.program.ahead
        if ahead is not None:
            texts.append(self._ahead(number, ahead, placed, compiled.code.plans[ahead.name]))
        ports = ", ".join(
            f"{{{string_text(p.name)}, {p.dtype.itemsize}}}" for p in (*function.inputs, *function.outputs)
        )
        dims = ", ".join(map(string_text, function.dims))
        texts.append(f"static const sg_port sg_ports{number}[] = {{{ports or _NO_PORT}}};")
        texts.append(f"static const char *const sg_dims{number}[] = {{{dims or _NO_TEXT}}};")
        checked = any(isinstance(step, Check) for step in flat_steps(part.main.steps))
        outdates = any(self._reads_of(other) & set(part.updates) for other in range(len(self.parts)))
        self.rows.append(
            f"{{{string_text(part.name)}, {len(function.dims)}, {len(function.inputs)}, {len(function.outputs)}, "
            f"sg_dims{number}, sg_ports{number}, sg_check{number}, sg_place{number}, "
            f"sg_slots{number}, sg_users{number}, {len(part.main.slots)}, sg_run{number}, "
            f"{f'sg_ahead{number}' if ahead else 'NULL'}, {int(checked)}, {int(bool(part.updates))}, {int(outdates)}, "
            f"{flow}, {function.first_error + len(function.requirements)}}}"
        )
        return "\n".join(texts)

    def _reads_of(self, number: int) -> set[str | None]:
        """The stored values that a part makes something of ahead."""
        ahead = self.layout.placed[number][0].program.ahead
        return {self.parts[number].stored.get(port.name) for port in ahead.params} if ahead else set()

    def _flow(self, plan: Plan, launches: Launches) -> int:
        """Where the flow of a plan lies; right behind it is what it begins with."""
        if not launches.controlled:
            return 0
        start = np.zeros(flow_words(plan), "<i4")
        start[RUNNING] = 1
        return self._constant(bytes(start.nbytes) + start.tobytes())

    def _addresses(self, part: Part, placed: Placed, launches: Launches, flow: int) -> Addresses:
        given = iter(range(len(part.inputs)))
        inputs = []
        for port in part.main.inputs:
            if port.name in part.fixed:
                data = np.array(part.fixed[port.name]).astype(port.dtype.numpy).tobytes()
                inputs.append(f"SG_AT(s->constants, {self._constant(data)})")
            else:
                inputs.append(f"SG_AT(base, at[{next(given)}])")
        first = len(part.inputs)
        return Addresses(
            inputs,
            [f"SG_AT(base, at[{first + n}])" for n in range(len(part.main.outputs))],
            [f"SG_AT(s->values, {placed.params[port.name]})" for port in part.main.params],
            [f"SG_AT(s->constants, {self._constant(data)})" for data in launches.constants],
            f"SG_AT(s->constants, {flow})",
            "base",
        )

    def _ahead(self, number: int, ahead: Plan, placed: Placed, launches: Launches) -> str:
        addresses = Addresses(
            [],
            [],
            [f"SG_AT(s->values, {placed.params[port.name]})" for port in ahead.params],
            [f"SG_AT(s->constants, {self._constant(data)})" for data in launches.constants],
            f"SG_AT(s->constants, {self._flow(ahead, launches)})",
            f"SG_AT(s->values, {placed.workspace})",
        )
        writer = PlanWriter(ahead, launches, number, self.kernels, addresses)
        return writer.text(f"static int32_t sg_ahead{number}(sg_state *s)", ("s",))

    def _check(self, number: int, function: Function, part: Part, launches: Launches) -> str:
        """Whether the dims of a call fit, and kernels can count what they work on."""
        names = {name: f"d{n}" for n, name in enumerate(function.dims)}
        lines = [f"static int32_t sg_check{number}(sg_state *s, const int64_t *dims) {{"]
        lines += [f"    const int64_t d{n} = dims[{n}]; /* {name} */" for n, name in enumerate(function.dims)]
        lines.append("    (void)s; (void)dims;")
        most = min(largest_dim(function), LIMIT - 1)
        for name, dim in names.items():
            text = string_text(f"the dim '{name}' is negative or too large for a device")
            lines.append(f"    if ({dim} < 0 || {dim} > {most}) return sg_too_large(s, {text}, {dim});")
        for status, r in enumerate(function.requirements, function.first_error):
            left, right = size_text(r.left, names), size_text(r.right, names)
            text = string_text(function.errors[status - function.first_error])
            told = f'"%s; here are %lld and %lld", {text}, (long long)({left}), (long long)({right})'
            lines.append(f"    if (!({left} {r.relation} {right})) return sg_refused(s, {status}, {told});")
        for what, size in _counted(part.main, launches):
            if isinstance(size, int):
                if size >= LIMIT:
                    raise DimError(f"{what} for a device", expected=f"less than {LIMIT:,}", got=f"{size:,}")
                continue
            text = size_text(size, names)
            lines.append(f"    if ({text} >= SG_LIMIT) return sg_too_large(s, {string_text(what)}, {text});")
        return "\n".join([*lines, "    return 0;", "}\n"])

    def _place(self, number: int, function: Function, part: Part) -> str:
        names = {name: f"d{n}" for n, name in enumerate(function.dims)}
        lines = [f"static int64_t sg_place{number}(const int64_t *dims, int64_t *at, int64_t *bytes) {{"]
        lines += [f"    const int64_t d{n} = dims[{n}]; /* {name} */" for n, name in enumerate(function.dims)]
        lines.append(f"    int64_t end = SG_UP({size_text(part.main.arena_bytes(1), names)});")
        for n, port in enumerate((*function.inputs, *function.outputs)):
            lines.append(f"    at[{n}] = end;")
            lines.append(f"    bytes[{n}] = {size_text(port.bytes, names)};")
            lines.append(f"    end += SG_UP(bytes[{n}]);")
        unused = "".join(f" (void){name};" for name in names.values())
        return "\n".join([*lines, f"    (void)dims; (void)at; (void)bytes;{unused}", "    return end;", "}\n"])

    def _slots(self, number: int, plan: Plan, launches: Launches) -> str:
        """What lies in the arena, for messages: how large each slot is, and the kernel that writes to it first."""
        names = {name: f"d{n}" for n, name in enumerate(plan.dims)}
        lines = [f"static int64_t sg_slots{number}(const int64_t *dims, int64_t *bytes) {{"]
        lines += [f"    const int64_t d{n} = dims[{n}]; /* {name} */" for n, name in enumerate(plan.dims)]
        lines += [f"    bytes[{n}] = {size_text(size, names)};" for n, size in enumerate(plan.slots)]
        unused = "".join(f" (void){name};" for name in names.values())
        lines += [f"    (void)dims; (void)bytes;{unused}", f"    return {size_text(plan.arena_bytes(1), names)};", "}"]
        users = [first_user(plan, n) for n in range(len(plan.slots))]
        found = [launches.grids.get(user, ()) for user in users]
        rows = ", ".join(str(self.kernels.known(number, grids[0].symbol) if grids else -1) for grids in found)
        return "\n".join([*lines, f"static const int sg_users{number}[] = {{{rows or -1}}};\n"])

    # ---- what the host calls

    def _function(self, number: int) -> str:
        """A function, whose arguments are called by their places: in the header they have the names of the ports."""
        function = self.interface.functions[number]
        name, count = f"{self.interface.name}_{function.name}", len(function.inputs)
        dims = [f"d{n}" for n in range(len(function.dims))]
        sizes = [f"int64_t {dim}" for dim in dims]
        table = f"    const int64_t dims[] = {{{', '.join(dims) or '0'}}};"
        arguments, values, inputs = ["void *state", "void *arena", *sizes], [], []
        for n, port in enumerate(function.inputs):
            kind = C_TYPES[port.dtype]
            arguments.append(f"const {kind} *a{n}" if port.shape else f"{kind} a{n}")
            if port.dtype is BOOL and not port.shape:
                values.append(f"    const uint8_t b{n} = a{n} != 0;")
                inputs.append(f"&b{n}")
            else:
                inputs.append(f"a{n}" if port.shape else f"&a{n}")
        outputs = [f"a{count + n}" for n in range(len(function.outputs))]
        arguments += [f"{C_TYPES[p.dtype]} *{a}" for p, a in zip(function.outputs, outputs, strict=True)]
        return "\n".join(
            [
                f"size_t {name}_arena_size({', '.join(sizes) or 'void'}) {{",
                table,
                f"    return sg_size({number}, dims);",
                "}\n",
                f"int32_t {name}({', '.join(arguments)}) {{",
                table,
                *values,
                f"    const void *const in[] = {{{', '.join(inputs) or 'NULL'}}};",
                f"    void *const out[] = {{{', '.join(outputs) or 'NULL'}}};",
                "    (void)arena; /* it is on the device */",
                f"    return sg_call((sg_state *)state, {number}, dims, in, out);",
                "}\n",
            ]
        )

    # ---- the self-test

    def _trials(self) -> str:
        trials, texts, rows = self.content.trials, [], []
        texts.append(numbers_text("sg_made", flat_words(state_entries(self.interface, trials))))
        for number, function in enumerate(self.interface.functions):
            if function.name not in trials.calls:
                continue
            trial = trials.calls[function.name]
            tables = trial_tables(self.interface, function, trial, 0, scalars=True)
            dims = [trial.dims[name] for name in function.dims]
            places = [tables.places[port.name] for port in (*function.inputs, *function.outputs)]
            wanted = np.array(tables.wanted, "<f8").tobytes()
            texts += [
                f"static const int64_t sg_trial_dims{number}[] = {{{', '.join(map(str, dims)) or '0'}}};",
                f"static const int64_t sg_trial_places{number}[] = {{{', '.join(map(str, places)) or '0'}}};",
                *(
                    numbers_text(f"sg_trial_{kind}{number}", flat_words(entries))
                    for kind, entries in _kinds(tables.inputs, tables.outputs, tables.updates)
                ),
                words_text(f"sg_trial_wanted{number}", wanted),
            ]
            names = ", ".join(f"sg_trial_{kind}{number}" for kind in ("inputs", "outputs", "updates", "wanted"))
            counts = ", ".join(str(len(e)) for e in (tables.inputs, tables.outputs, tables.updates))
            rows.append(
                f"{{{number}, sg_trial_dims{number}, sg_trial_places{number}, {max(tables.end, 1)}, {names}, {counts}}}"
            )
        empty = "{0, NULL, NULL, 0, NULL, NULL, NULL, NULL, 0, 0, 0}"
        texts.append(f"static const sg_trial sg_trials[] = {{\n    {_rows(rows, empty)}\n}};")
        return "\n".join(texts)


def _kinds(
    inputs: list[list[int]], outputs: list[list[int]], updates: list[list[int]]
) -> list[tuple[str, list[list[int]]]]:
    return [("inputs", inputs), ("outputs", outputs), ("updates", updates)]


def _rows(rows: Sequence[str], empty: str = "{NULL, NULL, NULL}") -> str:
    return ",\n    ".join(rows or [empty])


def _number(value: int | str) -> str:
    return str(value) if isinstance(value, str) or abs(value) < 1 << 31 else f"INT64_C({value})"


def _arch_numbers(arch: str) -> tuple[int, int, bool]:
    """The two numbers of an architecture, and whether its code is for it alone."""
    match = _ARCH.fullmatch(arch)
    assert match is not None
    return int(match[1]), int(match[2]), bool(match[3])


def _counted(plan: Plan, launches: Launches) -> list[tuple[str, Size]]:
    """What kernels count, in words, and how many there are of it."""
    counted: list[tuple[str, Size]] = []
    kinds: tuple[tuple[str, Sequence[Port]], ...] = (
        ("input", plan.inputs),
        ("output", plan.outputs),
        ("parameter", plan.params),
    )
    for kind, ports in kinds:
        counted += [(f"the {kind} '{p.name}' has too many elements", product(p.shape)) for p in ports]
    items = launches.items or (1,) * len(plan.slots)
    for number, (slot, item) in enumerate(zip(plan.slots, items, strict=True)):
        counted.append((f"a value of '{first_user(plan, number)}' may have too many elements", slot // item))
    return counted
