"""Symbolic sizes and index expressions: normalised integer polynomials, and proofs about their sign.

A :class:`Dim` is a polynomial with integer coefficients over *atoms*: names (symbolic dims, loop variables), floor
divisions, minima and maxima. Equal expressions have equal terms, so ``==`` decides equality of normal forms. Shapes,
loop extents, buffer indices, arena offsets and guards are all written in it; a constant is always a plain ``int``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, Union

from sigmagraph.errors import DimError

Size: TypeAlias = Union[int, "Dim"]
_Monomial: TypeAlias = "tuple[Atom, ...]"
_Rank: TypeAlias = tuple[int, int, str]
_Bound: TypeAlias = tuple[Size, Size]  # a value and what it is divided by

_NAME = re.compile(r"%?[A-Za-z_][A-Za-z0-9_.]*\Z")


@dataclass(frozen=True, slots=True)
class Func:
    """An atom that is not a name: ``//`` (two arguments), ``min`` or ``max`` (two or more)."""

    kind: str
    args: tuple[Size, ...]
    # Expressions are sorted by the text of their atoms and looked up by hash all the time: both are kept.
    _text: str = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_text", self._write())
        object.__setattr__(self, "_hash", hash((self.kind, self.args)))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return self._text

    def _write(self) -> str:
        if self.kind == "//":
            a, b = (f"({x})" if isinstance(x, Dim) and not x.is_atom else str(x) for x in self.args)
            return f"({a}//{b})"
        return f"{self.kind}({', '.join(str(a) for a in self.args)})"


Atom: TypeAlias = str | Func


def _atom_key(atom: Atom) -> tuple[bool, str]:
    return (True, atom._text) if isinstance(atom, Func) else (False, atom)


def _monomial_key(monomial: _Monomial) -> tuple[int, tuple[tuple[bool, str], ...]]:
    return (-len(monomial), tuple([_atom_key(a) for a in monomial]))


class Dim:
    """A symbolic size, or an integer expression of symbolic sizes.

    ``Dim("batch")`` is the size called ``batch``; ``+ - * // %`` with ints and other dims give expressions (or an
    ``int`` when nothing symbolic is left). Sizes are at least 0 at run time.

    Raises:
        DimError: the name is no identifier.
    """

    __slots__ = ("_hash", "_terms")
    _terms: tuple[tuple[_Monomial, int], ...]
    _hash: int

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not _NAME.match(name):
            raise DimError("the name of a dim is not an identifier", expected="letters, digits, _", got=repr(name))
        self._terms = (((name,), 1),)
        self._hash = hash(self._terms)

    @property
    def terms(self) -> tuple[tuple[_Monomial, int], ...]:
        """(monomial, coefficient) pairs, highest degree first; the monomial ``()`` is the constant."""
        return self._terms

    @property
    def is_atom(self) -> bool:
        """Whether it is a single atom: a name, a floor division, a minimum or a maximum."""
        return len(self._terms) == 1 and len(self._terms[0][0]) == 1 and self._terms[0][1] == 1

    @property
    def is_name(self) -> bool:
        """Whether it is just a name."""
        return self.is_atom and isinstance(self._terms[0][0][0], str)

    def __reduce__(self) -> tuple[Callable[..., Size], tuple[object, ...]]:
        return (_restore, (self._terms,))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self._hash == other._hash and self._terms == other._terms

    def __add__(self, other: Size) -> Size:
        return _sum(self, other, 1)

    def __radd__(self, other: int) -> Size:
        return _sum(self, other, 1)

    def __sub__(self, other: Size) -> Size:
        return _sum(self, other, -1)

    def __rsub__(self, other: int) -> Size:
        return -1 * self + other

    def __neg__(self) -> Size:
        return -1 * self

    def __mul__(self, other: Size) -> Size:
        if isinstance(other, int):
            if other == 1:
                return self
            return _ordered(tuple([(m, c * other) for m, c in self._terms])) if other else 0
        if not isinstance(other, Dim):
            return NotImplemented
        out: dict[_Monomial, int] = {}
        for m1, c1 in self._terms:
            for m2, c2 in other._terms:
                m = tuple(sorted(m1 + m2, key=_atom_key)) if m1 and m2 else m1 + m2
                out[m] = out.get(m, 0) + c1 * c2
        return _make(out)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return floordiv(self, other)

    def __rfloordiv__(self, other: int) -> Size:
        return floordiv(other, self)

    def __mod__(self, other: Size) -> Size:
        return self - floordiv(self, other) * other

    def __rmod__(self, other: int) -> Size:
        return other - floordiv(other, self) * self

    def __str__(self) -> str:
        out = ""
        for monomial, coefficient in self._terms:
            body = "*".join(str(a) for a in monomial)
            if not body:
                text = str(abs(coefficient))
            elif abs(coefficient) == 1:
                text = body
            else:
                text = f"{abs(coefficient)}*{body}"
            out += ("-" if coefficient < 0 else "+" if out else "") + text
        return out

    __repr__ = __str__


