"""File names from registries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sigmagraph.errors import AttributeValueError, IdentifierError
from sigmagraph.training.namers import Namer, checked_file_name
from sigmagraph.training.registry.registry import Registry


def registry() -> Registry:
    root = Registry()
    root["epoch"] = 7
    root["text"] = "digits"
    root["path"] = "../etc"
    root["object"] = Registry
    root.child("validation")["accuracy"] = np.float32(0.98765)
    root.child("optimiser").set("learning_rate", 0.001, float)
    root.child("network.1-dense")["size"] = np.array([5])
    return root


def test_values_become_names() -> None:
    namer = Namer("net_e{epoch:03}_{validation.accuracy:.3f}")
    assert namer(registry()) == "net_e007_0.988"
    assert namer.reads == ("epoch", "validation.accuracy")
    assert Namer("{optimiser.learning_rate:g}")(registry()) == "0.001"
    assert Namer("{network.1-dense.size}-{text:>8}{{x}}")(registry()) == "5-  digits{x}"
    assert Namer("static.safetensors")({}) == "static.safetensors"
    assert Namer("a{epoch}") == Namer("a{epoch}")
    assert hash(Namer("a{epoch}")) == hash(Namer("a{epoch}"))


@pytest.mark.parametrize("template", ["{epoch", "}", "{epoch!r}", "{epoch:{text}}", "{a[0]}", "a/b", "..", "", None, 3])
def test_what_is_no_template_is_refused(template: Any) -> None:
    with pytest.raises(AttributeValueError):
        Namer(template)


@pytest.mark.parametrize("template", ["{}", "{0.}", "{epoch.}", "{*}", "{a..b}"])
def test_braces_hold_identifiers(template: str) -> None:
    with pytest.raises(IdentifierError):
        Namer(template)


def test_names_lead_nowhere_else() -> None:
    with pytest.raises(IdentifierError):
        Namer("{epoch.__class__}")(registry())  # a path, never an attribute
    with pytest.raises(IdentifierError, match="epok"):
        Namer("{epok}")(registry())
    with pytest.raises(AttributeValueError, match="name of a file"):
        Namer("x{path}")(registry())
    with pytest.raises(AttributeValueError, match="cannot be part"):
        Namer("{object}")(registry())
    with pytest.raises(AttributeValueError, match="format"):
        Namer("{text:.3f}")(registry())


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "...",
        "a/b",
        "a\\b",
        "/a",
        "c:",
        "a\0",
        "a\n",
        'a"',
        "a|",
        "a?",
        "a*",
        "<a",
        " a",
        "a ",
        "a.",
        "NUL",
        "com1.txt",
        "x" * 256,
        "ä" * 128,
    ],
)
def test_what_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(AttributeValueError, match="name of a file"):
        checked_file_name(name)


@pytest.mark.parametrize("name", ["a", ".hidden", "a b", "null", "company", "x" * 255, "größe-1_2.txt", "a..b"])
def test_file_names_are_taken(name: str) -> None:
    assert checked_file_name(name) == name
