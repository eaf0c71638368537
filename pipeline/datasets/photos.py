"""Read an image file and say what may be wrong with it: the remarks that ``prepare`` and ``predict`` count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PILImage

from models.structures import Image
from pipeline.datasets import tiff
from pipeline.datasets.images import opened, orientation, raw_mode, to_rgb
from pipeline.problems.notices import first_of

Cases = Sequence[tuple[str, str]]
"""(id, detail) of every image with a remark."""

EXIF, LOW_DEPTH, DARK, CONSTANT, BANDS, FRAMES = (
    "exif_orientation", "low_depth", "dark", "constant", "bands", "frames",
)  # fmt: skip
FEW_OF_16, FEW_OF_8 = 64, 32
"""Of 256: 16-bit files whose brightest value is below a quarter of the range hold 14 bits or fewer; a photo of 8 bits
has some light even at night."""
APPLIED, NOT_APPLIED = "applied", "not applied"


@dataclass(frozen=True)
class Photo:
    """An image file.

    Attributes:
        pixels: uint8 [H,W,3].
        orientation: EXIF's, 1..8; 1 where there is none.
        remarks: what may be wrong, (topic, detail).
    """

    pixels: Image
    orientation: int
    remarks: tuple[tuple[str, str], ...]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[0], self.pixels.shape[1]


def read_photo(path: Path, *, upright: bool = False, scale: float = 1) -> Photo:
    """Read an image file as :func:`pipeline.datasets.images.read_image` does, and look at what it was.

    Raises:
        BadFileError: as there.
    """
    with opened(path, "an image file", scale) as picture:
        deep = ";16" in raw_mode(picture)  # which is known until the pixels are loaded
        turned = orientation(picture)
        pixels = to_rgb(picture, upright)
        remarks = [*_of_values(pixels, deep), *_of_file(picture)]
    if turned != 1:
        remarks.append((EXIF, APPLIED if upright else NOT_APPLIED))
    return Photo(pixels, turned, tuple(remarks))


def _of_values(pixels: Image, deep: bool) -> Iterator[tuple[str, str]]:
    high = int(pixels.max())
    few = pixels[::37, ::37]  # nearly always enough to see that colours differ
    if deep and high < FEW_OF_16:
        yield LOW_DEPTH, str(high)
    elif (few == pixels[0, 0]).all() and pixels.shape[0] * pixels.shape[1] > 1 and (pixels == pixels[0, 0]).all():
        yield CONSTANT, str(high)
    elif high < FEW_OF_8:
        yield DARK, str(high)


def _of_file(picture: PILImage.Image) -> Iterator[tuple[str, str]]:
    if tiff.is_tiff(picture) and (more := tiff.surplus(picture)):
        yield BANDS, f"{more} more"
    elif tiff.has_false_alpha(picture):
        yield BANDS, "alpha"
    if _has_more(picture):
        yield FRAMES, str(picture.format)


def _has_more(picture: PILImage.Image) -> bool:
    """Whether there are more frames or pages; a photo's preview (MPO) and a TIFF's smaller copies are none."""
    if picture.format == "MPO" or not getattr(picture, "is_animated", False):
        return False
    if not tiff.is_tiff(picture):
        return True
    picture.seek(1)
    return not int(tiff.tag(picture, tiff.SUBFILE, 0)) & tiff.REDUCED_OR_MASK


def _ids(cases: Cases) -> str:
    return first_of([id for id, _ in cases])


def exif(cases: Cases, total: int) -> str:
    """Of a data set, where the reader's ``upright`` decides."""
    count = f"{len(cases)} of {total} images carry an EXIF orientation ({_ids(cases)})"
    if cases[0][1] == APPLIED:
        return (
            f"{count}, which is applied: they are turned upright. Masks, boxes and points that were drawn on the "
            "stored pixels lie a quarter or half a turn off: then set `upright: false` in the reader's options."
        )
    return (
        f"{count}, which is not applied: their stored pixels are taken. Labels that were drawn on upright photos, as "
        "most tools show them, lie a quarter or half a turn off: then set `upright: true` in the reader's options."
    )


def low_depth(cases: Cases, total: int) -> str:
    """16-bit files that hold fewer."""
    high = max(int(detail) for _, detail in cases)
    bits = (high * 256 + 255).bit_length()
    top = 2**bits - 1
    return (
        f"{len(cases)} of {total} images have 16 bits and use few of them ({_ids(cases)}): read as 8 bits, their "
        f"brightest value is {high} of 255, and they look black. Their values fit into {bits} bits: stretch all images "
        f"alike and use the copies, as with `gdal_translate -ot Byte -scale 0 {top} 0 255 IN OUT.png`, or in Python "
        f"`Image.fromarray((a / {top} * 255).clip(0, 255).astype('uint8'))`."
    )


def dark(cases: Cases, total: int) -> str:
    """Images of 8 bits that are all but black."""
    high = max(int(detail) for _, detail in cases)
    return (
        f"{len(cases)} of {total} images are all but black ({_ids(cases)}): their brightest value is {high} of 255. "
        f"Are they masks, or values of another range? Stretch values of another range alike in all images: "
        f"`Image.fromarray((a / {max(high, 1)} * 255).astype('uint8'))`."
    )


def constant(cases: Cases, total: int) -> str:
    """Images that show nothing."""
    return (
        f"{len(cases)} of {total} images are of one colour alone ({_ids(cases)}) and show nothing. If they are failed "
        "downloads or placeholders, leave them out."
    )


def bands(cases: Cases, total: int) -> str:
    """TIFFs of which bands are left out."""
    alpha = sum(detail == "alpha" for _, detail in cases)
    note = f", of which {alpha} call it alpha although it has many values, as near infrared does" if alpha else ""
    return (
        f"{len(cases)} of {total} images are TIFFs with a band beyond the colours ({_ids(cases)}){note}. The first "
        f"three are taken as red, green and blue, the others are left out. If others are wanted: {tiff.TAKE_THREE}."
    )


def frames(cases: Cases, total: int) -> str:
    """Animations, and files of several pages."""
    kinds = ", ".join(sorted({detail for _, detail in cases}))
    return (
        f"{len(cases)} of {total} images hold several frames or pages ({kinds}: {_ids(cases)}), of which the first is "
        "taken. If the others are wanted, write each as a file: magick IN FRAME_%04d.png."
    )


SENTENCES = {EXIF: exif, LOW_DEPTH: low_depth, DARK: dark, CONSTANT: constant, BANDS: bands, FRAMES: frames}
