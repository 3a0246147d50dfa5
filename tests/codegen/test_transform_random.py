"""Every transformation keeps the meaning of random kernels, to the last bit and for empty dims too."""

from __future__ import annotations

import random

import pytest
from kernel_runs import same_bits

from sigmagraph.codegen.transform.expand import expand
from sigmagraph.codegen.transform.hoist import hoist
from sigmagraph.codegen.transform.simplify import simplify
from sigmagraph.codegen.transform.unroll import unroll
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel

HEAD = (
    "sigmagraph 1\nkernel @k stage(scheduled) dims(n, m) "
    "params(%k: in f32[3], %x: in f32[n], %y: inout f32[n], %z: inout f32[n*m]) "
)
EXTENTS = ("0", "1", "2", "3", "n", "n-1", "(n//2)", "((m+1)//2)", "min(3, n)", "n-2*(n//2)", "min(2, m-1)", "n*m")
CHAIN = (simplify, unroll, hoist, expand)


class Writer:
    """Writes a random kernel. All accesses are guarded, so that any index will do."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.loops = 0

    def kernel(self) -> Kernel:
        return parse_kernel(f"{HEAD}{{\n{self.block([], [], 3)}\n}}\n")

    def block(self, indices: list[str], values: list[str], depth: int) -> str:
        indices, values = list(indices), list(values)
        return "\n".join(self.statement(indices, values, depth) for _ in range(self.rng.randint(1, 3)))

    def statement(self, indices: list[str], values: list[str], depth: int) -> str:
        kind = self.rng.choice(["store", "let", "index", "fixed", *["for", "for", "if"] * (depth > 0)])
        name = f"%t{depth}{len(values) + len(indices)}"  # sibling blocks use the same names
        if kind == "let":
            text = f"let {name}: f32 = {self.value(indices, values)}"
            values.append(name)
        elif kind == "index":
            text = f"let {name}: i64 = index({self.size(indices)})"
            indices.append(name)
        elif kind == "fixed":
            text = f"let {name}: f32 = %k[{self.rng.randint(0, 2)}]"
            values.append(name)
        elif kind == "for":
            return self.loop(indices, values, depth)
        elif kind == "if":
            conditions = ", ".join(self.size(indices) for _ in range(self.rng.randint(1, 2)))
            blocks = [self.block(indices, values, depth - 1) for _ in range(2)]
            return f"if ({conditions}) {{\n{blocks[0]}\n}} else {{\n{blocks[1]}\n}}"
        else:
            text = f"{self.access('yz', indices)} = {self.value(indices, values)}"
        return text

    def loop(self, indices: list[str], values: list[str], depth: int) -> str:
        self.loops += 1
        var, extent = f"%i{self.loops}", self.rng.choice(EXTENTS)
        kind = self.rng.choice(("", "unrolled")) if extent.isdigit() else ""
        return f"for {var} in {extent} {kind} {{\n{self.block([*indices, var], values, depth - 1)}\n}}"

    def access(self, buffers: str, indices: list[str]) -> str:
        name, at = self.rng.choice(buffers), self.size(indices)
        return f"%{name}[{at}] when({at}, {'n*m' if name == 'z' else 'n'}-1-({at}))"

    def value(self, indices: list[str], values: list[str]) -> str:
        def operand() -> str:
            if values and self.rng.random() < 0.5:
                return self.rng.choice(values)
            return self.access("xyz", indices) if self.rng.random() < 0.8 else f"cast(index({self.size(indices)}), f32)"

        return f"{self.rng.choice(('add', 'mul', 'sub'))}({operand()}, {operand()})"

    def size(self, indices: list[str]) -> str:
        rng = self.rng
        atoms = [*indices, *indices, "n", "m", "2"]
        a, b = rng.choice(atoms), rng.choice(atoms)
        forms = (a, f"{a}+{b}", f"{a}-{b}", f"n-1-{a}", f"(({a}+{rng.randint(0, 3)})//2)", f"min({a}, {b})", f"2*{a}-{b}",
                 f"(({a}+m*{b})//m)", f"max({a}, {b}-1)", f"{a}-2*({a}//2)", f"m*{a}+{b}")  # fmt: skip
        return rng.choice(forms)


@pytest.mark.parametrize("seed", range(60))
def test_random_kernels_keep_their_meaning(seed: int) -> None:
    before = after = Writer(seed).kernel()
    for step in CHAIN:
        after = step(after)
        assert print_kernel(parse_kernel(print_kernel(after))) == print_kernel(after)
        for dims in ({"n": 0, "m": 2}, {"n": 1, "m": 1}, {"n": 3, "m": 2}, {"n": 4, "m": 3}):
            same_bits(before, after, dims)
