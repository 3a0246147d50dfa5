"""Which launches of a plan become one: what depends on something stays behind it, and what is alike is written once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sigmagraph.codegen.cuda.launcher import Launcher
from sigmagraph.dims import Dim
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.plan import Branch, Check, Copy, Launch, Loop, Place, Plan, Step

A, B, C, D, E, F = (Place("slot", n) for n in range(6))


def kernel(name: str, size: int | str, threads: int = 64, waits: bool = False, shared: int = 0) -> Kernel:
    """Adds 1 to elements; if it waits, by way of shared memory, of which it may have more elements than it needs."""
    at = f"{threads}*%b+%t"
    blocks = f"(({size}+{threads - 1})//{threads})" if isinstance(size, str) else -(-size // threads)
    rest = f"{size}-1-{at}" if isinstance(size, str) else f"{size - 1}-{at}"
    rest = rest.replace(f"-{at}", f"-{threads}*%b-%t")
    alloc = f"    alloc %s: f32[{max(threads, shared)}] shared\n" if waits else ""
    through = f"      %s[%t] = %x[{at}] when({rest})\n      barrier\n" if waits else ""
    value = "%s[%t]" if waits else f"%x[{at}]"
    dims = f"dims({size}) " if isinstance(size, str) else ""
    return parse_kernel(
        f"""sigmagraph 1
