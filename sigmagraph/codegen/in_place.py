"""Says where a kernel may write a result over an operand."""

from __future__ import annotations

from collections.abc import Iterable

from sigmagraph.ir.kernel.compute import Chain, Compute, Work, inner_expressions
from sigmagraph.ir.kernel.expr import Load, walk
from sigmagraph.ir.kernel.kernel import Block, Buffer, Call, For, If, Kernel, Let, LoopKind, Stmt, Store, statements


def may_overwrite(work: Work, source: Buffer, target: Buffer) -> bool:
    """Whether ``target`` may lie in the memory of ``source``.

    It may when each element of the source is read at most where, and before, the same element of the target is written.
    """
    if source.dtype is not target.dtype or source.shape != target.shape:
        return False
    if isinstance(work, Kernel):
        return _copies_first(work.body, source.name, target.name)
    if isinstance(work, Chain):
        found = [m for m in work.members if {source.name, target.name} & {b.name for b in m.params}]
        return len(found) == 1 and _reads_before(found[0], source.name, target.name)
    return _reads_before(work, source.name, target.name)


def _reads_before(compute: Compute, source: str, target: str) -> bool:
    """Whether elements of ``source`` are read only where ``target`` gets its own, or in earlier sweeps of the row."""
    at = next((n for n, s in enumerate(compute.sweeps) if any(t.buffer == target for t in s.stores)), None)
    index = next(s.index for s in compute.all_stores() if s.buffer == target)
    outside = [x.value for s in compute.sweeps for x in s.before]
    outside += [x.value for x in compute.lets] + [x.value for x in compute.stores]
    within = [list(inner_expressions(s)) for s in compute.sweeps]
    if at is None:
        allowed, others = outside, [e for es in within for e in es]
    else:
        allowed = [e for es in within[: at + 1] for e in es]
        others = outside + [e for es in within[at + 1 :] for e in es]
    return not _loads(others, source) and all(load.index == index for load in _loads(allowed, source))


def _copies_first(block: Block, source: str, target: str) -> bool:
    """Whether all that is done with ``source`` is to copy it to ``target``, before other things are stored there."""
    at = [number for number, stmt in enumerate(block) if source in _mentioned(stmt)]
    if len(at) != 1 or any(target in _mentioned(stmt) for stmt in block[: at[0]]):
        return not at
    match block[at[0]]:
        case Store(buffer, index, Load(from_buffer, from_index, _, from_guard), guard):
            return (buffer, index, guard) == (target, from_index, from_guard) and from_buffer == source
        case For(_, _, kind, body) if kind is LoopKind.PARALLEL or len(body) == 1:
            return _copies_first(body, source, target)
        case If(_, then, ()):
            return _copies_first(then, source, target)
        case _:
            return False


def _mentioned(stmt: Stmt) -> frozenset[str]:
    """The buffers that a statement loads from or stores to."""
    out: set[str] = set()
    for inner in statements((stmt,)):
        match inner:
            case Store(buffer, _, value):
                out |= {buffer, *(e.buffer for e in walk(value) if isinstance(e, Load))}
            case Let(_, value):
                out |= {e.buffer for e in walk(value) if isinstance(e, Load)}
            case Call(_, _, args):
                out |= {view.buffer for view in args}
            case _:
                pass
    return frozenset(out)


def _loads(expressions: Iterable[object], buffer: str) -> list[Load]:
    return [e for whole in expressions for e in walk(whole) if isinstance(e, Load) and e.buffer == buffer]  # type: ignore[arg-type]
