"""Registries: paths, patterns, tags, types, live entries, listeners, copies, views, moves and threads."""

from __future__ import annotations

import copy
import logging
import threading
from typing import Any

import numpy as np
import pytest

from sigmagraph.errors import AttributeValueError, IdentifierError
from sigmagraph.training.registry.entries import Change
from sigmagraph.training.registry.registry import Registry


def forest() -> Registry:
    """A registry like that of a trainer."""
    root = Registry("operator", tags=("operator",))
    root.set("epoch", 3, int)
    network = root.child("network", tags=("network",))
    network["name"] = "mlp"
    for name, kind in (("0-input", "external_input"), ("1-dense", "dense"), ("2-dense", "dense")):
        layer = network.child(f"layers.{name}", tags=("layer", kind))
        layer["size"] = 4
        if kind == "dense":
            layer["weights"] = np.full((2, 2), float(name[0]))
    root.child("optimiser").set("learning_rate", 0.1, float, low=0, high=1)
    return root


def test_paths_lead_through_nested_registries() -> None:
    root = forest()
    assert root["network.name"] == root["network"]["name"] == "mlp"
    root["network.layers.1-dense.size"] = 7
    assert root["network"]["layers.1-dense"]["size"] == 7
    assert list(root) == list(root.keys()) == ["epoch", "network", "optimiser"]
    assert len(root) == 3
    assert "network.layers.1-dense.weights" in root
    assert "network" in root
    assert "epoch.value" not in root
    assert "*" not in root
    assert 3 not in root
    assert root["network.layers"].path == "network.layers"
    assert root["network.layers"].parent == root["network"]
    assert root["network.layers"].root == root
    assert root.parent is None
    assert root.path == ""
    assert root["network"] == root["network"]
    assert hash(root["network"]) == hash(root["network"])
    assert root["network"] != root["optimiser"]
    del root["network.layers"]
    assert "network.layers" not in root
    assert root.get("network.layers") is None
    assert root.get("network.name", "none") == "mlp"
    assert Registry()  # something, though it is empty


def test_what_is_missing_is_named_with_what_is_like_it() -> None:
    root = forest()
    with pytest.raises(IdentifierError, match=r"network has no 'lairs'") as caught:
        root["network.lairs.1-dense"]
    assert caught.value.expected == "layers"
    assert caught.value.got == "network.lairs.1-dense"
    with pytest.raises(IdentifierError, match=r"epoch is a value"):
        root["epoch.deeper"] = 1
    with pytest.raises(IdentifierError, match=r"network is a registry"):
        root["network"] = 1
    with pytest.raises(IdentifierError, match=r"no 'shared'"):
        root["shared.accuracy"] = 1  # setting makes no parents
    with pytest.raises(IdentifierError, match=r"no 'nothing'"):
        del root["nothing"]
    with pytest.raises(IdentifierError, match="is a value"):
        root.child("epoch.deeper")
    with pytest.raises(IdentifierError, match="is a registry"):
        root.touch("network")
    with pytest.raises(IdentifierError, match="empty"):
        Registry("void")["a"]


@pytest.mark.parametrize("identifier", ["", ".", "a.", "a..b", "a*", "a?", "a<b>", None, 3])
def test_identifiers_have_no_characters_of_patterns(identifier: Any) -> None:
    root = Registry()
    for use in (root.child, lambda i: root.set(i, 1), lambda i: root.link(i, int), root.__getitem__, root.describe):
        with pytest.raises(IdentifierError):
            use(identifier)
    assert len(root) == 0