kernel @{name} stage(legal) {dims}params(%x: in f32[{size}], %y: out f32[{size}]) {{
  for %b in {blocks} block_x {{
{alloc}    for %t in {threads} thread_x {{
{through}      if ({rest}) {{
        %y[{at}] = add({value}, 1.0:f32)
      }}
    }}
  }}
}}
"""
    )


SMALL, OTHER, LARGE, HUGE = (kernel(f"k{n}", n) for n in (300, 1000, 1 << 20, 3 << 20))
KERNELS = (SMALL, OTHER, LARGE, HUGE)


def launch(of: Kernel, source: Place, target: Place) -> Launch:
    return Launch(of.name, (source, target), ())


def launched(*steps: Step, kernels: Sequence[Kernel] = KERNELS) -> tuple[Launcher, tuple[Step, ...], list[str]]:
    texts: list[str] = []
    plan = Plan("run_main", (), (), (), (), (), (), 0, (), (), steps)
    launcher = Launcher(plan, kernels, lambda symbol, text, _: texts.append(text))
    return launcher, launcher.write(), texts


def names(*steps: Step) -> list[str]:
    return [s.kernel if isinstance(s, Launch) else type(s).__name__ for s in launched(*steps)[1]]


def test_what_depends_on_something_is_another_launch() -> None:
    assert names(launch(SMALL, A, B), launch(OTHER, C, D)) == ["k1000_and_1"]
    assert names(launch(SMALL, A, B), launch(OTHER, B, D)) == ["k300", "k1000"]  # reads what was written
    assert names(launch(SMALL, A, B), launch(OTHER, C, A)) == ["k300", "k1000"]  # writes what was read
    assert names(launch(SMALL, A, B), launch(OTHER, C, B)) == ["k300", "k1000"]  # writes what was written
    assert names(launch(SMALL, A, B), launch(OTHER, A, C)) == ["k1000_and_1"]  # both read


def test_what_can_be_early_is() -> None:
    steps = names(launch(SMALL, A, B), launch(SMALL, B, C), launch(OTHER, A, D), launch(OTHER, D, E))
    assert steps == ["k1000_and_1", "k1000_and_1_1"]  # the first is handed one place for two
    assert names(launch(SMALL, A, B), Copy(B, C, 1200), launch(OTHER, C, D)) == ["k300", "Copy", "k1000"]
    assert names(launch(SMALL, A, B), Copy(C, D, 1200)) == ["k300_and_1"]
    assert names(launch(SMALL, A, B), Copy(C, D, 1201)) == ["k300", "Copy"]


def test_nothing_is_moved_over_checks_or_out_of_loops_and_branches() -> None:
    check = Check(F, "no")
    assert names(launch(SMALL, A, B), check, launch(OTHER, C, D)) == ["k300", "Check", "k1000"]
    loop = Loop("%turn0", 3, (launch(SMALL, A, B), launch(OTHER, C, D)))
    (found,) = launched(loop)[1]
    assert isinstance(found, Loop)
    assert [s.kernel for s in found.steps if isinstance(s, Launch)] == ["k1000_and_1"]
    branch = Branch(F, (launch(SMALL, A, B),), (launch(SMALL, C, D), launch(SMALL, E, F)))
    (either,) = launched(branch)[1]
    assert isinstance(either, Branch)
    assert [[s.kernel for s in steps if isinstance(s, Launch)] for steps in (either.then, either.orelse)] == [
        ["k300"],
        ["k300_and_1"],
    ]


def test_of_what_is_large_only_what_is_alike_is_one_launch() -> None:
    assert names(launch(LARGE, A, B), launch(HUGE, C, D)) == ["k3145728_and_1"]
    waits = kernel("kw", 1 << 20, 64, waits=True)
    _, steps, _ = launched(launch(LARGE, A, B), launch(waits, C, D), kernels=(LARGE, waits))
    assert [s.kernel for s in steps if isinstance(s, Launch)] == ["kw", "k1048576"]
    _, steps, _ = launched(launch(SMALL, A, B), launch(waits, C, D), kernels=(SMALL, waits))
    assert len(steps) == 1


def test_large_tiles_keep_the_numbers_that_compilers_know() -> None:
    one, two = (kernel(f"tile{n}", n << 20, 256, waits=True, shared=4096) for n in (1, 2))
    _, steps, _ = launched(launch(one, A, B), launch(two, C, D), launch(one, E, F), kernels=(one, two))
    assert sorted(s.kernel for s in steps if isinstance(s, Launch)) == ["tile1_and_1", "tile2"]
    low, high = (kernel(f"tile{n}", n, 256, waits=True, shared=4096) for n in (1000, 2000))
    _, steps, _ = launched(launch(low, A, B), launch(high, C, D), kernels=(low, high))
    assert len(steps) == 1


def test_what_is_alike_is_written_once_and_its_numbers_are_handed_in() -> None:
    launcher, (step,), (text,) = launched(launch(SMALL, A, B), launch(OTHER, C, D), launch(SMALL, E, F))
    assert isinstance(step, Launch)
    (grid,) = launcher.grids[step.kernel]
    assert (grid.blocks, grid.threads, len(step.places)) == (5 + 16 + 5, 64, 6)
    assert text.count("SG_INLINE void") == 1
    assert text.count("1.0f") == 1
    assert "i2 = 999;" in text
    assert text.count("i2 = 299;") == 2


def test_launches_that_share_places_alike_share_a_function() -> None:
    _, steps, texts = launched(
        launch(SMALL, A, B), launch(SMALL, A, C), launch(SMALL, B, D), launch(SMALL, B, E), launch(SMALL, D, F)
    )
    assert [s.kernel for s in steps if isinstance(s, Launch)] == ["k300_and_1", "k300_and_1", "k300"]
    assert len(texts) == 2


def test_fewer_threads_than_the_block_has_wait_for_themselves() -> None:
    waits, wide = kernel("kw", 500, 64, waits=True), kernel("wide", 500, 256)
    _, _, (text,) = launched(launch(waits, A, B), launch(wide, C, D), kernels=(waits, wide))
    assert "sg_sync<64>();" in text
    assert "if (threadIdx.x < 64) " in text
    assert "__launch_bounds__(256)" in text


def test_arguments_stay_below_what_a_launch_can_hand_over() -> None:
    steps = [launch(SMALL, Place("slot", 2 * n), Place("slot", 2 * n + 1)) for n in range(600)]
    launcher, out, _ = launched(*steps)
    assert len(out) == 3
    assert sum(grid.blocks for grids in launcher.grids.values() for grid in grids if isinstance(grid.blocks, int)) > 0
    assert max(8 * len(s.places) for s in out if isinstance(s, Launch)) <= 4096
    assert sum(len(s.places) for s in out if isinstance(s, Launch)) == 1200


def test_blocks_are_divided_by_dims_that_are_not_known() -> None:
    one, two = kernel("one", "n"), kernel("two", "m")
    launcher, (step,), (text,) = launched(launch(one, A, B), launch(two, C, D), kernels=(one, two))
    assert isinstance(step, Launch)
    (grid,) = launcher.grids[step.kernel]
    n, m = Dim("n"), Dim("m")
    assert grid.blocks == (n + 63) // 64 + (m + 63) // 64
    assert (grid.dims, step.dims) == (("m", "n"), ("m", "n"))
    assert "if (block_number < sg_quotient(dim_n + 63, 64)) {" in text


def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(CompileError, match="two functions"):
        launched(kernels=(kernel("a.b", 10), kernel("a-b", 10)))
