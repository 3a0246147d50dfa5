"""Words for what goes wrong on a device: which kernels it may have been, and which memory was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sigmagraph.dims import evaluate, names
from sigmagraph.errors import DeviceError, DeviceMemoryError
from sigmagraph.ir.launch import Launches
from sigmagraph.ir.plan import Launch, Plan, flat_steps
from sigmagraph.runtime.device_plan import Call, Move, Started, writer
from sigmagraph.runtime.layout import apart

_LISTED = 12  # kernels that an error lists
_CAREFUL = "with SIGMAGRAPH_CAREFUL=1 each launch is waited for, and the error names it"


def failed_action(error: DeviceError, action: Call | Move, program: Started, dims: Mapping[str, int]) -> DeviceError:
    """The error for a launch or a copy that is known to have failed."""
    if isinstance(action, Move):
        return _worded(f"in a copy, in program '{program.plan.name}'", error, node=str(action))
    used = ", ".join(f"{name}={value}" for name, value in dims.items())
    symbol = f" ({action.symbol})" if action.symbol != action.kernel else ""
    launch = f"{action.blocks} blocks, arguments {', '.join(map(_argument, action.arguments))}"
    return _worded(
        f"in '{action.kernel}'{symbol}, in program '{program.plan.name}'",
        error,
        node=f"{launch}; {used}" if used else launch,
        location=program.launches.nodes.get(action.kernel),
    )


def failed_since(error: DeviceError, when: str, suspected: str) -> DeviceError:
    """The error for something that was noticed at some time, and failed since the device was waited for last."""
    return _worded(when, error, node=suspected, hint=_CAREFUL)


def _worded(
    where: str, error: DeviceError, *, node: str | None = None, location: str | None = None, hint: str | None = None
) -> DeviceError:
    got = error.message if error.got is None else f"{error.message}: {error.got}"
    return DeviceError(f"the device failed {where}", got=got, node=node, location=location, hint=hint)


def suspects(started: Iterable[Started]) -> str:
    """The kernels that were launched since somebody waited for the device."""
    kernels = [_described(kernel, program.launches) for program in started for kernel in _launched(program.plan)]
    if not kernels:
        return "nothing was launched since the device was waited for"
    more = f", and {len(kernels) - _LISTED} more" if len(kernels) > _LISTED else ""
    return f"one of {len(kernels)} kernels: {', '.join(kernels[:_LISTED])}{more}"


def _launched(plan: Plan) -> list[str]:
    return list(dict.fromkeys(step.kernel for step in flat_steps(plan.steps) if isinstance(step, Launch)))


def _described(kernel: str, launches: Launches) -> str:
    nodes = launches.nodes.get(kernel)
    return f"'{kernel}' ({nodes})" if nodes else f"'{kernel}'"


def _argument(value: int) -> str:
    return hex(value) if value >= 1 << 31 else str(value)


def too_large(
    program: Started, dims: Mapping[str, int], arena: int, size: int, error: DeviceMemoryError
) -> DeviceMemoryError:
    """The error where the memory of a run cannot be had: what was asked for, the largest part of it, the least."""
    plan = program.plan
    used = ", ".join(f"{name}={value}" for name, value in dims.items())
    fixed = plan.param_bytes + sum(map(len, program.launches.constants))
    if plan.dims:
        least = f"with every dim at 1 the smallest plan is {_least(plan):,} bytes"
    else:
        least = f"the smallest plan is {_least(plan):,} bytes"
    return DeviceMemoryError(
        error.message,
        expected=f"{arena:,} bytes for the arena, {size:,} with inputs and outputs" + (f" ({used})" if used else ""),
        got=error.got,
        node=_largest(program, dims),
        hint=f"{least}, beside {fixed:,} for parameters and constants; CompileOptions(remat=True) makes arenas smaller",
    )


def _least(plan: Plan) -> int:
    """Bytes of arena, inputs and outputs if every dim is 1."""
    ones = dict.fromkeys((n for slot in plan.slots for n in names(slot)), 1) | dict.fromkeys(plan.dims, 1)
    ports = [evaluate(port.bytes, ones) for port in (*plan.inputs, *plan.outputs)]
    return apart(ports, evaluate(plan.arena_bytes(1), ones))[1]


def _largest(program: Started, dims: Mapping[str, int]) -> str:
    """The largest single buffer of a run, what it is, and which kernel and layer it belongs to."""
    plan = program.plan
    found: list[tuple[int, str]] = [(0, "there are no buffers")]
    for number, slot in enumerate(plan.slots):
        kernel = writer(plan, number)
        found.append((evaluate(slot, dims), f"a value of {_described(kernel, program.launches)}"))
    for kind, ports in (("input", plan.inputs), ("output", plan.outputs)):
        found += [(evaluate(port.bytes, dims), f"the {kind} '{port.name}'") for port in ports]
    size, what = max(found, key=lambda entry: entry[0])
    return f"the largest buffer is {what}: {size:,} bytes"


def largest_of(sizes: Sequence[tuple[str, int]]) -> str:
    """The largest of several things, by name and bytes."""
    name, size = max(sizes, key=lambda entry: entry[1])
    return f"the largest of {len(sizes)} is '{name}': {size:,} bytes"
