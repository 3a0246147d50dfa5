"""Environments: names, seeds, workspaces and their end."""

from __future__ import annotations

import gc
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from sigmagraph.errors import AttributeValueError, IdentifierError, InputError
from sigmagraph.training.environment import Environment
from sigmagraph.training.registry.registry import Registry
from sigmagraph.training.tasks import Kind


def test_names_are_taken_while_environments_live() -> None:
    one = Environment("one", seed=3)
    assert Environment.get("one") is Environment.get_or_create("one") is one
    assert Environment.exists("one")
    assert not Environment.exists("other")
    assert "one" in Environment.names()
    with pytest.raises(IdentifierError, match="lives already"):
        Environment("one")
    with pytest.raises(IdentifierError, match="no such environment") as caught:
        Environment.get("other")
    assert "one" in caught.value.expected
    one.close()
    one.close()
    assert one.closed
    assert not Environment.exists("one")
    with Environment.get_or_create("one", seed=4) as again:
        assert again.seeds.seed == 4
        one.close()  # closing the former one takes nothing from the new one
        assert Environment.exists("one")
    del one, again


def test_nobody_holds_a_name_for_ever() -> None:
    Environment("dropped")
    assert not Environment.exists("dropped")  # gone at once, without the collector

    def fail() -> None:
        environment = Environment("failing")
        environment.circle = environment  # type: ignore[attr-defined]
        raise RuntimeError("in between")

    gc.disable()
    try:
        with pytest.raises(RuntimeError, match="in between"):
            fail()
        Environment("failing").close()
    finally:
        gc.enable()
    with pytest.raises(RuntimeError), Environment("context"):
        raise RuntimeError
    assert not Environment.exists("context")
    with pytest.raises(AttributeValueError, match="no seed"):
        Environment("half", seed=-1)
    Environment("half").close()


@pytest.mark.parametrize("name", ["", "a.b", "a*", "a/b", None, 3, "..", "nul"])
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises((IdentifierError, AttributeValueError)):
        Environment(name)


def test_its_end_comes_whatever_goes_wrong() -> None:
    environment, calls = Environment("ending"), []
    task = environment.tasks.begin(Kind.TRAIN, "mlp")

    def fail() -> None:
        calls.append("fail")
        raise RuntimeError("at the end")

    environment.on_close(lambda: calls.append("first"))
    environment.on_close(fail)
    environment.on_close(lambda: calls.append("last"))
    with pytest.raises(RuntimeError, match="at the end"):
        environment.close()
    assert calls == ["last", "fail", "first"]
    assert task.cancelled
    assert not Environment.exists("ending")
    with pytest.raises(AttributeValueError):
        environment.on_close(fail)


def test_the_workspace_is_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Environment("placed", workspace=tmp_path / "deep" / "space") as environment:
        assert not (tmp_path / "deep").exists()
        assert environment.runs == tmp_path / "deep" / "space" / "runs"
        assert environment.cache.is_dir()
        assert environment.datasets.is_dir()
        assert environment.registry["workspace"] == environment.workspace
    with Environment("elsewhere") as environment:
        assert environment.workspace.name == "sigmagraph"
        assert environment.workspace.is_absolute()
    (tmp_path / "file").write_text("")
    with Environment("blocked", workspace=tmp_path / "file") as environment, pytest.raises(InputError, match="runs"):
        _ = environment.runs


def test_what_is_in_it_is_found_from_its_root() -> None:
    with Environment("root", seed=5) as environment:
        environment.registry["digits"] = trainer = Registry("trainer", tags=("trainer",))
        trainer.child("network")["name"] = "mlp"
        assert environment.registry.resolve("*<trainer>.network.name") == {"digits.network.name": "mlp"}
        assert environment.registry["seed"] == 5
        assert environment.registry["name"] == "root"
        with pytest.raises(AttributeValueError):
            environment.registry["seed"] = 6
        assert repr(environment) == "<Environment 'root', seed 5>"


def test_a_drawn_seed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sigmagraph"), Environment("drawn") as environment:
        environment.log("%s begins", "training", level=logging.WARNING)
        assert str(environment.seeds.seed) in caplog.text
    assert caplog.records[-1].name == "sigmagraph.environment.drawn"
    assert caplog.messages[-1] == "training begins"


def test_threads_get_the_same_one() -> None:
    found: list[Environment] = []
    threads = [threading.Thread(target=lambda: found.append(Environment.get_or_create("threads"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert all(environment is found[0] for environment in found)
    found[0].close()
