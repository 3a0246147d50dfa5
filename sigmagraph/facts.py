"""Proofs about index expressions: whether one is at least zero, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from typing import TypeAlias

from sigmagraph.dims import (
    Atom,
    Dim,
    Func,
    Size,
    atoms,
    by_atom,
    divide_exact,
    evaluate,
    floordiv,
    func,
    multiples,
    of_atom,
    tightened,
)

# After how many steps a proof is given up. Most take fewer than ten; a step takes less than a tenth of a millisecond.
ENOUGH, FEW = 2000, 200

# What sizes are where a counterexample is looked for.
_SAMPLES = (64, 3)

_Rank: TypeAlias = tuple[int, int, int, str]
_Bound: TypeAlias = tuple[Size, Size]  # a value and what it is divided by


@dataclass(slots=True)
class _Search:
    """The steps that are left to a proof that is being looked for."""

    steps: int = 0


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
        self._asked: dict[Dim, bool] = {}
        self._known: dict[Dim, bool] = {}
        self._ranks: dict[Atom, _Rank] = {}
        self._assumed: dict[tuple[Atom, bool], list[_Bound]] | None = None
        self._others: dict[tuple[Dim, ...], Facts] = {}
        self._search = _Search()

    def extend(self, ranges: Mapping[str, tuple[Size, Size | None]], assume: Sequence[Size] = ()) -> Facts:
        """These facts and some more; later names are eliminated first."""
        return Facts({**self._ranges, **ranges}, (*self._assume, *assume))

    def nonnegative(self, size: Size, steps: int = ENOUGH) -> bool:
        """Whether ``size >= 0`` can be shown, in so many steps.

        Who asks with few steps expects a no as well, which is found by trying before a proof is looked for.
        """
        size = tightened(size)
        if isinstance(size, int):
            return size >= 0
        if size not in self._asked and steps < ENOUGH and self._refuted(size):
            self._asked[size] = False
        self._search.steps = steps
        return self._found(size)

    def less(self, a: Size, b: Size, steps: int = ENOUGH) -> bool:
        """Whether ``a < b`` can be shown, in so many steps."""
        return self.nonnegative(b - a - 1, steps)

    def simplify(self, size: Size) -> Size:
        """The expression without the floor divisions, minima and maxima that the facts decide, in few steps each."""
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
            if self.nonnegative(a, FEW) and self.less(a, b, FEW):
                return whole
            return whole + floordiv(a, b)
        sign = 1 if atom.kind == "min" else -1
        best = args[0]
        for other in args[1:]:
            if self.nonnegative(sign * (other - best), FEW):
                continue
            best = other if self.nonnegative(sign * (best - other), FEW) else func(atom.kind, (best, other))
        return best

    # ---- counterexamples

    def _refuted(self, size: Dim) -> bool:
        """Whether an expression is negative somewhere, so that there is no proof."""
        return any(_value(size, names, other) < 0 for names, other in self._points)

    @cached_property
    def _points(self) -> list[tuple[dict[str, int], int]]:
        """Values that names may have together: all of them the least ones, or the greatest ones; and those of sizes."""
        tried = ((self._point(greatest, sample), sample) for sample, greatest in product(_SAMPLES, (True, False)))
        return [(names, sample) for names, sample in tried if self._may_be(names, sample)]

    def _point(self, greatest: bool, sample: int) -> dict[str, int]:
        names: dict[str, int] = {}
        for name, (low, high) in self._ranges.items():
            least = _value(low, names, sample)
            most = max(least, sample) if high is None else _value(high, names, sample)
            names[name] = most if greatest or high is None else least
        return names

    def _may_be(self, names: Mapping[str, int], other: int) -> bool:
        """Whether values keep to ranges and assumptions."""
        limits: list[Size] = [*self._assume]
        limits += [Dim(name) - low for name, (low, _) in self._ranges.items()]
        limits += [high - Dim(name) for name, (_, high) in self._ranges.items() if high is not None]
        try:
            return all(evaluate(limit, names, other) >= 0 for limit in limits)
        except ZeroDivisionError:
            return False

    # ---- proofs

    def _found(self, size: Size) -> bool:
        """Whether ``size >= 0`` can be shown in the steps that are left."""
        if isinstance(size, int):
            return size >= 0
        if size not in self._asked:
            found = self._shown(size) or self._by_assumption(size)
            if not found and self._search.steps <= 0:
                return False  # another search may get there
            self._asked[size] = found
        return self._asked[size]

    def _shown(self, size: Size) -> bool:
        """Whether ``size >= 0`` can be shown by bounds of its atoms."""
        size = tightened(size)
        if isinstance(size, int):
            return size >= 0
        if size not in self._known:
            if self._search.steps <= 0:
                return False
            self._search.steps -= 1
            self._known[size] = False  # a proof may not rest on itself
            self._known[size] = self._prove(size)
            if self._search.steps <= 0 and not self._known[size]:
                del self._known[size]
                return False
        return self._known[size]

    def _prove(self, p: Dim) -> bool:
        sign = self._plain_sign(p)
        if sign:
            return sign > 0
        atom = self._innermost(p)
        slope, rest = by_atom(p, atom)
        if isinstance(atom, Func) and atom.kind != "//":
            return self._prove_extreme(atom, slope, rest)
        rising = slope >= 0 if isinstance(slope, int) else self._shown(slope)
        if not rising and not isinstance(slope, int) and not self._shown(-1 * slope):
            return False
        if any(self._shown(_at_bound(slope, rest, bound)) for bound in self._bounds(atom, not rising)):
            return True
        if not isinstance(atom, Func):
            return False
        return any(map(self._shown, self._by_quotient(atom, slope, rest, not rising)))

    def _by_quotient(self, atom: Func, slope: Size, rest: Size, above: bool) -> Iterator[Size]:
        """What is less than ``rest + slope * atom`` by what is special about floor divisions."""
        for bound in _by_siblings(atom, atoms(rest), above):
            yield rest + slope * bound
        yield from self._split(atom, slope, rest)
        for numerator in islice(self._reach(atom.args[0], above), 16):
            quotient = floordiv(numerator, atom.args[1])
            if all(isinstance(a, str) or self._rank(a)[0] < 0 for a in atoms(quotient)):
                yield rest + slope * quotient

    def _by_assumption(self, p: Dim) -> bool:
        """Whether it can be shown without a multiple of an assumption about quotients, which is then used up."""
        for number, assumed in enumerate(self._assume):
            if not any(isinstance(a, Func) for a in atoms(assumed)):
                continue
            if self._search.steps <= 0:
                return False
            for name in (a for a in atoms(assumed) if isinstance(a, str)):
                times, factor = _factor(_slope(p, name), _slope(assumed, name))
                if factor > 0:
                    rest = self._assume[:number] + self._assume[number + 1 :]
                    # An integer is at least 0 if it is greater than -1.
                    if self._with(rest)._found(tightened(times * p + (times - 1) - factor * assumed)):
                        return True
        return False

    def _with(self, assume: tuple[Dim, ...]) -> Facts:
        """These facts with other assumptions; equal ones share what they find out."""
        if assume not in self._others:
            self._others[assume] = Facts(self._ranges, assume)
            self._others[assume]._others, self._others[assume]._search = self._others, self._search
        return self._others[assume]

    def _reach(self, size: Size, above: bool) -> Iterator[Size]:
        """Expressions that a value is at most, or at least, of fewer and fewer names until only dims are left."""
        yield size
        inner = [atom for atom in atoms(size) if self._rank(atom)[0] >= 0]
        if not isinstance(size, Dim) or not inner:
            return
        atom = max(inner, key=self._rank)
        slope, rest = by_atom(size, atom)
        rising = self._shown(slope)
        if not rising and not self._shown(-1 * slope):
            return
        if isinstance(atom, Func) and atom.kind != "//":
            bounds: Iterable[_Bound] = ((arg, 1) for arg in atom.args if (atom.kind == "min") == (above == rising))
        else:
            bounds = self._bounds(atom, above == rising)
        for value, divisor in bounds:
            whole = divide_exact(slope, divisor)
            if whole is not None:
                yield from self._reach(rest + whole * value, above)

    def _split(self, atom: Func, slope: Size, rest: Size) -> Iterator[Size]:
        """The expression with ``a == b * (a // b) + r`` and the worst ``r``, where ``a`` occurs beside ``a // b``."""
        numerator, divisor = atom.args
        finer = [(of_atom(o) + k, c) for o in atoms(rest) if isinstance(o, Func) for c, k in _ratio(o, atom)]
        for whole, parts in [(numerator, divisor), *finer]:
            lead = max(atoms(whole), key=self._rank, default=None)
            if not isinstance(whole, Dim) or lead is None:
                continue
            factor = divide_exact(_slope(rest, lead), _slope(whole, lead))
            if factor is None or factor == 0:
                continue
            falling = self._shown(-1 * factor)
            if falling or self._shown(factor):
                worst = factor * (parts - 1) if falling else 0
                yield rest - factor * whole + worst + (slope + factor * parts) * of_atom(atom)

    def _prove_extreme(self, atom: Func, slope: Size, rest: Size) -> bool:
        """A minimum is at most any of its arguments, and is one of them; a maximum likewise."""
        cases = (rest + slope * arg for arg in atom.args)
        if self._shown(-1 * slope if atom.kind == "min" else slope):
            return any(map(self._shown, cases))
        return all(map(self._shown, cases))

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
            if self._shown(a):
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
                size = 0 if best is None else tightened(rest + slope * best)
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

    def _innermost(self, p: Dim) -> Atom:
        """The atom of the highest rank."""
        return max([a for m, _ in p.terms for a in m], key=self._rank)

    def _rank(self, atom: Atom) -> _Rank:
        """Where an atom stands: by its innermost name, functions above their arguments, fine quotients above coarse."""
        rank = self._ranks.get(atom)
        if rank is None:
            if isinstance(atom, str):
                rank = (self._order.get(atom, -1), 0, 0, atom)
            else:
                inner = [self._rank(a) for arg in atom.args for a in atoms(arg)]
                parts = atom.args[1] if atom.kind == "//" else 0
                fineness = -parts if isinstance(parts, int) else 0
                rank = (max(r[0] for r in inner), 1 + max(r[1] for r in inner), fineness, str(atom))
            self._ranks[atom] = rank
        return rank


def _value(size: Size, names: Mapping[str, int], other: int) -> int:
    """The number that an expression stands for; 0, which shows nothing, where it divides by 0."""
    try:
        return evaluate(size, names, other)
    except ZeroDivisionError:
        return 0


def _factor(slope: Size, other: Size) -> tuple[int, int]:
    """``m, n`` with ``m * slope == n * other``, one of them 1; zeros where there are none."""
    factor, times = divide_exact(slope, other), divide_exact(other, slope)
    if isinstance(factor, int):
        return 1, factor
    return (times, 1) if isinstance(times, int) and times > 0 else (0, 0)


def _slope(size: Size, atom: Atom) -> Size:
    return by_atom(size, atom)[0] if isinstance(size, Dim) else 0


def _by_siblings(atom: Func, others: Sequence[Atom], above: bool) -> Iterator[Size]:
    """What ``a // b`` is at least, or at most, by way of another quotient ``(a + b * k) // (b * c)``."""
    for other in others:
        for c, k in _ratio(atom, other):
            yield of_atom(other) * c - k + (c - 1 if above else 0)


def _ratio(fine: Func, coarse: Atom) -> Iterator[tuple[int, Size]]:
    """``c`` and ``k`` where the two are ``a // b`` and ``(a + b * k) // (b * c)``, which is ``(a // b + k) // c``."""
    if isinstance(coarse, Func) and fine.kind == coarse.kind == "//" and fine != coarse:
        c, k = (divide_exact(x, fine.args[1]) for x in (coarse.args[1], coarse.args[0] - fine.args[0]))
        if isinstance(c, int) and k is not None:
            yield c, k


def _at_bound(slope: Size, rest: Size, bound: _Bound) -> Size:
    """An expression that is negative wherever ``rest + slope * atom`` is, for an atom bounded by a quotient."""
    value, divisor = bound
    if divisor == 1:
        return rest + slope * value
    whole = divide_exact(slope, divisor)
    if whole is not None:
        return rest + whole * value
    return rest * divisor + slope * value + divisor - 1  # an integer greater than -1 is at least 0