def _sum(a: Dim, b: Size, sign: int) -> Size:
    if isinstance(b, int):
        return _plus(a, sign * b)
    if not isinstance(b, Dim):
        return NotImplemented
    out = dict(a._terms)
    for m, c in b._terms:
        out[m] = out.get(m, 0) + sign * c
    return _make(out)


def _plus(a: Dim, number: int) -> Dim:
    monomial, constant = a._terms[-1]  # the constant stands last
    if not monomial:
        rest, number = a._terms[:-1], number + constant
        return _ordered((*rest, ((), number)) if number else rest)
    return _ordered((*a._terms, ((), number))) if number else a


def _make(terms: Mapping[_Monomial, int]) -> Size:
    kept = [(m, c) for m, c in terms.items() if c]
    if not kept:
        return 0
    if len(kept) == 1:
        if not kept[0][0]:
            return kept[0][1]
    else:
        kept.sort(key=lambda mc: _monomial_key(mc[0]))
    return _ordered(tuple(kept))


def _ordered(terms: tuple[tuple[_Monomial, int], ...]) -> Dim:
    dim = object.__new__(Dim)
    dim._terms = terms
    dim._hash = hash(terms)
    return dim


def _restore(terms: tuple[tuple[_Monomial, int], ...]) -> Size:
    return _make(dict(terms))


def _of_atom(atom: Atom) -> Dim:
    dim = _make({(atom,): 1})
    assert isinstance(dim, Dim)
    return dim


def floordiv(a: Size, b: Size) -> Size:
    """``a // b`` rounded down, for b > 0."""
    if isinstance(b, int):
        if b <= 0:
            raise DimError("a size is divided by something that is not positive", expected="at least 1", got=b)
        if isinstance(a, int):
            return a // b
        return _div_const(a, b)
    if isinstance(a, int) and a in (0, -1):
        return a  # b is at least 1 wherever the quotient is read
    quotient, rest = _divide(a, b)
    if isinstance(rest, int) and rest in (0, -1):
        return quotient + rest
    return quotient + _of_atom(Func("//", (rest, b)))


