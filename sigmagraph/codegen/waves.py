"""Which tasks of a program may run at the same time: neighbours that do not read what another one makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigmagraph.codegen.partition import Control, Task
from sigmagraph.dims import nominal, total
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.kernel import Kernel

_TEMPORARY = 1 << 28  # bytes of temporary memory, more of which tasks that run at the same time do not have


def waves(tasks: Sequence[Task | Control], kernels: Mapping[str, Kernel]) -> Sequence[int]:
    """A number for each task, which never falls; those with the same one may run at the same time.

    Args:
        tasks: in order.
        kernels: the kernel of each work, by name; parameters beyond the work's are temporary.
    """
    out: list[int] = []
    made: set[Value] = set()
    size = 0
    for task in tasks:
        need = _temporary(task, kernels)
        if isinstance(task, Control) or not made.isdisjoint(task.reads) or size + need > _TEMPORARY:
            out.append(out[-1] + 1 if out else 0)
            made, size = set(), 0
        else:
            out.append(out[-1] if out else 0)
        made |= set(task.writes)
        size += need
    return out


def _temporary(task: Task | Control, kernels: Mapping[str, Kernel]) -> int:
    """Bytes of temporary memory of a task, for dims of usual size."""
    if isinstance(task, Control):
        return 0
    buffers = kernels[task.work.name].params[len(task.values) :]
    return nominal(total(b.size * b.dtype.itemsize for b in buffers))
