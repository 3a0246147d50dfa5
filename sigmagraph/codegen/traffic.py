"""Counts the bytes that a program's steps read and write, and the least that any program of its ports would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sigmagraph.dims import Dim, Size, maximum, substitute, total
from sigmagraph.ir.kernel.kernel import Kernel, Role
from sigmagraph.ir.plan import Branch, Check, Copy, Launch, Loop, Place, Plan, Step, flat_steps

# How often the bytes of a buffer go through a launch: what a kernel keeps in between is written and read again.
_TIMES: Mapping[Role, int] = {Role.IN: 1, Role.OUT: 1, Role.INOUT: 2, Role.TEMP: 2}


def moved(steps: Sequence[Step], kernels: Mapping[str, Kernel]) -> Size:
    """Bytes that steps read and write: the buffers of every launch, each as a whole, in every turn of a loop.

    Of two branches the one that moves more counts.

    Args:
        steps: of a plan.
        kernels: those that the steps launch, by name.
    """
    return total(_moved(step, kernels) for step in steps)


def _moved(step: Step, kernels: Mapping[str, Kernel]) -> Size:
    match step:
        case Launch(name, _, dims):
            kernel = kernels[name]
            size = total(_TIMES[b.role] * b.size * b.dtype.itemsize for b in kernel.params)
            return substitute(size, {theirs: Dim(ours) for theirs, ours in zip(kernel.dims, dims, strict=True)})
        case Copy(_, _, size):
            return 2 * size
        case Loop(_, extent, inner):
            return extent * moved(inner, kernels)
        case Branch(_, then, orelse):
            return 1 + maximum(moved(then, kernels), moved(orelse, kernels))
        case Check():
            return 1


def floor(plan: Plan, kernels: Mapping[str, Kernel]) -> Size:
    """Bytes of every input, parameter, new value of a parameter and output, each once."""
    written = dict.fromkeys(place.index for place in _targets(plan, kernels) if place.space == "param")
    ports = (*plan.inputs, *plan.params, *(plan.params[n] for n in written), *plan.outputs)
    return total(port.bytes for port in ports)


def _targets(plan: Plan, kernels: Mapping[str, Kernel]) -> Iterator[Place]:
    """The places that steps write to."""
    for step in flat_steps(plan.steps):
        match step:
            case Launch(name, places, _):
                roles = (buffer.role for buffer in kernels[name].params)
                yield from (place for place, role in zip(places, roles, strict=True) if role is not Role.IN)
            case Copy(_, target, _):
                yield target
            case _:
                pass
