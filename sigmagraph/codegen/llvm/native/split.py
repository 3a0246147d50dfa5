"""Writes multiply-add of vectors of f64 in products and sums, for processors that have f64 but no instruction for it.

The product is split into a rounded one and its error (T. Dekker, "A floating-point technique for extending the
available precision", Numerische Mathematik 18, 1971), and the sum of the three is rounded once by way of one that is
rounded to odd (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using
rounding to odd", IEEE Transactions on Computers 57, 2008). That holds where nothing on the way overflows or is
subnormal: operands below 2^450, and products above 2^-800 or of 0. If any lane is different, all are computed by
``soft_fma``.
"""

from __future__ import annotations

import struct
from functools import cache

from sigmagraph.codegen.llvm.types import vector_of

SPLIT = "split_fma"
_SPLITTER = 2.0**27 + 1
_MOST, _LEAST = 2.0**450, 2.0**-800


def split_name(lanes: int) -> str:
    """The function's name for vectors of so many lanes."""
    return f"{SPLIT}.{lanes}"


@cache
def split_text(lanes: int) -> str:
    """The function for vectors of so many lanes; 1 for numbers."""
    return _Writer(lanes).text()


class _Writer:
    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.real, self.bits, self.test = (vector_of(scalar, lanes) for scalar in ("double", "i64", "i1"))
        self.lines: list[str] = []

    def op(self, text: str) -> str:
        name = f"%t{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return name

    def all(self, scalar: str, value: str) -> str:
        """A constant in every lane."""
        return value if self.lanes == 1 else "<" + ", ".join([f"{scalar} {value}"] * self.lanes) + ">"

    def number(self, value: float) -> str:
        return self.all("double", f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}")

    def arithmetic(self, op: str, a: str, b: str) -> str:
        return self.op(f"{op} {self.real} {a}, {b}")

    def size(self, a: str) -> str:
        masked = self.op(f"and {self.bits} {self.as_bits(a)}, {self.all('i64', str((1 << 63) - 1))}")
        return self.as_real(masked)

    def as_bits(self, a: str) -> str:
        return self.op(f"bitcast {self.real} {a} to {self.bits}")

    def as_real(self, a: str) -> str:
        return self.op(f"bitcast {self.bits} {a} to {self.real}")

    def compare(self, how: str, a: str, b: str) -> str:
        return self.op(f"fcmp {how} {self.real} {a}, {b}")

    def both(self, op: str, a: str, b: str) -> str:
        return self.op(f"{op} {self.test} {a}, {b}")

    def two_sum(self, a: str, b: str) -> tuple[str, str]:
        """The rounded sum and its error."""
        total = self.arithmetic("fadd", a, b)
        back = self.arithmetic("fsub", total, a)
        lost = self.arithmetic("fsub", a, self.arithmetic("fsub", total, back))
        return total, self.arithmetic("fadd", lost, self.arithmetic("fsub", b, back))

    def halves(self, a: str) -> tuple[str, str]:
        """Two numbers of 26 bits whose sum it is."""
        wide = self.arithmetic("fmul", a, self.number(_SPLITTER))
        high = self.arithmetic("fsub", wide, self.arithmetic("fsub", wide, a))
        return high, self.arithmetic("fsub", a, high)

    def error(self, product: str) -> str:
        """What the rounded product lacks."""
        (a, a_low), (b, b_low) = self.halves("%a"), self.halves("%b")
        out = self.arithmetic("fsub", self.arithmetic("fmul", a, b), product)
        for x, y in ((a, b_low), (a_low, b), (a_low, b_low)):
            out = self.arithmetic("fadd", out, self.arithmetic("fmul", x, y))
        return out

    def to_odd(self, a: str, b: str) -> str:
        """The sum without what its last bit cannot hold; that bit is set where there was such a rest."""
        total, rest = self.two_sum(a, b)
        bits = self.as_bits(total)
        some = self.op(f"sext {self.test} {self.compare('une', rest, self.number(0.0))} to {self.bits}")
        signs = self.op(f"xor {self.bits} {bits}, {self.as_bits(rest)}")
        less = self.op(f"ashr {self.bits} {signs}, {self.all('i64', '63')}")
        less = self.op(f"and {self.bits} {less}, {some}")
        low = self.op(f"and {self.bits} {some}, {self.all('i64', '1')}")
        cut = self.op(f"add {self.bits} {bits}, {less}")
        return self.as_real(self.op(f"or {self.bits} {cut}, {low}"))

    def usual(self, product: str) -> str:
        """Whether all lanes are of the usual sizes."""
        tests = [self.compare("olt", self.size(x), self.number(_MOST)) for x in ("%a", "%b", "%c")]
        large = self.compare("ogt", self.size(product), self.number(_LEAST))
        for x in ("%a", "%b"):
            large = self.both("or", large, self.compare("oeq", x, self.number(0.0)))
        for test in tests:
            large = self.both("and", large, test)
        if self.lanes == 1:
            return large
        mask = self.op(f"bitcast {self.test} {large} to i{self.lanes}")
        return self.op(f"icmp eq i{self.lanes} {mask}, -1")

    def text(self) -> str:
        name, real = split_name(self.lanes), self.real
        product = self.arithmetic("fmul", "%a", "%b")
        self.lines.append(f"  br i1 {self.usual(product)}, label %usual, label %other")
        self.lines.append("usual:")
        plain = self.arithmetic("fadd", product, "%c")
        near, near_rest = self.two_sum("%c", self.error(product))
        high, rest = self.two_sum(product, near)
        out = self.arithmetic("fadd", high, self.to_odd(near_rest, rest))
        nothing = self.compare("oeq", out, self.number(0.0))  # of which sign, says the plain sum
        out = self.op(f"select {self.test} {nothing}, {real} {plain}, {real} {out}")
        self.lines.append(f"  ret {real} {out}")
        self.lines.append("other:")
        self.lines.append(f"  ret {real} {self.by_lane()}")
        head = f"define internal {real} @{name}({real} %a, {real} %b, {real} %c) #0 {{"
        return "\n".join([head, "entry:", *self.lines, "}"])

    def by_lane(self) -> str:
        if self.lanes == 1:
            return self.op("call double @soft_fma(double %a, double %b, double %c)")
        out = "poison"
        for lane in range(self.lanes):
            parts = [self.op(f"extractelement {self.real} {x}, i32 {lane}") for x in ("%a", "%b", "%c")]
            one = self.op(f"call double @soft_fma({', '.join(f'double {p}' for p in parts)})")
            out = self.op(f"insertelement {self.real} {out}, double {one}, i32 {lane}")
        return out
