"""Proofs about index expressions: whether one is at least zero, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from sigmagraph.dims import (
    Atom,
    Dim,
    Func,
    Size,
    atoms,
    by_atom,
    divide_exact,
    floordiv,
    func,
    multiples,
    of_atom,
    tightened,
)

_Rank: TypeAlias = tuple[int, int, str]
_Bound: TypeAlias = tuple[Size, Size]  # a value and what it is divided by


class Facts:
    """What is known about names, and whether an expression can be shown to be at least zero.

    A proof replaces atoms by bounds that make the expression smaller, the innermost name first, until sizes of one sign
    are left. Bounds of a name are its range and what the assumptions say about it; ``a // b`` lies between
    ``(a - b + 1) / b`` and ``a / b``.

    Args:
        ranges: for each name its least and greatest value (None: unbounded above), outer names first; a bound may
            speak of names that stand before it. Names without an entry are sizes: at least 1.
        assume: expressions known to be at least zero.

    A proof that is found is right; one that is not found says nothing.
    """

    def __init__(
        self, ranges: Mapping[str, tuple[Size, Size | None]] | None = None, assume: Sequence[Size] = ()
    ) -> None:
        self._ranges = dict(ranges or {})
        self._order = {name: i for i, name in enumerate(self._ranges)}
        self._assume = tuple(a for a in map(tightened, assume) if isinstance(a, Dim))
        self._known: dict[Dim, bool] = {}
        self._ranks: dict[Atom, _Rank] = {}
        self._assumed: dict[tuple[Atom, bool], list[_Bound]] | None = None

    def extend(self, ranges: Mapping[str, tuple[Size, Size | None]], assume: Sequence[Size] = ()) -> Facts:
        """These facts and some more; later names are eliminated first."""
        return Facts({**self._ranges, **ranges}, (*self._assume, *assume))

    def nonnegative(self, size: Size) -> bool:
        """Whether ``size >= 0`` can be shown."""
        size = tightened(size)
        if isinstance(size, int):
            return size >= 0
        if size not in self._known:
            self._known[size] = False  # a proof may not rest on itself
            self._known[size] = self._prove(size)
        return self._known[size]

    def less(self, a: Size, b: Size) -> bool:
        """Whether ``a < b`` can be shown."""
        return self.nonnegative(b - a - 1)

    def simplify(self, size: Size) -> Size:
        """The expression without the floor divisions, minima and maxima that the facts decide."""
        if isinstance(size, int):
            return size
        out: Size = 0
        for monomial, c in size.terms:
            term: Size = c
            for atom in monomial:
                term = term * (of_atom(atom) if isinstance(atom, str) else self._simplify_atom(atom))
            out = out + term
        return out

    def _simplify_atom(self, atom: Func) -> Size:
        args = [self.simplify(a) for a in atom.args]
        if atom.kind == "//":
            a, b = args
            whole = multiples(a, b) if isinstance(b, int) else 0
            a = a - whole * b
            if self.nonnegative(a) and self.less(a, b):
                return whole
            return whole + floordiv(a, b)
        sign = 1 if atom.kind == "min" else -1
        best = args[0]
        for other in args[1:]:
            if self.nonnegative(sign * (other - best)):
                continue
            best = other if self.nonnegative(sign * (best - other)) else func(atom.kind, (best, other))
        return best

    # ---- proofs

    def _prove(self, p: Dim) -> bool:
        sign = self._plain_sign(p)
        if sign:
            return sign > 0
        atom = max(atoms(p), key=self._rank)
        slope, rest = by_atom(p, atom)
        if isinstance(atom, Func) and atom.kind != "//":
            return self._prove_extreme(atom, slope, rest)
        rising = self.nonnegative(slope)
        if not rising and not self.nonnegative(-1 * slope):
            return False
        return any(self.nonnegative(_at_bound(slope, rest, bound)) for bound in self._bounds(atom, not rising))

    def _prove_extreme(self, atom: Func, slope: Size, rest: Size) -> bool:
        """A minimum is at most any of its arguments, and is one of them; a maximum likewise."""
        cases = (rest + slope * arg for arg in atom.args)
        if self.nonnegative(-1 * slope if atom.kind == "min" else slope):
            return any(map(self.nonnegative, cases))
        return all(map(self.nonnegative, cases))

    def _bounds(self, atom: Atom, above: bool) -> Iterator[_Bound]:
        """What an atom is at least, or at most (``above``)."""
        if isinstance(atom, str):
            bound = self._ranges.get(atom, (1, None))[above]
            if bound is not None:
                yield bound, 1
        elif above:
            yield atom.args[0], atom.args[1]
        else:
            a, b = atom.args
            if self.nonnegative(a):
                yield 0, 1
            yield a - b + 1, b
        if self._assumed is None:
            self._assumed = self._read_assumptions()
        yield from self._assumed.get((atom, above), ())

    def _read_assumptions(self) -> dict[tuple[Atom, bool], list[_Bound]]:
        """Each assumption bounds its innermost atom; with that at its best, it bounds the next one."""
        out: dict[tuple[Atom, bool], list[_Bound]] = {}
        for assumed in self._assume:
            size: Size = assumed
            while isinstance(size, Dim):
                atom = max(atoms(size), key=self._rank)
                slope, rest = by_atom(size, atom)
                sign = self._plain_sign(slope)
                if not sign or atom in atoms(slope):
                    break
                out.setdefault((atom, sign < 0), []).append((-sign * rest, sign * slope))
                best = self._ranges.get(atom, (1, None))[sign > 0] if isinstance(atom, str) else None
                size = 0 if best is None else rest + slope * best
        return out

    def _plain_sign(self, p: Size) -> int:
        """1 or -1 where every term is a product of sizes, all of one sign; 0 where more thought is needed."""
        if isinstance(p, int):
            return (p > 0) - (p < 0)
        positive = p.terms[0][1] > 0
        for monomial, c in p.terms:
            if (c > 0) is not positive or any(isinstance(a, Func) or a in self._order for a in monomial):
                return 0
        return 1 if positive else -1

    def _rank(self, atom: Atom) -> _Rank:
        """Where an atom stands: by its innermost name, functions above what they are made of."""
        rank = self._ranks.get(atom)
        if rank is None:
            if isinstance(atom, str):
                rank = (self._order.get(atom, -1), 0, atom)
            else:
                inner = [self._rank(a) for arg in atom.args for a in atoms(arg)]
                rank = (max(r[0] for r in inner), 1 + max(r[1] for r in inner), str(atom))
            self._ranks[atom] = rank
        return rank


def _at_bound(slope: Size, rest: Size, bound: _Bound) -> Size:
    """An expression that is negative wherever ``rest + slope * atom`` is, for an atom bounded by a quotient."""
    value, divisor = bound
    whole = divide_exact(slope, divisor)
    if whole is not None:
        return rest + whole * value
    return rest * divisor + slope * value + divisor - 1  # an integer greater than -1 is at least 0
