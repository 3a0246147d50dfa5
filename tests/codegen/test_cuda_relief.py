"""Functions that spill for more blocks at a time are compiled with room for what their threads keep."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sigmagraph.codegen.cuda.compile import Compiled
from sigmagraph.codegen.cuda.cubin import Resources
from sigmagraph.codegen.cuda.relief import compile_with_room, with_room

TEXT = """extern "C" __global__ void __launch_bounds__(128) tight(float* x) {
}
extern "C" __global__ void __launch_bounds__(128) tight_too(
    float* x) {
}
extern "C" __global__ void __launch_bounds__(256, 2) told(float* x) {
}
"""


def resources(spills: Mapping[str, int], registers: int = 128) -> list[Resources]:
    names = ("tight", "tight_too", "told")
    return [Resources(name, registers, 0, 0, spills.get(name, 0), spills.get(name, 0), 0) for name in names]


def test_a_function_that_spills_asks_for_a_block_less() -> None:
    wider = with_room(TEXT, resources({"tight": 48}))
    assert wider == TEXT.replace("(128) tight(", "(128, 3) tight(")
    assert with_room(TEXT, resources({"tight_too": 48}, 168)) == TEXT.replace("(128) tight_too", "(128, 2) tight_too")


@pytest.mark.parametrize(
    ("spills", "registers"), [({}, 128), ({"tight": 8}, 128), ({"told": 80}, 128), ({"tight": 80}, 255)]
)
def test_others_stay_as_they_are(spills: Mapping[str, int], registers: int) -> None:
    """Those that put aside a word or two, those that say what they want, and those that have all there are."""
    assert with_room(TEXT, resources(spills, registers)) == TEXT


@pytest.mark.parametrize("left", [0, 90, 100])
def test_the_better_of_two_is_taken(left: int) -> None:
    texts: list[str] = []

    def compile(text: str) -> Compiled:
        texts.append(text)
        spills = {"tight": left // 2 if len(texts) > 1 else 48}
        return Compiled(b"", "", tuple(resources(spills)), "none", 0.0)

    text, compiled = compile_with_room(TEXT, compile)
    assert len(texts) == 2
    assert (text != TEXT) == (left < 96)
    assert compiled.resources[0].spill_stores == min(left // 2, 48)


def test_what_does_not_spill_is_compiled_once() -> None:
    texts: list[str] = []

    def compile(text: str) -> Compiled:
        texts.append(text)
        return Compiled(b"", "", tuple(resources({})), "none", 0.0)

    assert compile_with_room(TEXT, compile)[0] == TEXT
    assert len(texts) == 1