@pytest.mark.parametrize("identifier", ["1-dense", "loss[0]", "a+b", "naïve", "x y", "(", "^$", "a,b", "_inputs"])
def test_other_characters_stand_for_themselves(identifier: str) -> None:
    root = Registry()
    root[identifier] = 1
    root["other"] = 2
    assert root.names(identifier) == [identifier]
    assert root.resolve(f"{identifier}*") == {identifier: 1}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("epoch", ["epoch"]),
        ("network", ["network"]),
        ("*", ["epoch"]),
        ("network.*", ["network.name"]),
        ("network.layers.*.weights", ["network.layers.1-dense.weights", "network.layers.2-dense.weights"]),
        ("network.layers.?-dense.size", ["network.layers.1-dense.size", "network.layers.2-dense.size"]),
        ("network.layers.2*.*", ["network.layers.2-dense.size", "network.layers.2-dense.weights"]),
        ("*.learning_rate", ["optimiser.learning_rate"]),
        ("*.weights", []),  # a wildcard does not stand for dots
        ("**.weights", ["network.layers.1-dense.weights", "network.layers.2-dense.weights"]),
        ("**.epoch", ["epoch"]),
        ("network.**.name", ["network.name"]),
        ("network.**.**.name", ["network.name"]),
        ("optimiser.**", ["optimiser.learning_rate"]),
        ("network.layers.*<dense>", ["network.layers.1-dense", "network.layers.2-dense"]),
        ("network.layers.1*<layer,dense>", ["network.layers.1-dense"]),
        ("network.layers.*< external_input , layer >.size", ["network.layers.0-input.size"]),
        ("network.layers.*<layer,network>", []),
        ("**.*<layer>.weights", ["network.layers.1-dense.weights", "network.layers.2-dense.weights"]),
        ("network<network>.name", ["network.name"]),
        ("epoch<network>", []),
        ("net.ork", []),
        ("network.layers.[12]-dense.size", []),
    ],
)
def test_patterns_name_entries(pattern: str, names: list[str]) -> None:
    root = forest()
    assert root.names(pattern) == names
    if names:
        assert list(root.resolve(pattern)) == names
    else:
        with pytest.raises(IdentifierError, match="names nothing") as caught:
            root.resolve(pattern)
        assert caught.value.expected


def test_everything_is_named_once() -> None:
    root = forest()
    assert root.names("**") == root.names("**.**") == root.names("**.*") == [name for name, _ in root.walk()]
    assert {name: read() for name, read in root["optimiser"].walk()} == {"learning_rate": 0.1}


@pytest.mark.parametrize(
    "pattern", ["", None, [], "a..b", "a**", "**<layer>", "<layer>", "*<>", "*<a,>", "*<a", "*<a>b", "a>"]
)
def test_what_is_no_pattern_is_refused(pattern: Any) -> None:
    root = forest()
    for use in (
        root.names,
        root.resolve,
        root.resolve_one,
        lambda p: root.assign(p, 1),
        lambda p: root.listen(p, print),
    ):
        with pytest.raises(IdentifierError):
            use(pattern)


def test_one_value_is_asked_for() -> None:
    root = forest()
    assert root.resolve_one("**.learning_rate") == 0.1
    assert root.resolve_one("**.nothing", default=None) is None
    with pytest.raises(IdentifierError, match="names nothing"):
        root.resolve_one("**.nothing")
    with pytest.raises(IdentifierError, match="names several") as caught:
        root.resolve_one("**.weights", default=1)
    assert "1-dense.weights" in caught.value.got


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (float, [1, 2.5, np.float32(0.5), np.int8(3)], [None, "1", True, 1j, np.zeros(2)]),
        (int, [1, np.int64(4), 10**30], [None, 1.0, True, np.bool_(True)]),
        (bool, [True, np.bool_(False)], [None, 1, "true"]),
        (str, ["", "a"], [None, b"a", 1]),
        (np.ndarray, [np.zeros(2)], [None, [0.0]]),
        (float | None, [1.0, None], ["1"]),
    ],
)
def test_typed_keys_take_nothing_else(kind: Any, right: list[Any], wrong: list[Any]) -> None:
    root = Registry()
    root.set("key", right[0], kind)
    for value in right:
        root["key"] = value
        assert root["key"] is value or root["key"] == value
        if kind in (int, float, bool):
            assert type(root["key"]) is kind
    last = root["key"]
    for value in wrong:
        for change in (
            lambda v: root.__setitem__("key", v),
            lambda v: root.set("key", v),
            lambda v: root.assign("k*", v),
        ):
            with pytest.raises(AttributeValueError, match="key takes values of a type"):
                change(value)
        with pytest.raises(AttributeValueError):
            root.set("new", value, kind)
    assert root["key"] is last
    assert list(root) == ["key"]


