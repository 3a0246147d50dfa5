"""Lets that are numbers composed of loop variables, and divided as a whole: bounds and races are shown by their digits."""

from __future__ import annotations

import itertools
import random

import pytest

from sigmagraph.dims import Dim, Size, evaluate
from sigmagraph.dtypes import F32
from sigmagraph.errors import VerifyError
from sigmagraph.ir.kernel.expr import Const, Index
from sigmagraph.ir.kernel.kernel import Buffer, For, If, Kernel, KernelStage, Let, LoopKind, Role, Store
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.verify import verify_kernel

PARAMS = (
    "%z: out f32[n,m], %f: out f32[n*m], %w: out f32[m,3,5], %q: inout f32[64,64], %v: out f32[6,8], %i32: in i32[n]"
)
BY_ROWS = "%z[(%g//m), %g-m*(%g//m)] = 1.0:f32"
TILES = "for %b in ((n*m+127)//128) block_x {{ for %t in 128 thread_x {{ {} }} }}"
LET = "let %g: i64 = index(128*%b+%t) "


def kernel(body: str) -> Kernel:
    return parse_kernel(f"sigmagraph 1 kernel @k stage(scheduled) dims(n, m) params({PARAMS}) {{ {body} }}")


def squares(body: str) -> str:
    return f"for %b in 4 block_x {{ for %t in 4 thread_x {{ {body} }} }}"


RIGHT = {
    "rows": TILES.format(f"{LET} if (n*m-1-%g) {{ {BY_ROWS} }}"),
    "columns": TILES.format(f"{LET} if (n*m-1-%g) {{ %z[%g-n*(%g//n), (%g//n)] = 1.0:f32 }}"),
    "guarded store": TILES.format(f"{LET} %z[(%g//m), %g-m*(%g//m)] when(n*m-1-%g) = 1.0:f32"),
    "guard before": TILES.format(f"if (n*m-1-128*%b-%t) {{ {LET} {BY_ROWS} }}"),
    "turned": TILES.format(f"{LET} if (n*m-1-%g) {{ %f[(%g//m)+n*(%g-m*(%g//m))] = 1.0:f32 }}"),
    "two stores": TILES.format(f"{LET} if (n*m-1-%g) {{ {BY_ROWS} %f[%g] = %z[(%g//m), %g-m*(%g//m)] }}"),
    "constants": (
        "for %b in ((m+7)//8) block_x { for %t in 120 thread_x { let %g: i64 = index(120*%b+%t) if (15*m-1-%g) {"
        " %w[(%g//15), (%g//5)-3*(%g//15), %g-5*(%g//5)] = 1.0:f32 } } }"
    ),
    "unrolled": (
        "for %b in ((n*m+127)//128) block_x { for %t in 32 thread_x { for %r in 4 unrolled {"
        f" let %g: i64 = index(128*%b+4*%t+%r) if (n*m-1-%g) {{ {BY_ROWS} }} }} }} }}"
    ),
    "far apart": (
        "for %b in ((n*m+127)//128) block_x { for %t in 32 thread_x { for %r in 4 unrolled {"
        f" let %g: i64 = index(128*%b+32*%r+%t) if (n*m-1-%g) {{ {BY_ROWS} }} }} }} }}"
    ),
    "gaps": TILES.format(f"let %g: i64 = index(300*%b+2*%t+1) if (n*m-1-%g) {{ {BY_ROWS} }}"),
    "exact": "for %b in n block_x { for %t in 4 thread_x { let %g: i64 = index(4*%b+%t) %z[(%g//4), 0] when(4*(%g//4)-%g) = 1.0:f32 } }",
    "of a warp": squares("let %g: i64 = index(8*%b+2*%t) %q[(%g//8), %g-8*(%g//8)] = 1.0:f32"),
    "a loop of one turn": (
        "for %b in ((n*m+127)//128) block_x { for %t in 128 thread_x { for %r in 1 unrolled {"
        f" let %g: i64 = index(128*%b+%t+128*%r) if (n*m-1-%g) {{ {BY_ROWS} }} }} }} }}"
    ),
    "a step ahead": (
        "for %t in 4 thread_x { for %s in 12 { if (10-%s) { let %g: i64 = index(4*%s+4+%t)"
        " %v[(%g//8), %g-8*(%g//8)] = 1.0:f32 } } }"
    ),
    "of two axes": (
        "for %b in ((n*m+63)//64) block_x { for %u in 8 thread_y { for %t in 8 thread_x {"
        f" let %g: i64 = index(64*%b+8*%u+%t) if (n*m-1-%g) {{ {BY_ROWS} }} }} }} }}"
    ),
}  # fmt: skip

