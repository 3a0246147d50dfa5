"""Memory that the steps of a loop use in turn: what the verifier lets pass is free of races, in random kernels."""

from __future__ import annotations

import itertools
import random

import pytest

from sigmagraph.dims import Dim, Size, evaluate
from sigmagraph.dtypes import F32
from sigmagraph.errors import VerifyError
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    Call,
    For,
    Kernel,
    KernelStage,
    Let,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
    View,
)
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.verify import verify_kernel

THREADS = 12
ROOM = 4096


class Case:
    """A random kernel of threads that read and write in steps, and what they do when they run.

    Attributes:
        accesses: (whether it writes, the first element, how many), in a step.
    """

    def __init__(self, rng: random.Random) -> None:
        self.steps = rng.choice((1, 3, 4, 5, 8))
        self.turns = rng.choice((2, 3, 4))
        self.pieces = rng.choice((2, 3))
        self.pitch = rng.choice((4, 5, 6))
        self.size = rng.choice((self._full(), self._full(), self._full(), self._full() - 3, self._full() + 8))
        self.accesses = [self._access(rng, writes=True)]
        self.accesses += [self._access(rng, writes=rng.random() < 0.4) for _ in range(rng.choice((1, 2, 3)))]

    def _full(self) -> int:
        """What all threads have in one turn: lines of four threads, each of an own pitch."""
        return self.pieces * self.pitch * THREADS

    def _access(self, rng: random.Random, writes: bool) -> tuple[bool, Size, int]:
        t, n, k = Dim("%t"), Dim("%n"), Dim("%k")
        turn = k + rng.choice((0, 0, 1, 1, 2, 3, self.turns))
        lines = rng.choice((1, 1, 2, 4))
        line = self.pitch * lines
        own = line * (t // lines) + (self.pitch - rng.choice((0, 0, 0, 1))) * (t % lines)
        piece = self.pitch * THREADS * n if rng.random() < 0.8 else self.pitch * ((n + 1) % self.pieces)
        shift = rng.choice((0, 0, 0, 1))
        span = rng.choice((1, self.pitch - shift, self.pitch - 1))
        if not writes and rng.random() < 0.5:  # other threads' elements
            own = self.pitch * THREADS - self.pitch - own
        which = rng.choice((turn, turn, turn, turn, turn // 2)) % rng.choice((self.turns, self.turns, self.turns, 2))
        return writes, self.size * which + own + piece + shift, span

    def kernel(self) -> Kernel:
        body: list[Stmt] = []
        callees: dict[str, Kernel] = {}
        for number, (writes, at, span) in enumerate(self.accesses):
            role = Role.OUT if writes else Role.IN
            callee = Kernel(f"f{span}{role.value}", (), (Buffer("%o", F32, (span,), role),), (), KernelStage.SCHEDULED)
            if span > 1:
                callees[callee.name] = callee
                body.append(Call(callee.name, (), (View("%s", (at,)),)))
            elif writes:
                body.append(Store("%s", (at,), Load("%x", (0,), F32)))
            else:
                body.append(Let(f"%v{number}", Load("%s", (at,), F32)))
        inner: Block = (For("%n", self.pieces, LoopKind.UNROLLED, tuple(body)),)
        step = For("%k", self.steps, LoopKind.SERIAL, (Barrier(), *inner))
        threads = For("%t", THREADS, LoopKind.THREAD_X, (step,))
        shared = Alloc(Buffer("%s", F32, (ROOM,), Role.TEMP, Space.SHARED))
        nest = For("%b", 2, LoopKind.BLOCK_X, (shared, threads))
        params = (Buffer("%x", F32, (1,), Role.IN),)
        return Kernel("k", (), params, (nest,), KernelStage.SCHEDULED, tuple(callees.values()))

    def fault(self) -> str:
        """An element that two threads touch in a step, one of them to write it."""
        for k in range(self.steps):
            touched: dict[int, tuple[set[int], set[int]]] = {}
            for t, n in itertools.product(range(THREADS), range(self.pieces)):
                for writes, at, span in self.accesses:
                    first = evaluate(at, {"%t": t, "%n": n, "%k": k})
                    for element in range(first, first + span):
                        who = touched.setdefault(element, (set(), set()))
                        who[writes].add(t)
            for element, (readers, writers) in touched.items():
                if writers and len(readers | writers) > 1:
                    return f"element {element} in step {k}: read by {readers}, written by {writers}"
        return ""


def check(seed: int, cases: int) -> tuple[int, int, int]:
    """How many random kernels pass, how many that are right do not, and how many are wrong."""
    rng = random.Random(seed)
    passed = refused = wrong = 0
    for _ in range(cases):
        case = Case(rng)
        fault = case.fault()
        try:
            verify_kernel(case.kernel())
        except VerifyError as error:
            if "may meet" not in str(error):  # nothing else is wrong with them
                raise
            refused += not fault
            wrong += bool(fault)
            continue
        passed += 1
        assert not fault, f"{fault}\n{print_kernel(case.kernel())}"
    return passed, refused, wrong


def test_what_passes_is_right() -> None:
    passed, refused, wrong = check(0, 150)
    assert passed > 8
    assert refused < 2 * passed
    assert wrong > 20


@pytest.mark.extended
@pytest.mark.parametrize("seed", range(1, 9))
def test_what_passes_is_right_in_many_more(seed: int) -> None:
    passed, _, _ = check(seed, 1000)
    assert passed > 50
