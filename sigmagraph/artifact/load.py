"""Loads artifacts: finds their files, sees that they are whole, and has the library loaded."""

from __future__ import annotations

import hashlib
from os import PathLike
from pathlib import Path

from sigmagraph.artifact.device_library import DeviceLibrary
from sigmagraph.artifact.formats import inspect_library
from sigmagraph.artifact.loaded import Artifact, Library, read_bytes
from sigmagraph.artifact.manifest import FORMAT, read_manifest
from sigmagraph.artifact.targets import artifact_target
from sigmagraph.errors import FileFormatError, InputError, TargetError


def load(path: str | PathLike[str], threads: int = 1, device: int = 0) -> Artifact:
    """An artifact, with the state that lies beside its library, or that is embedded in it.

    Args:
        path: of the folder that was exported to, or of the manifest in it.
        threads: how many take part in calls, at most as many as it was exported for.
        device: the number of the CUDA device, for an artifact that is for such; a C compiler is needed then.

    Raises:
        InputError: there is no artifact, or a file of it cannot be read.
        FileFormatError: a file is damaged, or another one than the manifest tells of.
        TargetError: it is for another system or processor than this one, or there is no driver, no device or no C
            compiler for it.
        CompileError: the C compiler refuses it.
        DeviceError: the device does not take it.
    """
    file = _manifest_file(Path(path))
    manifest = read_manifest(read_bytes(file).decode("utf-8", "replace"), str(file))
    interface = manifest.interface
    if not interface.on_device and not artifact_target(interface.triple).loadable:
        raise TargetError(f"the artifact '{interface.name}' is for another system", got=interface.triple)
    contents = {name: _checked(file.parent / name, digest) for name, digest in manifest.files.items()}
    if interface.on_device:
        needed = [f"{interface.name}{suffix}" for suffix in (".c", ".h")]
    else:
        needed = [artifact_target(interface.triple).library(interface.name)]
    if any(name not in contents for name in needed):
        raise FileFormatError(f"{file} tells of no library", expected=", ".join(needed), got=", ".join(contents))
    library: Library
    if interface.on_device:
        library = DeviceLibrary(file.parent, interface, device)
    else:
        missing = [name for name in interface.symbols if name not in inspect_library(contents[needed[0]]).exports]
        if missing:
            raise FileFormatError(f"{needed[0]} is another library", expected=missing[0], got="no such function")
        library = Library(file.parent / needed[0], interface, manifest.files[needed[0]])
    artifact = Artifact(manifest, library, threads)
    artifact._begin(contents.get(f"{interface.name}.safetensors"))
    return artifact


def _manifest_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"there is no artifact at {path}", expected="a folder that was exported to")
    found = [file for file in sorted(path.glob("*.json")) if FORMAT[:-2].encode() in read_bytes(file)]
    if len(found) != 1:
        names = ", ".join(file.name for file in found or sorted(path.iterdir()))
        raise InputError(
            f"there is not one artifact in {path}", expected="one manifest, NAME.json", got=names or "nothing"
        )
    return found[0]


def _checked(file: Path, digest: str) -> bytes:
    data = read_bytes(file)
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise FileFormatError(f"{file} is not the file that was exported", expected=f"SHA-256 {digest}", got=found)
    return data