def test_types_stay_and_make_sense() -> None:
    root = Registry()
    root["plain"] = None  # a key without a type takes None
    root["plain"] = 1
    root.set("plain", 2, int)
    with pytest.raises(AttributeValueError, match="another type already"):
        root.set("plain", 2.0, float)
    with pytest.raises(AttributeValueError, match="cannot be checked"):
        root.set("list", [], list[int])
    with pytest.raises(AttributeValueError, match="no range"):
        root.set("rate", 0.5, float, low=1, high=0)
    with pytest.raises(AttributeValueError, match="no number"):
        root.set("rate", 0.5, float, low="0")  # type: ignore[arg-type]
    assert list(root) == ["plain"]
    del root["plain"]
    root.set("plain", 2.0, float)
    assert root["plain"] == 2.0


def test_assign_sets_all_that_a_pattern_names() -> None:
    root = forest()
    assert root.assign("network.layers.*<dense>.size", 9) == [
        "network.layers.1-dense.size",
        "network.layers.2-dense.size",
    ]
    assert list(root.resolve("**.size").values()) == [4, 9, 9]
    with pytest.raises(IdentifierError, match="names nothing"):
        root.assign("network.layers.*.siz", 9)
    with pytest.raises(IdentifierError, match="is a registry"):
        root.assign("network.layers.*<layer>", 9)
    assert root.assign("network.layers.*.rate", 1, add=True, type=float) == [
        f"network.layers.{name}.rate" for name in ("0-input", "1-dense", "2-dense")
    ]
    assert root.describe("network.layers.2-dense.rate").type is float
    assert root.assign("seed", 5, add=True) == ["seed"]
    with pytest.raises(IdentifierError, match="names nothing"):
        root.assign("netwerk.rate", 1, add=True)
    root.set("network.text", "a", str)
    before = root["network.name"]
    with pytest.raises(AttributeValueError):
        root.assign("network.*", 3)
    assert root["network.name"] == before  # all or nothing


@pytest.mark.parametrize("pattern", ["shared.*", "*", "shared.new?", "new*", "shared.**"])
def test_a_wildcard_never_becomes_a_key(pattern: str) -> None:
    root = Registry()
    root.child("shared")
    for add in (False, True):
        with pytest.raises(IdentifierError):
            root.assign(pattern, 1, add=add)
    assert [name for name, _ in root.walk()] == []


def test_live_entries_are_read_when_they_are_asked_for() -> None:
    root, state, reads = Registry(), {"rate": 0.5}, []

    def rate() -> float:
        reads.append(1)
        return state["rate"]

    root.child("optimiser")
    root.link("optimiser.rate", rate, lambda value: state.update(rate=value), float, low=0.0, high=1.0)
    root.link("step", lambda: 7)
    assert root.names("**") == ["optimiser.rate", "step"]
    assert "optimiser.rate" in root
    assert "rate: float (live)" in str(root)
    assert "step: any (live, read-only)" in str(root)
    getters = dict(root.walk())
    entry = root.describe("optimiser.rate")
    assert (entry.type, entry.low, entry.high, entry.settable, entry.live) == (float, 0.0, 1.0, True, True)
    assert not root.describe("step").settable
    assert reads == []
    assert getters["optimiser.rate"]() == root["optimiser.rate"] == 0.5
    root["optimiser.rate"] = 1
    assert type(state["rate"]) is float
    assert root["optimiser"]["rate"] == 1.0
    with pytest.raises(AttributeValueError, match="takes values of a type"):
        root["optimiser.rate"] = None
    for change in (lambda: root.set("step", 1), lambda: root.assign("*", 1)):
        with pytest.raises(AttributeValueError, match="without a setter"):
            change()
    with pytest.raises(AttributeValueError, match="functions"):
        root.link("wrong", 3)  # type: ignore[arg-type]
    root.link("step", lambda: 8)
    assert root["step"] == 8


