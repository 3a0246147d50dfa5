"""Which hook of a training writes to which file: two that wrote to one would take what the other wrote for leavings."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

from sigmagraph.errors import InputError
from sigmagraph.training.hooking.hook import Hook, Training


def claim(trainer: Training, path: Path, hook: Hook) -> None:
    """Let a file be a hook's own until the hook is taken off.

    Raises:
        InputError: another hook of the training has it.
    """
    owner = _owners().setdefault(trainer, {}).setdefault(path.resolve(), hook)
    if owner != hook:
        raise InputError(f"two hooks write to {path}", expected="a file for each", got=f"{owner} and {hook}")


def release(trainer: Training, path: Path, hook: Hook) -> None:
    """Let other hooks have a file again, if it was this hook's."""
    owned = _owners().get(trainer, {})
    if owned.get(path.resolve()) == hook:
        del owned[path.resolve()]


@cache
def _owners() -> WeakKeyDictionary[Training, dict[Path, Hook]]:
    return WeakKeyDictionary()
