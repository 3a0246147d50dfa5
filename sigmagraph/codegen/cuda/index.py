"""Writes index expressions and conditions as CUDA C, in 32-bit integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

from sigmagraph.codegen.cuda.scalar import call
from sigmagraph.codegen.cuda.types import BITS, COMPARISON, PRIMARY, PRODUCT, SUM, UNARY, Text
from sigmagraph.dims import Dim, Func, Size, names, of_term, product, total
from sigmagraph.ir.kernel.kernel import Buffer

_WIDE = 1 << 31


@dataclass(frozen=True, slots=True)
class Name:
    """What a name of index expressions is in C.

    Attributes:
        text: the name.
        wide: whether it is a 64-bit integer.
        nonnegative: whether it is known to be at least 0.
    """

    text: str
    wide: bool = False
    nonnegative: bool = False


class Indices:
    """Writes index expressions, given what their names are."""

    def __init__(self, lookup: Callable[[str], Name]) -> None:
        self.lookup = lookup

    def size(self, size: Size) -> Text:
        """An index expression as an ``sg_index``."""
        return self._sum(size, wide=False)

    def value(self, size: Size) -> Text:
        """An index expression as a ``long long``, computed in 64 bits where 32 might not do."""
        if isinstance(size, int):
            return _number(size, True)
        wide = self.is_wide(size)
        text = self._sum(size, wide=wide)
        return text if wide else Text(f"(long long){text.within(UNARY)}", UNARY)

    def is_wide(self, size: Size) -> bool:
        """Whether the value of an index expression may be beyond 32 bits."""
        if isinstance(size, int):
            return abs(size) >= _WIDE
        return any(
            abs(factor) >= _WIDE or len(monomial) > 1 or any(map(self._is_wide_atom, monomial))
            for monomial, factor in size.terms
        )

    def _is_wide_atom(self, atom: str | Func) -> bool:
        return self.lookup(atom).wide if isinstance(atom, str) else any(map(self.is_wide, atom.args))

    def nonnegative(self, size: Size) -> bool:
        """Whether no term can be negative."""
        if isinstance(size, int):
            return size >= 0
        return all(factor >= 0 and all(map(self._is_natural, monomial)) for monomial, factor in size.terms)

    def _is_natural(self, atom: str | Func) -> bool:
        if isinstance(atom, str):
            return self.lookup(atom).nonnegative
        if atom.kind == "//":
            return self.nonnegative(atom.args[0])
        return (any if atom.kind == "max" else all)(map(self.nonnegative, atom.args))

    def condition(self, conditions: Sequence[Size]) -> Text:
        """Whether all of some expressions are at least 0.

        All of them are compared, as a jump takes longer, and one condition becomes a predicate of what depends on it.
        """
        tests = [self._at_least_zero(c) for c in conditions]
        return tests[0] if len(tests) == 1 else Text(" & ".join(t.within(COMPARISON) for t in tests), BITS)

    def _at_least_zero(self, size: Size) -> Text:
        """Terms stand on the side where they are positive; of whole numbers ``a >= b + 1`` is ``b < a``."""
        if isinstance(size, int):
            return Text("true" if size >= 0 else "false")
        terms = [(m, c) for m, c in size.terms if m]
        constant = next((c for m, c in size.terms if not m), 0)
        plus: Size = total(of_term(m, c) for m, c in terms if c > 0)
        minus: Size = total(of_term(m, -c) for m, c in terms if c < 0)
        left: Size
        right: Size
        if minus == 0:
            left, operator, right = plus, ">=", -constant
        elif plus == 0:
            left, operator, right = minus, "<=", constant
        elif constant < 0:
            left, operator, right = minus - constant - 1, "<", plus
        else:
            left, operator, right = minus, "<=", plus + constant
        wide = self._speaks_of_wide(size)  # what is out of bounds may be so by more than 32 bits
        return Text(f"{self._sum(left, wide).within(SUM)} {operator} {self._sum(right, wide).within(SUM)}", COMPARISON)

    def _speaks_of_wide(self, size: Size) -> bool:
        return any(self.lookup(name).wide for name in names(size))

    def _sum(self, size: Size, wide: bool) -> Text:
        if isinstance(size, int):
            return _number(size, wide)
        ordered = sorted(size.terms, key=lambda term: term[1] < 0)  # one that needs no sign comes first
        (monomial, factor), *others = ordered
        first = self._term(monomial, factor, wide)
        if not others:
            return first
        text = first.within(PRODUCT)
        for monomial, factor in others:
            text += f" {'-' if factor < 0 else '+'} {self._term(monomial, abs(factor), wide).within(PRODUCT)}"
        return Text(text, SUM)

    def _term(self, monomial: Sequence[str | Func], factor: int, wide: bool) -> Text:
        if not monomial:
            return _number(factor, wide)
        atoms = [self._atom(a, wide) for a in monomial]
        if factor == 1 and len(atoms) == 1:
            return atoms[0]
        if factor == -1:
            atoms[0] = Text(f"-{atoms[0].within(UNARY)}", UNARY)
        elif factor != 1:
            atoms.insert(0, _number(factor, wide))
        return Text(" * ".join(a.within(UNARY) for a in atoms), PRODUCT if len(atoms) > 1 else UNARY)

    def _atom(self, atom: str | Func, wide: bool) -> Text:
        if isinstance(atom, str):
            name = self.lookup(atom)
            if name.wide == wide:
                return Text(name.text)
            return Text(f"({'long long' if wide else 'sg_index'}){name.text}", UNARY)
        args = [self._sum(a, wide) for a in atom.args]
        if atom.kind == "//":
            natural = not wide and all(map(self.nonnegative, atom.args))
            return call("sg_quotient" if natural else "sg_floordiv", *args)
        return reduce(lambda a, b: call(f"sg_{atom.kind}", a, b), args)


def _number(value: int, wide: bool) -> Text:
    return Text(f"{value}ll" if wide else str(value), PRIMARY if value >= 0 else UNARY)


def flat_index(buffer: Buffer, index: Sequence[Size]) -> Size:
    """The position of an element in a dense row-major buffer."""
    flat: Size = 0
    for axis, i in enumerate(index):
        flat = flat + i * product(buffer.shape[axis + 1 :])
    return flat


def are_multiples(size: Size, number: int) -> bool:
    """Whether every coefficient, and so the expression, is a multiple of a number."""
    if isinstance(size, Dim):
        return all(factor % number == 0 for _, factor in size.terms)
    return size % number == 0
