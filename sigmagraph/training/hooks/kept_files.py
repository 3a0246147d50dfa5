"""Which hook keeps which checkpoints of a folder, so that none takes away what another one still wants."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sigmagraph.runtime.whole_files import write_text

_NAME = "kept.json"
_FORMAT = "sigmagraph kept checkpoints 1"


def keep(folder: Path, owner: str, wanted: Sequence[str]) -> None:
    """Let a hook keep some files of a folder; those that it kept before and that no hook keeps now are removed.

    Args:
        folder: where they lie; ``kept.json`` there says what hooks keep. While it cannot be read, nothing is removed.
        owner: the hook, the same in every run.
        wanted: names of files.

    Raises:
        InputError: it cannot be written down.
    """
    kept = _read(folder)
    before = kept.get(owner, [])
    kept[owner] = list(wanted)
    for name in before:
        if not any(name in names for names in kept.values()):
            with contextlib.suppress(OSError):
                (folder / name).unlink(missing_ok=True)
    write_text(folder / _NAME, json.dumps({"format": _FORMAT, "kept": kept}, indent=1) + "\n")


def kept_by(folder: Path, owner: str) -> list[str]:
    """The names of the files that a hook keeps, the latest last."""
    return _read(folder).get(owner, [])


def _read(folder: Path) -> dict[str, list[str]]:
    try:
        found: Any = json.loads((folder / _NAME).read_text("utf-8"))
        kept = found["kept"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    if not isinstance(kept, Mapping):
        return {}
    # Names, and no paths: a file that somebody else has made makes nobody remove what lies elsewhere.
    return {str(owner): [n for n in names if _is_name(n)] for owner, names in kept.items() if isinstance(names, list)}


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name
