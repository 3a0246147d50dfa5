"""Reads folders and archives of images, each of a class that its folder is named after."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np

from sigmagraph.data.digests import digest
from sigmagraph.data.readers.ranges import check_range
from sigmagraph.data.records import Block, Records
from sigmagraph.data.sources.archive import Archive
from sigmagraph.data.sources.base import Source, unreadable
from sigmagraph.data.sources.file import File, as_source
from sigmagraph.errors import AttributeValueError, FileFormatError, InputError

# Endings of files that are looked at, and the formats that they may have, whatever their ending.
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
# What Pillow raises at damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)


class _Image(NamedTuple):
    path: str
    label: str


class Images(Records):
    """Images as ``inputs`` f32 from 0 to 1, ``[height, width]`` or ``[height, width, 3]``; classes as ``targets`` i32.

    The class of an image is the folder that it lies in; classes are numbered in the order of their sorted names. There
    are no targets if all images lie in the folder or the archive itself. Images come in the order of their paths, or
    as they are listed. Files with endings other than those of images are not looked at.

    Args:
        source: a folder, an archive (zip or tar, as a path or a source), or a list of files.
        size: height and width that images are resized to (by area and bilinear); else all must have one size.
        mode: ``L`` for grey values, ``RGB`` for colours.
        classes: names of folders in the order of their numbers, for numbers that hold for several folders.
        most_pixels: how many an image may have; more are refused before they are unpacked.

    Raises:
        AttributeValueError: an argument means nothing.
        InputError: (when it is read) there are no images, or Pillow is not installed.
        FileFormatError: (when it is read) a file is damaged, too large, of more than 8 bits a channel, or of another
            size; or a folder is not among the classes.
    """

    def __init__(
        self,
        source: Source | str | PathLike[str] | Sequence[str | PathLike[str]],
        size: tuple[int, int] | None = None,
        mode: Literal["L", "RGB"] = "L",
        *,
        classes: Sequence[str] | None = None,
        most_pixels: int = 1 << 26,
    ) -> None:
        if (
            mode not in ("L", "RGB")
            or isinstance(classes, str)
            or (size is not None and (len(size) != 2 or min(size) < 1))
        ):
            raise AttributeValueError(
                "images cannot be read like this",
                expected="mode 'L' or 'RGB', a size (height, width), a list of classes",
                got=(mode, size, classes),
            )
        self._files: list[str] | None = None
        self._source: Source | None = None
        self._folder: Path | None = None
        if isinstance(source, (list, tuple)):
            self._files = [str(path) for path in source]
            self.name = f"{len(source)} files"
        elif not isinstance(source, Source) and Path(source).is_dir():  # type: ignore[arg-type]
            self._folder = Path(source)  # type: ignore[arg-type]
            self.name = str(source)
        else:
            self._source = as_source(source)  # type: ignore[arg-type]
            self.name = self._source.name
        self._size, self._mode, self._most = size, mode, most_pixels
        self._classes = None if classes is None else tuple(classes)
        self._archive: Archive | None = None
        self._shape: tuple[int, ...] | None = None
        self._found: tuple[_Image, ...] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers; none if images have no class."""
        labels = sorted(dict.fromkeys(image.label for image in self._images()))
        if labels == [""]:
            return ()
        known = tuple(labels) if self._classes is None else self._classes
        if unknown := [label for label in labels if label not in known]:
            raise FileFormatError(f"{self.name} has images of other classes", expected=", ".join(known), got=unknown)
        return known

    @property
    def sections(self) -> tuple[str, ...]:
        return ("inputs", "targets") if self.classes else ("inputs",)

    def __len__(self) -> int:
        return len(self._images())

    def read(self, start: int, stop: int) -> Block:
        check_range(self, start, stop)
        chosen = self._images()[start:stop]
        pixels = [self._pixels(image.path) for image in chosen]
        if self._shape is None:
            self._shape = self._size or self._pixels(self._images()[0].path).shape[:2]
        shape = self._shape
        for image, array in zip(chosen, pixels, strict=True):
            if array.shape[:2] != shape:
                raise FileFormatError(
                    f"{image.path} has another size", expected=shape, got=array.shape[:2], hint="size=(height, width)"
                )
        channels = (3,) if self._mode == "RGB" else ()
        stacked = np.stack(pixels) if pixels else np.zeros((0, *shape, *channels), np.uint8)
        block = {"inputs": stacked.astype(np.float32) / 255}
        if self.classes:
            numbers = {label: number for number, label in enumerate(self.classes)}
            block["targets"] = np.array([numbers[image.label] for image in chosen], np.int32)
        return block

    def fingerprint(self) -> str:
        paths = [image.path for image in self._images()]
        files = [self._source.fingerprint()] if self._source else [File(path).fingerprint() for path in paths]
        return digest("images", paths, files, self._size, self._mode, self._classes, self._most)

    def _images(self) -> tuple[_Image, ...]:
        if self._found is None:
            paths = self._paths()
            if not paths:
                raise InputError(f"{self.name} has no images", expected=", ".join(_ENDINGS), got="none")
            root = str(self._folder) if self._folder else ""
            self._found = tuple(_Image(path, _label(path, root)) for path in paths)
        return self._found

    def _paths(self) -> list[str]:
        if self._files is not None:
            return self._files
        if self._folder is not None:
            walked = os.walk(self._folder)
            paths = [Path(where, file).as_posix() for where, _, files in walked for file in files]
        else:
            assert self._source is not None, "it is one of the three"
            self._archive = Archive(self._source)
            paths = list(self._archive.files())
        return sorted(path for path in paths if path.lower().endswith(_ENDINGS))

    def _pixels(self, path: str) -> np.ndarray[Any, Any]:
        where = path
        if self._archive is not None:
            where = f"{self.name}/{path}"
            content = self._archive.read(path)
        else:
            try:
                content = Path(path).read_bytes()
            except OSError as error:
                raise unreadable(path, error) from error
        return self._decoded(content, where)

    def _decoded(self, content: bytes, where: str) -> np.ndarray[Any, Any]:
        try:
            from PIL import Image, ImageOps
        except ImportError as error:
            raise InputError("reading images needs Pillow", got=error, hint='pip install "sigmagraph[data]"') from error
        bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                self._check(image, where)
                turned = ImageOps.exif_transpose(image)
                # Pillow warns of palettes with transparency unless they go through RGBA.
                flat = turned.convert("RGBA") if turned.mode in ("P", "PA") else turned
                out = flat.convert(self._mode)
        except (*_DAMAGE, *bombs) as error:
            raise FileFormatError(f"{where} is damaged", expected="a whole image", got=error) from error
        if self._size is not None and out.size != self._size[::-1]:
            out = out.resize(self._size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(out)

    def _check(self, image: Any, where: str) -> None:
        width, height = image.size
        if width * height > self._most:
            raise FileFormatError(f"{where} is too large", expected=f"{self._most} pixels", got=f"{width} x {height}")
        if image.mode not in _EIGHT_BITS:
            raise FileFormatError(f"{where} is of another kind", expected="8 bits a channel", got=f"mode {image.mode}")


def _label(path: str, root: str) -> str:
    """The name of the folder that an image lies in; nothing if that is the root."""
    parent = PurePosixPath(path).parent
    return "" if str(parent) in (".", PurePosixPath(Path(root).as_posix()).as_posix()) else parent.name