def test_nested_registries_are_described() -> None:
    entry = forest().describe("network.layers.1-dense")
    assert (entry.nested, entry.tags, entry.settable) == (True, ("layer", "dense"), False)


def test_a_failing_setter_changes_nothing_and_tells_nobody() -> None:
    root, heard = Registry(), []

    def refuse(value: float) -> None:
        raise ValueError("no")

    root.link("rate", lambda: 1.0, refuse)
    root.listen("**", lambda *what: heard.append(what))
    with pytest.raises(ValueError, match="no"):
        root["rate"] = 2.0
    assert heard == []
    root["other"] = 1  # the lock is free and listeners are told
    assert heard == [("other", 1)]


def test_listeners_hear_of_leaves() -> None:
    root, heard, inner = forest(), [], []
    end = root.listen("network.layers.*<dense>.*", lambda name, value: heard.append((name, value)))
    root["network"].listen("**.size", lambda name, value: inner.append((name, value)))
    root["network.layers"]["1-dense.size"] = 5
    root["network.layers.0-input.size"] = 6
    root["network.layers.2-dense.rate"] = 0.5
    assert heard == [("network.layers.1-dense.size", 5), ("network.layers.2-dense.rate", 0.5)]
    assert inner == [("layers.1-dense.size", 5), ("layers.0-input.size", 6)]
    end()
    root.assign("**.size", 1)
    assert len(heard) == 2
    assert len(inner) == 5
    state = [1]
    root.link("live", lambda: state[0], lambda value: state.__setitem__(0, value))
    root.listen("live", lambda name, value: heard.append(value))
    root["live"] = 2
    state[0] = 3
    root.touch("live")
    assert heard[2:] == [2, 3]
    with pytest.raises(AttributeValueError, match="function"):
        root.listen("*", None)  # type: ignore[arg-type]


def test_watchers_hear_of_the_hierarchy() -> None:
    root, heard = Registry(), []
    end = root.watch(heard.append)
    root.child("a.b")
    root["a.b.c"] = 1
    root["a.b.c"] = 2
    root["a.b"] = other = Registry("other")
    other["d"] = 3
    del root["a"]
    assert heard == [
        Change("a", True, True),
        Change("a.b", True, True),
        Change("a.b.c", True, False),
        Change("a.b", False, True),
        Change("a.b", True, True),
        Change("a.b.d", True, False),
        Change("a", False, True),
    ]
    end()
    root["e"] = 1
    other["f"] = 1
    assert len(heard) == 7


def test_a_failing_listener_is_logged_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    root, heard = Registry(), []

    def fail(name: str, value: int) -> None:
        raise RuntimeError("broken listener")

    root.listen("a", fail)
    root.listen("a", lambda name, value: heard.append(value))
    with caplog.at_level(logging.ERROR, "sigmagraph"):
        root["a"] = 1
    assert heard == [1]
    assert "broken listener" in caplog.text


def test_listeners_are_called_without_the_lock_and_in_order() -> None:
    root, heard = Registry(), []

    def ask_elsewhere(name: str, value: int) -> None:
        thread = threading.Thread(target=lambda: heard.append(("elsewhere", root["a"])))
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
        if value < 3:
            root["a"] = value + 1
            heard.append(("set", value + 1))

    root.listen("a", ask_elsewhere)
    root.listen("a", lambda name, value: heard.append(("second", value)))
    root["a"] = 2
    assert heard == [("elsewhere", 2), ("set", 3), ("second", 2), ("elsewhere", 3), ("second", 3)]


