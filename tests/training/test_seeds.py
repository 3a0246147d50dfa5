"""Seeds depend on the root seed and names alone, and no two places share one."""

from __future__ import annotations

import numpy as np
import pytest

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.seeds import Seeds


def test_values_depend_on_the_seed_and_the_names_alone() -> None:
    assert Seeds(7).child("shuffle").integer() == 2682458573186992321  # by sha256sum
    assert Seeds(7).child("a", 3).generator().integers(2**32, size=3).tolist() == [1031140756, 1871376237, 457737693]
    one, other = Seeds(5), Seeds(5)
    one.child("noise").integer()
    one.child("noise").generator().random(9)
    assert one.child("a", "b").integer() == other.child("a").child("b").integer()
    assert one.child("a").generator().random(4).tolist() == other.child("a").generator().random(4).tolist()
    assert one.child("a") == other.child("a")
    assert hash(one.child("a")) == hash(other.child("a"))
    assert one.child("a") != other.child("b")
    assert repr(one.child("a", 3)) == "Seeds(5).child('a', 3)"
    assert repr(one) == "Seeds(5)"


def test_places_are_independent() -> None:
    seeds = Seeds(0)
    tricky = [
        (),
        ("a", "b"),
        ("ab",),
        ("b", "a"),
        ("a",),
        ("",),
        ("", ""),
        ("a", ""),
        (3,),
        ("3",),
        ('a","b',),
        (-1,),
        ("a", "b", 0),
    ]
    paths = [*tricky, *(("worker", n) for n in range(2000)), *((f"{n}", n) for n in range(2000))]
    places = [seeds.child(*path) if path else seeds for path in paths]
    integers = [place.integer() for place in places] + [Seeds(n).integer() for n in range(1, 500)]
    assert len(set(integers)) == len(integers)
    assert all(0 <= n < 2**63 for n in integers)
    assert abs(np.mean(integers) / 2**62 - 1) < 0.05
    first = [place.generator().integers(2**63) for place in places[:300]]
    assert len(set(first)) == 300
    streams = np.array([place.generator().standard_normal(400) for place in places[:60]])
    assert np.abs(np.corrcoef(streams) - np.eye(60)).max() < 0.3


def test_a_missing_seed_is_drawn_and_remembered() -> None:
    one, other = Seeds(), Seeds(None)
    assert one.seed != other.seed
    assert Seeds(one.seed).child("a").integer() == one.child("a").integer()
    assert Seeds(np.int32(3)) == Seeds(3)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", True, np.True_])
def test_what_is_no_seed_is_refused(seed: int) -> None:
    with pytest.raises(AttributeValueError, match="no seed"):
        Seeds(seed)


@pytest.mark.parametrize("names", [(), (1.5,), (None,), ("a", True)])
def test_what_is_no_name_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(AttributeValueError):
        Seeds(1).child(*names)
