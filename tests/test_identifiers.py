from __future__ import annotations

import pytest

from sigmagraph.errors import IdentifierError
from sigmagraph.identifiers import matching, most_specific, specificity

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