def test_copies_share_nothing() -> None:
    root = forest()
    shared = np.zeros(3)
    root["arrays"] = {"a": shared, "list": [shared, (1, np.ones(1))], "words": {"x"}}
    thing = object()
    root["thing"] = thing
    root.link("live", lambda: shared)
    for name in ("one", "two"):  # arrays that nobody else holds
        root.link(name, lambda name=name: np.full(3, len(name) + (name == "two")))
    root.listen("**", lambda name, value: pytest.fail("copies have no listeners"))
    other = root.copy()
    assert [name for name, _ in other.walk()] == [name for name, _ in root.walk()]
    assert other.tags == ("operator",)
    assert other["network.layers.1-dense"].tags == ("layer", "dense")
    assert other.names("**.*<dense>") == root.names("**.*<dense>")
    entry = other.describe("optimiser.learning_rate")
    assert (entry.type, entry.low, entry.high) == (float, 0, 1)
    with pytest.raises(AttributeValueError):
        other["optimiser.learning_rate"] = "fast"
    shared += 1
    root["network.layers.1-dense.weights"][:] = 9
    root["arrays"]["words"].add("y")
    assert other["arrays"]["a"].tolist() == other["live"].tolist() == [0, 0, 0]
    assert (other["one"].tolist(), other["two"].tolist()) == ([3, 3, 3], [4, 4, 4])
    assert other["arrays"]["list"][0] is other["arrays"]["a"]
    assert other["arrays"]["words"] == {"x"}
    assert other["network.layers.1-dense.weights"].tolist() == [[1, 1], [1, 1]]
    assert other["thing"] is thing
    other["live"] = 4
    other["optimiser.learning_rate"] = 0.7
    assert root["optimiser.learning_rate"] == 0.1
    assert copy.deepcopy(root)["network"].tags == ("network",)


def test_copies_of_parts_keep_their_places() -> None:
    root = forest()
    part = root.copy("network.layers.1-dense.weights", "network.layers.1-dense.size", "optimiser")
    assert [name for name, _ in part.walk()] == [
        "network.layers.1-dense.size",
        "network.layers.1-dense.weights",
        "optimiser.learning_rate",
    ]
    assert part.names("network<network>.layers.*<layer>.size") == ["network.layers.1-dense.size"]
    with pytest.raises(IdentifierError, match="names nothing"):
        root.copy("epoch", "nothing")


def test_a_list_that_holds_itself_is_copied() -> None:
    root, loop = Registry(), []
    loop.append(loop)
    root["loop"] = loop
    twin = root.copy()["loop"]
    assert twin is not loop
    assert twin[0] is twin


def test_views_refuse_writes_and_see_changes() -> None:
    root = forest()
    view = root.read_only()
    assert not view.writable
    assert root.writable
    for change in (
        lambda: view.set("epoch", 4),
        lambda: view["network"].__setitem__("name", "x"),
        lambda: view["network.layers"].parent.__setitem__("name", "x"),
        lambda: view["network"].root.__delitem__("epoch"),
        lambda: view.resolve_one("network").set("name", "x"),
        lambda: view.assign("epoch", 4),
        lambda: view.link("live", int),
        lambda: view.child("new"),
        lambda: view.child("network", tags=("new",)),
        lambda: view.__setitem__("new", Registry()),
    ):
        with pytest.raises(AttributeValueError, match="read-only"):
            change()
    assert view.child("network")["name"] == "mlp"
    assert not view.describe("epoch").settable
    root["epoch"] = 5
    assert view["epoch"] == 5
    assert view == root.read_only()
    assert view != root
    copied = view.copy()
    copied["epoch"] = 6
    assert root["epoch"] == 5


def test_registries_move_into_one_place() -> None:
    root, network = Registry("env"), forest()
    network.listen("**.rate", lambda name, value: heard.append(name))
    heard: list[str] = []
    root.listen("**.rate", lambda name, value: heard.append(name))
    root["digits"] = network
    assert (network.name, network.path, network.parent) == ("digits", "digits", root)
    assert root.names("digits<operator>.epoch") == ["digits.epoch"]
    network["rate"] = 1
    assert heard == ["rate", "digits.rate"]
    root["digits"] = network  # it is there already
    with pytest.raises(IdentifierError, match="one place"):
        root["again"] = network
    with pytest.raises(IdentifierError, match="one place"):
        network["optimiser.circle"] = root
    with pytest.raises(IdentifierError, match="is a value"):
        network["epoch"] = Registry()
    with pytest.raises(IdentifierError):
        network["network.*"] = Registry()
    with pytest.raises(AttributeValueError, match="is a value"):
        network.set("child", Registry())
    root["digits"] = Registry("new")
    assert network.parent is None
    assert "digits.epoch" not in root
    Registry("other")["free"] = network
    assert network.path == "free"


