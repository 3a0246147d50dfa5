"""Logging goes where it was switched on, in one way whatever the locale, and nowhere else."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.training.logs import enable_logging

LOGGER = logging.getLogger("sigmagraph.training.anything")
ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = logger_state("sigmagraph"), logger_state("")
    yield
    assert (logger_state("sigmagraph"), logger_state("")) == before


def logger_state(name: str) -> Any:
    logger = logging.getLogger(name or None)
    return list(logger.handlers), logger.level, logger.propagate


def test_lines_go_to_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    first = enable_logging()
    second = enable_logging("warning")
    LOGGER.info("not shown")
    LOGGER.warning("shown %s", 1.5)
    first.close()  # it has been replaced
    LOGGER.warning("shown still")
    second.close()
    second.close()
    LOGGER.warning("not shown any more")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(ISO + r" WARNING sigmagraph\.training\.anything: shown 1\.5", lines[0])


def test_files_begin_anew_before_they_get_too_large(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "sigma.log"
    with enable_logging(logging.DEBUG, file, rotate_bytes=400, keep=2):
        for number in range(40):
            LOGGER.debug("línea %d", number)
    files = sorted(path.name for path in file.parent.iterdir())
    assert files == ["sigma.log", "sigma.log.1", "sigma.log.2"]
    assert all(path.stat().st_size <= 400 for path in file.parent.iterdir())
    last = file.read_text("utf-8").splitlines()[-1]
    assert re.fullmatch(ISO + r" DEBUG sigmagraph\.training\.anything: línea 39", last)


def test_others_keep_their_handlers_and_level(caplog: pytest.LogCaptureFixture) -> None:
    logger, other = logging.getLogger("sigmagraph"), logging.NullHandler()
    logger.addHandler(other)
    logger.setLevel(logging.ERROR)
    try:
        with enable_logging(), enable_logging("debug"):
            assert other in logger.handlers
            LOGGER.info("heard by others too")
        assert logger.handlers[-1] is other
        assert logger.level == logging.ERROR
        assert caplog.messages == ["heard by others too"]
    finally:
        logger.removeHandler(other)
        logger.setLevel(logging.NOTSET)


def test_a_terminal_gets_colours_and_iso_dates(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with enable_logging():
        LOGGER.error("[bold]as it is[/bold]")
    err = capsys.readouterr().err
    assert "[bold]as it is[/bold]" in re.sub(r"\x1b\[[0-9;]*m", "", err)
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.sub(r"\x1b\[[0-9;]*m", "", err))


@pytest.mark.parametrize("level", ["loud", "", None, -1, 1.5, True])
def test_what_is_no_level_is_refused(level: Any) -> None:
    with pytest.raises(AttributeValueError, match="no level"):
        enable_logging(level)


def test_wrong_files_and_numbers_are_refused(tmp_path: Path) -> None:
    for wrong in ({"rotate_bytes": 0}, {"keep": 0}, {"keep": True}, {"rotate_bytes": 1.5}):
        with pytest.raises(AttributeValueError, match="out of range"):
            enable_logging(**wrong)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "log.txt"):
        with pytest.raises(InputError, match="cannot be written"):
            enable_logging(file=place)
