"""The steps of a contraction: factors are on their way while those that have arrived are multiplied.

A step waits for what it multiplies, and then for the other threads: their share has arrived as well, and they are done
with the step before, in the room of which a later one is begun. So there is one barrier in a step. Where products last
into the next step, it is the step before that one that all are done with; there is one more room then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigmagraph.codegen.cuda.fetch import commit, wait
from sigmagraph.codegen.cuda.staging import Slab
from sigmagraph.codegen.cuda.warpgroup import publish
from sigmagraph.dims import Dim, Size
from sigmagraph.ir.kernel.kernel import Alloc, Barrier, Block, For, If, LoopKind, Stmt


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Slabs that are walked over together.

    Attributes:
        slabs: what is multiplied.
        var: the variable of the loop over steps.
        count: number of steps, at least 1.
        first: the summed index that they begin with.
        depth: summed indices of a step.
        ahead: how many steps before it is needed a step is fetched.
        published: whether who multiplies sees only what threads have published.
        there: slabs of which all steps are there already.
    """

    slabs: Sequence[Slab]
    var: str
    count: Size
    first: Size
    depth: int
    ahead: int
    published: bool = False
    there: Sequence[Slab] = ()

    def begin(self) -> Block:
        """Bring the first steps."""
        out: list[Stmt] = []
        if self._fetched:
            for step in range(self.ahead):
                out += [*_where(self.count - 1 - step, self._fetch(step)), commit()]
        for slab in self._read:
            out += [Alloc(slab.held), *slab.bring(self.first), *slab.write(0)]
        return tuple(out)

    def loop(self, kind: LoopKind, products: Block, end: Block = (), start: Block = ()) -> For:
        """The loop over steps.

        Args:
            kind: of the loop.
            products: multiply a step, for which ``slab.now`` is where it lies.
            end: waits for products, if something else can be done before.
            start: what is begun when all threads have come to the last step.
        """
        step = Dim(self.var)
        out: list[Stmt] = []
        if self._fetched:
            out.append(wait(self.ahead - 1))
        if self.published:
            out.append(publish())
        out.append(Barrier())
        out += _where(step + 1 - self.count, start)
        if self._fetched and self.count != 1:
            later = step + self.ahead
            out += [*_where(self.count - 1 - later, self._fetch(later)), commit()]
        following = self.first + self.depth * (step + 1)
        left = self.count - 2 - step
        out += _where(left, tuple(s for slab in self._read for s in slab.bring(following)))
        out += [slab.named(step) for slab in (*self.there, *self.slabs)]
        out += products
        out += _where(left, tuple(s for slab in self._read for s in slab.write(step + 1)))
        return For(self.var, self.count, kind, (*out, *end))

    def bring_all(self) -> Block:
        """Bring all steps, which those who read them have to wait for."""
        step = Dim(self.var)
        body: list[Stmt] = [*self._fetch(step)]
        for slab in self._read:
            body += [Alloc(slab.held), *slab.bring(self.first + self.depth * step), *slab.write(step)]
        return (For(self.var, self.count, LoopKind.SERIAL, tuple(body)), *((commit(),) if self._fetched else ()))

    @property
    def _fetched(self) -> list[Slab]:
        return [slab for slab in self.slabs if slab.fetched]

    @property
    def _read(self) -> list[Slab]:
        return [slab for slab in self.slabs if not slab.fetched]

    def _fetch(self, step: Size) -> Block:
        start = self.first + self.depth * step
        return tuple(s for slab in self._fetched for s in slab.fetch(start, step))


def _where(condition: Size, block: Block) -> Block:
    """The block where an expression is at least 0."""
    if isinstance(condition, int):
        return block if condition >= 0 else ()
    return (If((condition,), block),) if block else ()
