"""Comparison of screenshots with reference pictures that tolerates small differences.

Pictures are compared as grids of cells of 10 pixels, so that the rendering of single letters has
little effect. A moved, missing or differently coloured part changes many cells.
"""

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image, ImageChops

FOLDER = Path(__file__).parent / "pictures"
_FONT = "DejaVu Sans"
_CELL = 10
# Scale of the pictures that are only compared.
_SCALE = 4
_MAX_DIFFERENCE = 36
_MAX_SHARE = 0.02


def skip_with_other_fonts() -> None:
    """Skips the test if the system has another font than the one of the reference pictures."""
    command = shutil.which("fc-match")
    name = subprocess.check_output([command, "system-ui"], text=True) if command else ""  # noqa: S603
    if _FONT not in name:
        pytest.skip(f"the pictures were made with the font {_FONT}")


def problem_of(screenshot: bytes, reference: Path, *, is_full_size: bool = False) -> str | None:
    """Returns the problem if the screenshot differs. Writes the reference if it is missing."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    if not reference.exists():
        _write(picture, reference, is_full_size=is_full_size)
        return f"{reference} was missing and is written: look at it and commit it"
    share = _share_of_changed_cells(picture, Image.open(reference).convert("RGB"))
    return f"{share:.1%} of {reference} differ" if share > _MAX_SHARE else None


def _write(picture: Image.Image, reference: Path, *, is_full_size: bool) -> None:
    reference.parent.mkdir(exist_ok=True)
    if not is_full_size:
        size = (picture.width // _SCALE, picture.height // _SCALE)
        picture = picture.resize(size, Image.Resampling.BOX)
    picture.quantize(128).save(reference, optimize=True)


def _share_of_changed_cells(first: Image.Image, second: Image.Image) -> float:
    size = (first.width // _CELL, first.height // _CELL)
    cells = [picture.resize(size, Image.Resampling.BOX) for picture in (first, second)]
    red, green, blue = ImageChops.difference(*cells).split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return sum(largest.histogram()[_MAX_DIFFERENCE + 1 :]) / (size[0] * size[1])