WRONG = {
    "overlapping steps": (
        (
            "for %b in n block_x { for %t in 4 thread_x { for %r in 8 { let %g: i64 = index(32*%b+4*%t+%r)"
            f" if (n*m-1-%g) {{ {BY_ROWS} }} }} }} }}"
        ),
        "thread_x '%t' may meet in an element of '%z'",
    ),
    "overlapping blocks": (
        TILES.format(f"let %g: i64 = index(127*%b+%t) if (n*m-1-%g) {{ {BY_ROWS} }}"),
        "block_x '%b' may meet",
    ),
    "no guard": (TILES.format(f"{LET} {BY_ROWS}"), "could not be shown to be in bounds"),
    "wrong guard": (TILES.format(f"{LET} if (n*m-%g) {{ {BY_ROWS} }}"), "could not be shown to be in bounds"),
    "two steps ahead": (
        (
            "for %t in 4 thread_x { for %s in 12 { if (10-%s) { let %g: i64 = index(4*%s+8+%t)"
            " %v[(%g//8), %g-8*(%g//8)] = 1.0:f32 } } }"
        ),
        "could not be shown to be in bounds",
    ),
    "wrong divisor": (
        TILES.format(f"{LET} if (n*m-1-%g) {{ %z[(%g//n), %g-n*(%g//n)] = 1.0:f32 }}"),
        "could not be shown to be in bounds",
    ),
    "two numbers": (
        TILES.format(
            f"{LET} if (n*m-1-%g) {{ {BY_ROWS} }} let %h: i64 = index(128*%b+127-%t)"
            " if (n*m-1-%h) { %z[(%h//m), %h-m*(%h//m)] = 2.0:f32 }"
        ),
        "thread_x '%t' may meet",
    ),
    "without the thread": (
        f"for %b in n block_x {{ for %t in 4 thread_x {{ let %g: i64 = index(4*%b) if (n*m-1-%g) {{ {BY_ROWS} }} }} }}",
        "thread_x '%t' may meet",
    ),
    "without the block": (
        f"for %b in n block_x {{ for %t in 4 thread_x {{ let %g: i64 = index(%t) if (n*m-1-%g) {{ {BY_ROWS} }} }} }}",
        "block_x '%b' may meet",
    ),
    "without a digit": (
        TILES.format(f"{LET} if (n*m-1-%g) {{ %z[(%g//m), 0] = 1.0:f32 }}"),
        "thread_x '%t' may meet",
    ),
    "a digit read elsewhere": (
        TILES.format(f"{LET} if (n*m-1-%g) {{ %z[(%g//m), %g-m*(%g//m)] = %z[(%g//m), m-1-%g+m*(%g//m)] }}"),
        "one writes it, another reads it",
    ),
    "divided by the block": (
        squares("let %g: i64 = index(4*%b+%t) %q[(%g//(%b+1)), %g-(%b+1)*(%g//(%b+1))] = 1.0:f32"),
        "may meet in an element of '%q'",
    ),
    "divided by the thread": (
        squares("let %g: i64 = index(4*%b+%t) %q[(%g//(%t+1)), %g-(%t+1)*(%g//(%t+1))] = 1.0:f32"),
        "may meet in an element of '%q'",
    ),
    "divided by a loop inside": (
        squares(
            "for %r in 4 { let %g: i64 = index(16*%b+4*%t+%r) %q[(%g//(%r+1)), %g-(%r+1)*(%g//(%r+1))] = 1.0:f32 }"
        ),
        "may meet in an element of '%q'",
    ),
    "from data": (
        squares(
            "let %d: i64 = max(0:i64, min(cast(%i32[0], i64), 2:i64)) let %g: i64 = index(4*%b+%d)"
            " %q[(%g//4), %g-4*(%g//4)] = 1.0:f32"
        ),
        "thread_x '%t' may meet",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_numbers_tell_threads_apart(name: str) -> None:
    verify_kernel(kernel(RIGHT[name]))


@pytest.mark.parametrize("name", WRONG)
def test_numbers_that_do_not_are_refused(name: str) -> None:
    body, says = WRONG[name]
    with pytest.raises(VerifyError) as caught:
        verify_kernel(kernel(body))
    assert says in str(caught.value)


def test_a_name_may_be_a_number_in_one_place_only() -> None:
    number = f"{LET} if (n*m-1-%g) {{ {BY_ROWS} }}"
    other = "let %g: i64 = max(0:i64, min(cast(%i32[0], i64), 99:i64)) alloc %o: f32[100] local %o[%g] = 1.0:f32"
    verify_kernel(kernel(TILES.format(f"if (%b-1) {{ {number} }} else {{ {other} }}")))
    verify_kernel(kernel(TILES.format(f"if (%b-1) {{ {number} }} else {{ let %g: f32 = 1.0:f32 }}")))


# ---- what is shown holds

SIZES = ({"n": 1, "m": 1}, {"n": 2, "m": 3}, {"n": 3, "m": 2}, {"n": 5, "m": 4})


class Case:
    """A random kernel of one store at the digits of a number, and what it does when it runs."""

    def __init__(self, rng: random.Random) -> None:
        n, m, g = Dim("n"), Dim("m"), Dim("%g")
        threads, turns = rng.choice((2, 3, 4)), rng.choice((1, 2, 3))
        steps = rng.choice(
            (
                (threads * turns, turns, 1),
                (threads * turns, 1, threads),
                (threads, 1, 0),
                (6, 2, 1),
                (4, 2, 1),
                (12, 1, 4),
            )
        )
        limit, columns = rng.choice(((n * m, m), (n * m, n), (12 * n, 4), (6 * n, 3), (24, 4), (8, 2)))
        rows: Size = {m: n, n: m, 4: 3 * n, 3: 2 * n, 2: 4}.get(columns, n) if limit != 24 else 6
        self.loops = [("%b", rng.choice(((limit + steps[0] - 1) // steps[0], n, 3))), ("%t", threads), ("%r", turns)]
        self.number = sum((s * Dim(v) for s, (v, _) in zip(steps, self.loops, strict=True)), 0) + rng.choice((0, 0, 1))
        divisor = rng.choice((columns, columns, columns, 2, Dim("%b") + 1, Dim("%t") + 1))
        high, low = g // divisor, g - divisor * (g // divisor)
        shape, index = rng.choice(
            (
                ((rows, columns), (high, low)),
                ((rows, columns), (high, columns - 1 - low)),
                ((rows * columns,), (high + rows * low,)),
                ((rows * columns,), (g,)),
                ((rows * columns,), (high,)),
                ((columns, rows), (low, high)),
                ((rows, columns), (high, 0)),
                ((limit + 60, 60), (high, low)),
            )
        )
        self.shape, self.index = shape, index
        self.guard = rng.choice(((limit - 1 - g,), (limit - 1 - g,), (limit - 1 - g, -1 * low), (limit - g,), ()))

    def kernel(self) -> Kernel:
        store = Store("%y", self.index, Const(1.0, F32))
        body = (Let("%g", Index(self.number)), If(self.guard, (store,)) if self.guard else store)
        kinds = (LoopKind.BLOCK_X, LoopKind.THREAD_X, LoopKind.SERIAL)
        for (name, extent), kind in reversed(list(zip(self.loops, kinds, strict=True))):
            body = (For(name, extent, kind, body),)
        return Kernel("k", ("n", "m"), (Buffer("%y", F32, self.shape, Role.OUT),), body, KernelStage.SCHEDULED)

    def fault(self, dims: dict[str, int]) -> str:
        """What is wrong when it runs: an element out of bounds, or one that two threads store."""
        stored: dict[tuple[int, ...], tuple[int, int]] = {}
        shape = [evaluate(s, dims) for s in self.shape]
        for b, t, r in itertools.product(*(range(evaluate(extent, dims)) for _, extent in self.loops)):
            env = {**dims, "%b": b, "%t": t, "%r": r}
            env["%g"] = evaluate(self.number, env)
            if any(evaluate(size, env) < 0 for size in self.guard):
                continue
            at = tuple([evaluate(size, env) for size in self.index])
            if not all(0 <= i < extent for i, extent in zip(at, shape, strict=True)):
                return f"{at} of {shape} in {env}"
            if stored.setdefault(at, (b, t)) != (b, t):
                return f"{at} in {env} and by {stored[at]}"
        return ""


def shown(case: Case) -> bool:
    try:
        verify_kernel(case.kernel())
    except VerifyError:
        return False
    return True


def check(seed: int, cases: int) -> tuple[int, int]:
    """How many random kernels pass, and how many that are right do not."""
    rng = random.Random(seed)
    passed = refused = 0
    for _ in range(cases):
        case = Case(rng)
        faults = [fault for dims in SIZES if (fault := case.fault(dims))]
        if shown(case):
            passed += 1
            assert not faults, f"{faults[0]}\n{print_kernel(case.kernel())}"
        elif not faults:
            refused += 1
    return passed, refused


def test_what_passes_is_right() -> None:
    passed, _ = check(0, 60)
    assert passed > 8


@pytest.mark.extended
@pytest.mark.parametrize("seed", range(1, 5))
def test_what_passes_is_right_in_many_more(seed: int) -> None:
    passed, _ = check(seed, 400)
    assert passed > 50
