from __future__ import annotations

import pytest

from sigmagraph.errors import IdentifierError
from sigmagraph.identifiers import matching, most_specific, path_pattern, specificity, split_path

KNOWN = ["fc1.weights", "fc1.biases", "fc2.weights", "fc2.biases"]


def test_patterns_name_identifiers_in_their_order() -> None:
    assert matching("*.weights", KNOWN) == ["fc1.weights", "fc2.weights"]
    assert matching("fc[!1].?????s", KNOWN) == ["fc2.biases"]
    assert matching("fc2.biases", reversed(KNOWN)) == ["fc2.biases"]
    assert matching("*", KNOWN) == KNOWN


@pytest.mark.parametrize("pattern", ["fc3.*", "weights", "", "FC1.weights", None, 3])
def test_patterns_that_name_nothing_are_refused(pattern: str) -> None:
    with pytest.raises(IdentifierError) as caught:
        matching(pattern, KNOWN)
    assert caught.value.expected


def test_the_latest_of_the_most_specific_rules_counts() -> None:
    assert [specificity(p) for p in ("*", "fc?.*", "*.weights", "[fg]c1.weights")] == [0, 3, 8, 10]
    rules = [("fc1.*", 1), ("*.weights", 2), ("*.biases", 3), ("*.?iases", 4), ("*.biases", 5)]
    assert [most_specific(identifier, rules) for identifier in (*KNOWN[:2], "other")] == [
        ("*.weights", 2),
        ("*.biases", 5),
        None,
    ]


def test_patterns_over_paths_are_followed_level_by_level() -> None:
    pattern = path_pattern("network.**.fc*<layer>.weights")
    assert not pattern.literal
    assert path_pattern("network<a>.weights").literal
    assert pattern.names_nested
    assert not path_pattern("network.*").names_nested
    for path, ends in (
        ([("network", ()), ("fc1", ("layer",)), ("weights", None)], True),
        ([("network", ()), ("a", ()), ("b", ()), ("fc1", ("x", "layer")), ("weights", None)], True),
        ([("network", ()), ("fc1", ()), ("weights", None)], False),
        ([("network", ()), ("fc1", None), ("weights", None)], False),
        ([("network", ()), ("fc1", ("layer",))], False),
    ):
        place = pattern.start
        for name, tags in path:
            place = pattern.step(place, name, tags)
        assert pattern.ends(place) == ends
    assert path_pattern("a.**").ends(path_pattern("a.**").step((0,), "a", None))
    assert path_pattern("a.b").only((1,)) == "b"
    assert path_pattern("a.b?").only((1,)) is None
    assert pattern.step((), "network", ()) == ()


def test_paths_are_split() -> None:
    assert split_path("network.1-dense.weights") == ("network", "1-dense", "weights")
    for wrong in ("", "a.", "a*", "a.<b>", None):
        with pytest.raises(IdentifierError):
            split_path(wrong)
