"""Symbolic sizes and index expressions: normalised integer polynomials.

A :class:`Dim` is a polynomial with integer coefficients over *atoms*: names (symbolic dims, loop variables), floor
divisions, minima and maxima. Equal expressions have equal terms, so ``==`` decides equality of normal forms. Shapes,
loop extents, buffer indices, arena offsets and guards are all written in it; a constant is always a plain ``int``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias, Union

from sigmagraph.errors import DimError

Size: TypeAlias = Union[int, "Dim"]
_Monomial: TypeAlias = "tuple[Atom, ...]"

NOMINAL = 64  # what a dim is taken to be where nothing better is known
_KEPT = 1 << 14  # small things about expressions that are asked for again and again, as many as some programs have

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


@lru_cache(maxsize=_KEPT)
def _monomial_key(monomial: _Monomial) -> tuple[int, tuple[tuple[bool, str], ...]]:
    return (-len(monomial), tuple([_atom_key(a) for a in monomial]))


@lru_cache(maxsize=_KEPT)
def _times(a: _Monomial, b: _Monomial) -> _Monomial:
    return tuple(sorted(a + b, key=_atom_key))


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
                m = _times(m1, m2) if m1 and m2 else m1 + m2
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
    kept = [m for m, c in terms.items() if c]
    if not kept:
        return 0
    if len(kept) > 1:
        kept.sort(key=_monomial_key)
    elif not kept[0]:
        return terms[()]
    return _ordered(tuple([(m, terms[m]) for m in kept]))


def _of_ordered(terms: Sequence[tuple[_Monomial, int]]) -> Size:
    """The expression of terms that are different, stand in order and are not 0."""
    if not terms:
        return 0
    return _ordered(tuple(terms)) if len(terms) > 1 or terms[0][0] else terms[0][1]


def _ordered(terms: tuple[tuple[_Monomial, int], ...]) -> Dim:
    dim = object.__new__(Dim)
    dim._terms = terms
    dim._hash = hash(terms)
    return dim


def _restore(terms: tuple[tuple[_Monomial, int], ...]) -> Size:
    return _make(dict(terms))


@lru_cache(maxsize=_KEPT)
def of_atom(atom: Atom) -> Dim:
    """The expression that an atom is."""
    return _ordered((((atom,), 1),))


def of_term(monomial: Sequence[Atom], coefficient: int) -> Size:
    """The expression that a term of another one is."""
    return _of_ordered([(tuple(monomial), coefficient)])


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
    return quotient + of_atom(Func("//", (rest, b)))


def _div_const(a: Dim, b: int) -> Size:
    if b == 1:
        return a
    if all(c % b == 0 for m, c in a._terms if m):
        return _of_ordered([(m, c // b) for m, c in a._terms if m or c // b])
    whole = {m: c // b for m, c in a._terms if m and c % b == 0}
    rest = {m: c for m, c in a._terms if m and c % b}
    constant = dict(a._terms).get((), 0)
    whole[()] = constant // b
    constant %= b
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
    return _make(whole) + of_atom(Func("//", (inner, b)))


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
        return _of_ordered([(m, c // b) for m, c in a._terms]) if all(c % b == 0 for _, c in a._terms) else None
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
    return of_atom(Func(kind, tuple(kept)))


def product(sizes: Iterable[Size]) -> Size:
    """The product of sizes; 1 for none."""
    out: Size = 1
    for size in sizes:
        out = out * size
    return out


def total(sizes: Iterable[Size]) -> Size:
    """The sum of sizes; 0 for none."""
    out: Size = 0
    for size in sizes:
        out = out + size
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


def evaluate(size: Size, values: Mapping[str, int], other: int | None = None) -> int:
    """The number that an expression stands for; ``other`` is the value of names that ``values`` leaves out.

    Raises:
        DimError: a name has no value.
    """
    if isinstance(size, int):
        return size
    total = 0
    for monomial, coefficient in size._terms:
        for atom in monomial:
            if not isinstance(atom, str):
                coefficient *= _apply(atom.kind, [evaluate(a, values, other) for a in atom.args])
                continue
            value = values.get(atom, other)
            if value is None:
                raise DimError(f"the dim '{atom}' has no value", expected="a value for each dim", got=dict(values))
            coefficient *= value
        total += coefficient
    return total


# Of the program that is being compiled. Sizes are compared in all of its stages, so that each would have to hand it on.
_HINTS: ContextVar[Mapping[str, int]] = ContextVar("hints", default=MappingProxyType({}))


@contextmanager
def hinted(hints: Mapping[str, int]) -> Iterator[None]:
    """While a program is compiled, have dims stand for the sizes that they usually have, by name."""
    token = _HINTS.set(hints)
    try:
        yield
    finally:
        _HINTS.reset(token)


def nominal(size: Size, otherwise: int = NOMINAL) -> int:
    """The number that an expression stands for where sizes must be compared: dims are what is usual (:func:`hinted`).

    Args:
        size: the expression.
        otherwise: what dims stand for of which nothing is known.
    """
    hints = _HINTS.get()
    return evaluate(size, {name: hints.get(name, otherwise) for name in names(size)})


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
            term = term * (of_atom(new) if isinstance(new, (str, Func)) else new)
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
        if count > 1 or any(isinstance(a, Func) and name in names(of_atom(a)) for a in others):
            return None
        (slope if count else rest)[others] = c
    return _make(slope), _make(rest)


def atoms(size: Size) -> list[Atom]:
    """The atoms that stand directly in an expression, each once."""
    return list(dict.fromkeys(a for m, _ in size._terms for a in m)) if isinstance(size, Dim) else []


def by_atom(size: Dim, atom: Atom) -> tuple[Size, Size]:
    """(c, rest) with ``size == c * atom + rest`` and no atom in the rest."""
    slope: list[tuple[_Monomial, int]] = []
    rest: list[tuple[_Monomial, int]] = []
    for monomial, c in size._terms:
        if atom in monomial:
            at = monomial.index(atom)
            slope.append((monomial[:at] + monomial[at + 1 :], c))
        else:
            rest.append((monomial, c))
    return _of_ordered(slope), _of_ordered(rest)  # without the atom monomials stand in the same order as with it


def multiples(size: Size, number: int) -> Size:
    """The terms whose coefficients a number divides, divided by it."""
    if isinstance(size, int):
        return size // number if size % number == 0 else 0
    return _of_ordered([(m, c // number) for m, c in size._terms if c % number == 0])


def tightened(p: Size) -> Size:
    """An expression that is at least 0 exactly where ``p`` is: a common factor goes, the constant is rounded down."""
    if isinstance(p, int):
        return p
    divisor = 0
    for monomial, c in p._terms:
        if monomial:
            divisor = math.gcd(divisor, c)
            if divisor == 1:
                return p
    return _of_ordered([(m, c // divisor) for m, c in p._terms if m or c // divisor])
