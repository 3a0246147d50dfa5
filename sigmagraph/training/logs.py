"""Shows and keeps what sigmagraph logs: on stderr, and in a file that begins anew before it gets too large."""

from __future__ import annotations

import logging
import sys
from datetime import datetime
from logging.handlers import RotatingFileHandler
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

from sigmagraph.errors import AttributeValueError, InputError

_NAME = "sigmagraph"
_OURS = "sigmagraph: enable_logging"
_ROTATE_BYTES, _KEEP = 15 * 2**20, 5
_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogHandle:
    """What :func:`enable_logging` has switched on. As a context it is closed at the end."""

    def __init__(self, handlers: list[logging.Handler], former_level: int) -> None:
        self._handlers = handlers
        self._former_level = former_level

    def close(self) -> None:
        """Switch it off, unless another call of :func:`enable_logging` has done so; the level is what it was before."""
        logger = logging.getLogger(_NAME)
        mine = [handler for handler in self._handlers if handler in logger.handlers]
        for handler in mine:
            logger.removeHandler(handler)
            handler.close()
        if mine:
            logger.setLevel(self._former_level)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def enable_logging(
    level: str | int = "INFO",
    file: str | PathLike[str] | None = None,
    rotate_bytes: int = _ROTATE_BYTES,
    keep: int = _KEEP,
) -> LogHandle:
    """Show what the logger ``sigmagraph`` and those below it are told, on stderr and perhaps in a file.

    Calling it again replaces what the last call switched on. Loggers above, and handlers that others have added, stay
    as they are. Times are ISO 8601, with the offset of the time zone in files and plain lines.

    Args:
        level: the least level that is shown, such as ``"DEBUG"`` or ``logging.DEBUG``.
        file: where lines are kept as well; its folder is made if missing.
        rotate_bytes: how large the file may get before it is renamed to ``file.1`` and begun anew.
        keep: how many renamed files are kept.

    Returns:
        What switches it off again.

    Raises:
        AttributeValueError: there is no such level, or a number is out of range.
        InputError: the file cannot be written.
    """
    number = _level(level)
    for what, value in (("rotate_bytes", rotate_bytes), ("keep", keep)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise AttributeValueError(f"{what} is out of range", expected="1, 2, 3, ...", got=repr(value))
    handlers = [_console()]
    if file is not None:
        handlers.append(file_handler(Path(file), rotate_bytes, keep))
    logger = logging.getLogger(_NAME)
    former = logger.level
    for old in [handler for handler in logger.handlers if handler.get_name() == _OURS]:
        former = getattr(old, "former_level", former)
        logger.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.set_name(_OURS)
        handler.former_level = former  # type: ignore[attr-defined]
        logger.addHandler(handler)
    logger.setLevel(number)
    return LogHandle(handlers, former)


class _Lines(logging.Formatter):
    """Lines with times that depend on no locale."""

    def __init__(self) -> None:
        super().__init__(_LINE)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


class _Stderr(logging.Handler):
    """Writes to what stderr is at the time, so that displays can print above themselves."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - logging itself reports what goes wrong with it, and goes on
            self.handleError(record)


def _console() -> logging.Handler:
    if not sys.stderr.isatty():
        handler: logging.Handler = _Stderr()
        handler.setFormatter(_Lines())
        return handler
    from rich.console import Console
    from rich.logging import RichHandler

    return RichHandler(console=Console(stderr=True), show_path=False, log_time_format="%Y-%m-%dT%H:%M:%S")


def file_handler(path: Path, rotate_bytes: int = _ROTATE_BYTES, keep: int = _KEEP) -> logging.Handler:
    """What writes lines to a file; its folder is made if missing.

    Args:
        path: of the file.
        rotate_bytes: how large it may get before it is renamed and begun anew.
        keep: how many renamed files are kept.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=rotate_bytes, backupCount=keep, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written", got=error.strerror) from error
    handler.setFormatter(_Lines())
    return handler


def _level(level: str | int) -> int:
    known = logging.getLevelNamesMapping()
    number = known.get(level.upper()) if isinstance(level, str) else level
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        names = ", ".join(name for name in known if name != "NOTSET")
        raise AttributeValueError("this is no level of logging", expected=names, got=repr(level))
    return number