def test_tags_are_words() -> None:
    for tags in ("layer", ("",), ("a,b",), ("a>",), (3,), (" a",)):
        with pytest.raises(AttributeValueError, match="tag"):
            Registry(tags=tags)  # type: ignore[arg-type]
    root = Registry(tags=("a", "b", "a"))
    assert root.tags == ("a", "b")
    root.child("c", tags=("x",))
    assert root.child("c", tags=("y", "x")).tags == ("x", "y")
    with pytest.raises(AttributeValueError, match="name"):
        Registry("")


def test_text_shows_the_tree() -> None:
    root = forest()
    root["array"] = np.zeros((2, 3), np.float32)
    root["thing"] = object()
    assert str(root).splitlines()[:6] == [
        "operator <operator>",
        "  epoch: int = 3",
        "  network <network>",
        "    name: str = 'mlp'",
        "    layers",
        "      0-input <layer, external_input>",
    ]
    assert "  array: array float32[2, 3]" in str(root)
    assert "  thing: object" in str(root)
    assert repr(root) == "<Registry 'operator', tags=('operator',), 5 entries>"
    assert repr(root.read_only()["optimiser"]) == "<read-only Registry 'optimiser', 1 entries>"


def run_all(*works: Any) -> None:
    """Run functions in threads, and raise what one of them raised."""
    errors: list[Exception] = []
    start = threading.Barrier(len(works))

    def call(work: Any) -> None:
        try:
            start.wait(10)
            work()
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=call, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_threads_may_do_everything_at_once() -> None:
    root, heard = forest(), []
    root.set("count", 0, int)
    root.listen("count", lambda name, value: heard.append(value))
    rounds = 150
    run_all(*everything(root, rounds))
    assert len(heard) == 2 * rounds
    assert heard[-1] == root["count"] == rounds - 1  # the last value that was told is the one that is there


def fill_what_moves(root: Registry, rounds: int) -> None:
    moving = Registry("moving")
    run_all(
        lambda: [moving.set("y", n) for n in range(rounds)],
        lambda: [(root.__setitem__("other", moving), root.__delitem__("other")) for _ in range(rounds)],
    )
    assert moving["y"] == rounds - 1


def read_all(root: Registry, rounds: int) -> None:
    for number in range(rounds):
        assert len(root.resolve("network.layers.*<dense>.weights")) == 2
        root.names("**")
        dict(root.walk())
        str(root)
        if number % 10 == 0:
            root.copy()


def everything(root: Registry, rounds: int) -> list[Any]:
    """What threads may do with a registry."""

    def count() -> None:
        for number in range(rounds):
            root["count"] = number

    def grow(name: str) -> None:
        for number in range(rounds):
            root.child(f"{name}.a.b")[f"k{number % 7}"] = number
            if number % 10 == 9:
                del root[name]

    def move() -> None:
        moving = Registry("moving")
        moving["x"] = 1
        for _ in range(rounds):
            root["moved"] = moving
            del root["moved"]

    return [
        count,
        count,
        lambda: grow("x"),
        lambda: grow("y"),
        move,
        lambda: fill_what_moves(root, rounds),
        lambda: read_all(root, rounds),
    ]


def test_opposite_moves_do_not_block_each_other() -> None:
    left, right = Registry("left"), Registry("right")

    def adopt(one: Registry, other: Registry) -> None:
        for _ in range(200):
            try:
                one["other"] = other
                del one["other"]
            except IdentifierError:
                pass

    run_all(lambda: adopt(left, right), lambda: adopt(right, left))
    assert len(left) + len(right) == 0
