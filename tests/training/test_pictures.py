from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sigmagraph.errors import AttributeValueError, InputError, ShapeError, SigmaError
from sigmagraph.training.display.pictures import ascii_picture, beside, block_picture, save_png

IMAGE = np.array([[0.0, 1.0], [0.5, 7.0]])


def test_text() -> None:
    assert ascii_picture(IMAGE) == "  @@\n==@@"
    assert ascii_picture(IMAGE, width=8) == "    @@@@\n    @@@@\n====@@@@\n====@@@@"
    assert ascii_picture(np.ones((1, 1, 3))) == "@@"
    assert beside(["a\nb", "c\nd"], gap=1) == "a c\nb d"
    assert block_picture(IMAGE[:1, :1]) == "\x1b[38;2;0;0;0;48;2;0;0;0m\u2580\x1b[0m"
    assert block_picture(IMAGE).count("255;255;255") == 2


def test_png(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "images.png"
    save_png(path, np.stack([IMAGE, IMAGE, IMAGE]), columns=2, scale=3)
    pixels = np.asarray(image.open(path))
    assert pixels.shape == (15, 15)  # two rows of two images of two pixels, a gap between
    assert pixels[0, 3] == 255
    assert pixels[3, 0] == 128
    assert pixels[14, 14] == 0
    save_png(path, np.ones((1, 2, 2, 3)), scale=1)
    assert np.asarray(image.open(path)).shape == (2, 2, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["images.png"]


@pytest.mark.parametrize(
    ("images", "options", "error"),
    [
        (IMAGE, {}, ShapeError),
        (np.zeros((0, 2, 2)), {}, ShapeError),
        (np.full((1, 2, 2), np.nan), {}, InputError),
        (np.zeros((1, 2, 2)), {"columns": 0}, AttributeValueError),
        (np.zeros((1, 2, 2)), {"scale": 1.5}, AttributeValueError),
    ],
)
def test_wrong_images(tmp_path: Path, images: Any, options: Any, error: type[SigmaError]) -> None:
    with pytest.raises(error):
        save_png(tmp_path / "x.png", images, **options)
    assert not list(tmp_path.iterdir())


def test_wrong_text() -> None:
    with pytest.raises(ShapeError):
        ascii_picture(np.zeros(3))
    with pytest.raises(InputError):
        ascii_picture([[np.inf]])
    with pytest.raises(InputError):
        ascii_picture([["a"]])
    with pytest.raises(AttributeValueError):
        ascii_picture(IMAGE, width=3)
    with pytest.raises(ShapeError):
        beside(["a", "b\nc"])


def test_missing_pillow_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        save_png(tmp_path / "absent" / "x.png", IMAGE[None])
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r"sigmagraph\[data\]"):
        save_png(tmp_path / "x.png", IMAGE[None])