def _div_const(a: Dim, b: int) -> Size:
    if b == 1:
        return a
    whole = {m: c // b for m, c in a._terms if m and c % b == 0}
    rest = {m: c for m, c in a._terms if m and c % b}
    constant = dict(a._terms).get((), 0)
    whole[()] = constant // b
    constant %= b
    if not rest:
        return _make(whole)
    divisor = math.gcd(b, *rest.values())
    if divisor > 1:
        rest = {m: c // divisor for m, c in rest.items()}
        constant, b = constant // divisor, b // divisor
        if b == 1:
            return _make(whole) + _make(rest) + constant
    rest[()] = constant
    inner = _make(rest)
    if constant == 0 and isinstance(inner, Dim) and inner.is_atom:
        atom = inner._terms[0][0][0]
        if isinstance(atom, Func) and atom.kind == "//" and isinstance(atom.args[1], int):
            return _make(whole) + floordiv(atom.args[0], atom.args[1] * b)
    return _make(whole) + _of_atom(Func("//", (inner, b)))


def _divide(a: Size, b: Dim) -> tuple[Size, Size]:
    """Polynomial division by the leading term of b: (quotient, rest) with a == quotient * b + rest."""
    quotient: Size = 0
    rest: Size = 0
    lead_monomial, lead = b._terms[0]
    while isinstance(a, Dim):
        monomial, coefficient = a._terms[0]
        left = _cancel(monomial, lead_monomial) if coefficient % lead == 0 else None
        if left is None:
            term = _make({monomial: coefficient})
            rest, a = rest + term, a - term
        else:
            term = _make({left: coefficient // lead})
            quotient, a = quotient + term, a - term * b
    return quotient, rest + a


def _cancel(monomial: _Monomial, divisor: _Monomial) -> _Monomial | None:
    left = list(monomial)
    for atom in divisor:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def divide_exact(a: Size, b: Size) -> Size | None:
    """The expression q with ``q * b == a`` for all values, or None when there is no such polynomial."""
    if isinstance(b, int):
        if b == 0:
            return None
        if isinstance(a, int):
            return a // b if a % b == 0 else None
        return _make({m: c // b for m, c in a._terms}) if all(c % b == 0 for _, c in a._terms) else None
    quotient, rest = _divide(a, b)
    return quotient if rest == 0 else None


def ceildiv(a: Size, b: Size) -> Size:
    """``a / b`` rounded up, for b > 0."""
    return floordiv(a + b - 1, b)


def minimum(*args: Size) -> Size:
    """The smallest of the arguments."""
    return _extreme("min", args)


def maximum(*args: Size) -> Size:
    """The largest of the arguments."""
    return _extreme("max", args)


def _extreme(kind: str, args: Sequence[Size]) -> Size:
    flat: list[Size] = []
    for arg in args:
        atom = arg._terms[0][0][0] if isinstance(arg, Dim) and arg.is_atom else None
        flat.extend(atom.args if isinstance(atom, Func) and atom.kind == kind else (arg,))
    kept: list[Size] = []
    for arg in flat:
        for i, other in enumerate(kept):
            difference = arg - other
            if isinstance(difference, int):  # comparable: keep the better one
                if (difference < 0) == (kind == "min"):
                    kept[i] = arg
                break
        else:
            kept.append(arg)
    if len(kept) == 1:
        return kept[0]
    kept.sort(key=str)
    return _of_atom(Func(kind, tuple(kept)))


def product(sizes: Iterable[Size]) -> Size:
    """The product of sizes; 1 for none."""
    out: Size = 1
    for size in sizes:
        out = out * size
    return out


def names(size: Size) -> tuple[str, ...]:
    """The names in an expression, each once, sorted."""
    found: set[str] = set()
    _collect(size, found)
    return tuple(sorted(found))


def _collect(size: Size, found: set[str]) -> None:
    if isinstance(size, Dim):
        for monomial, _ in size._terms:
            for atom in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    for arg in atom.args:
                        _collect(arg, found)


def evaluate(size: Size, values: Mapping[str, int]) -> int:
    """The number that an expression stands for.

    Raises:
        DimError: a name has no value.
    """
    if isinstance(size, int):
        return size
    total = 0
    for monomial, coefficient in size._terms:
        for atom in monomial:
            if isinstance(atom, str):
                if atom not in values:
                    raise DimError(f"the dim '{atom}' has no value", expected="a value for each dim", got=dict(values))
                coefficient *= values[atom]
            else:
                coefficient *= _apply(atom.kind, [evaluate(a, values) for a in atom.args])
        total += coefficient
    return total


def _apply(kind: str, args: Sequence[int]) -> int:
    if kind == "//":
        return args[0] // args[1]
    return min(args) if kind == "min" else max(args)


def substitute(size: Size, values: Mapping[str, Size]) -> Size:
    """The expression with names replaced, normalised again."""
    if isinstance(size, int) or not values:
        return size
    out: Size = 0
    changed = False
    for monomial, coefficient in size._terms:
        term: Size = coefficient
        for atom in monomial:
            new = _substitute_atom(atom, values)
            changed = changed or new is not atom
            term = term * (_of_atom(new) if isinstance(new, (str, Func)) else new)
        out = out + term
    return out if changed else size


def _substitute_atom(atom: Atom, values: Mapping[str, Size]) -> Atom | Size:
    if isinstance(atom, str):
        return values.get(atom, atom)
    args = [substitute(a, values) for a in atom.args]
    if all(new is old for new, old in zip(args, atom.args, strict=True)):
        return atom
    return func(atom.kind, args)


def func(kind: str, args: Sequence[Size]) -> Size:
    """An expression from the name and the arguments of a :class:`Func`."""
    if kind == "//":
        return floordiv(args[0], args[1])
    return _extreme(kind, args)


def coefficient(size: Size, name: str) -> tuple[Size, Size] | None:
    """(c, rest) with ``size == c * name + rest`` and neither containing the name; None when it is not linear in it."""
    if isinstance(size, int):
        return 0, size
    slope: dict[_Monomial, int] = {}
    rest: dict[_Monomial, int] = {}
    for monomial, c in size._terms:
        count = monomial.count(name)
        others = tuple(a for a in monomial if a != name)
        if count > 1 or any(isinstance(a, Func) and name in names(_of_atom(a)) for a in others):
            return None
        (slope if count else rest)[others] = c
    return _make(slope), _make(rest)


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
        self._assume = tuple(a for a in map(_tightened, assume) if isinstance(a, Dim))
        self._known: dict[Dim, bool] = {}
        self._ranks: dict[Atom, _Rank] = {}
        self._assumed: dict[tuple[Atom, bool], list[_Bound]] | None = None

    def extend(self, ranges: Mapping[str, tuple[Size, Size | None]], assume: Sequence[Size] = ()) -> Facts:
        """These facts and some more; later names are eliminated first."""
        return Facts({**self._ranges, **ranges}, (*self._assume, *assume))

    def nonnegative(self, size: Size) -> bool:
        """Whether ``size >= 0`` can be shown."""
        size = _tightened(size)
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
        for monomial, c in size._terms:
            term: Size = c
            for atom in monomial:
                term = term * (_of_atom(atom) if isinstance(atom, str) else self._simplify_atom(atom))
            out = out + term
        return out

    def _simplify_atom(self, atom: Func) -> Size:
        args = [self.simplify(a) for a in atom.args]
        if atom.kind == "//":
            a, b = args
            whole: Size = 0
            if isinstance(b, int) and isinstance(a, Dim):
                whole = _make({m: c // b for m, c in a._terms if c % b == 0})
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
        atom = max(_atoms(p), key=self._rank)
        slope, rest = _by_atom(p, atom)
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
                atom = max(_atoms(size), key=self._rank)
                slope, rest = _by_atom(size, atom)
                sign = self._plain_sign(slope)
                if not sign or atom in _atoms(slope):
                    break
                out.setdefault((atom, sign < 0), []).append((-sign * rest, sign * slope))
                best = self._ranges.get(atom, (1, None))[sign > 0] if isinstance(atom, str) else None
                size = 0 if best is None else rest + slope * best
        return out

    def _plain_sign(self, p: Size) -> int:
        """1 or -1 where every term is a product of sizes, all of one sign; 0 where more thought is needed."""
        if isinstance(p, int):
            return (p > 0) - (p < 0)
        positive = p._terms[0][1] > 0
        for monomial, c in p._terms:
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
                inner = [self._rank(a) for arg in atom.args for a in _atoms(arg)]
                rank = (max(r[0] for r in inner), 1 + max(r[1] for r in inner), str(atom))
            self._ranks[atom] = rank
        return rank


def _tightened(p: Size) -> Size:
    """An expression that is at least 0 exactly where ``p`` is: a common factor goes, the constant is rounded down."""
    if isinstance(p, int):
        return p
    divisor = math.gcd(*(c for m, c in p._terms if m))
    return p if divisor == 1 else _make({m: c // divisor for m, c in p._terms})


def _at_bound(slope: Size, rest: Size, bound: _Bound) -> Size:
    """An expression that is negative wherever ``rest + slope * atom`` is, for an atom bounded by a quotient."""
    value, divisor = bound
    whole = divide_exact(slope, divisor)
    if whole is not None:
        return rest + whole * value
    return rest * divisor + slope * value + divisor - 1  # an integer greater than -1 is at least 0


def _atoms(size: Size) -> list[Atom]:
    """The atoms that stand directly in an expression, each once."""
    return list(dict.fromkeys(a for m, _ in size._terms for a in m)) if isinstance(size, Dim) else []


def _by_atom(p: Dim, atom: Atom) -> tuple[Size, Size]:
    """(c, rest) with ``p == c * atom + rest`` and no atom in the rest."""
    slope: dict[_Monomial, int] = {}
    rest: dict[_Monomial, int] = {}
    for monomial, c in p._terms:
        if atom in monomial:
            at = monomial.index(atom)
            slope[monomial[:at] + monomial[at + 1 :]] = c
        else:
            rest[monomial] = c
    return _make(slope), _make(rest)
