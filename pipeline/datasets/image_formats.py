"""What a file is by its first bytes, for messages about files that are no images of a kind that is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".heic", ".heif", ".avif")
"""Files that folders of images are searched for."""
RAW_SUFFIXES = (".cr2", ".cr3", ".nef", ".nrw", ".arw", ".sr2", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw")
"""Camera raw: many are TIFF files whose first picture is a small preview."""
HEADER = 1024
"""Bytes at the beginning that are looked at."""

AS_JPEG = "Export it as JPEG or PNG"
HEIC = "a HEIC photo"
HEIC_REMEDY = "Install the extra that reads it (pip install 'weak2mask[heic]'), or export it as JPEG"
RAW = f"a camera's raw file. {AS_JPEG}, at full size"
VIDEO = "a video. Take still images from it, as with `ffmpeg -i VIDEO -vf fps=1 frame_%04d.png`"
DICOM = "a DICOM file. Write its window as an 8-bit PNG, as with `dcm2pnm +on +Wm IN.dcm OUT.png` (DCMTK)"
ARRAY = "an array of NumPy. Save it as an image, as with PIL.Image.fromarray(array).save('NAME.png') for uint8"
PAGES = f"a document of vectors or pages and not of pixels. {AS_JPEG}"

_STARTS = (
    (b"version https://git-lfs", "a pointer of Git LFS in place of the file. Fetch the files: git lfs pull"),
    (b"%PDF", f"PDF, {PAGES}"),
    (b"%!PS", f"PostScript, {PAGES}"),
    (b"\x93NUMPY", ARRAY),
    (b"\x89HDF", "an HDF5 file. Save its images as PNG"),
    (b"MATLAB 5.0", "a .mat file of MATLAB. Save its images as PNG"),
    (b"SIMPLE  =", "a FITS file. Scale it to 8 bits and save it as PNG"),
    (b"\x76\x2f\x31\x01", f"an OpenEXR file. {AS_JPEG}"),
    (b"8BPS", f"a Photoshop file. {AS_JPEG}"),
    (b"gimp xcf", f"a GIMP file. {AS_JPEG}"),
    (b"\xff\x0a", f"a JPEG XL image. {AS_JPEG}"),
    (b"\x00\x00\x00\x0cJXL ", f"a JPEG XL image. {AS_JPEG}"),
    (b"II\xbc\x01", f"a JPEG XR image. {AS_JPEG}"),
    (b"\x00\x00\x01\x00", f"an icon (ICO). {AS_JPEG}"),
    (b"\x1a\x45\xdf\xa3", VIDEO),
    (b"\x00\x00\x01\xba", VIDEO),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"IIU\x00", RAW),
    (b"\x00\x05\x16\x07", "a side file of macOS and not the image. Delete them all: find . -name '._*' -delete"),
    (b"PK\x03\x04", "an archive (zip). Unpack it"),
    (b"\x1f\x8b", "a compressed file (gzip). Unpack it"),
    (b"Rar!", "an archive (rar). Unpack it"),
    (b"7z\xbc\xaf", "an archive (7z). Unpack it"),
    (b"{", "JSON text"),
)
_BRANDS = (
    ((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), f"{HEIC}. {HEIC_REMEDY}"),
    ((b"avif", b"avis"), f"an AVIF image that is damaged or of an unknown kind. {AS_JPEG}"),
    ((b"crx ",), RAW),
)
"""Of files in ISO's container, which bear their kind from the fifth byte on; others of them are videos."""
_MARKUP = ((b"<svg", f"SVG, {PAGES}"), (b"<html", "a web page (a download that failed?)"), (b"<", "markup (XML)"))


def is_heic(start: bytes) -> bool:
    """Whether a file that begins so is HEIC or HEIF."""
    return start[4:8] == b"ftyp" and start[8:12] in _BRANDS[0][0]


def is_raw(path: Path) -> bool:
    """Whether the name is that of a camera's raw file."""
    return path.suffix.lower() in RAW_SUFFIXES


def what_is(path: Path, start: bytes) -> str:
    """What a file that is no image is, with a remedy; a phrase for "found ..."."""
    if not start.strip(b"\x00"):
        return "a file of zero bytes alone (a copy that broke off, or a placeholder of a cloud folder)"
    if start[8:10] == b"CR" and start[:4] == b"II*\x00":
        return RAW
    for beginning, name in _STARTS:
        if start.startswith(beginning):
            return name
    if start[4:8] == b"ftyp":
        return next((name for brands, name in _BRANDS if start[8:12] in brands), VIDEO)
    if start[:4] == b"RIFF" and start[8:11] == b"AVI":
        return VIDEO
    if start[128:132] == b"DICM":
        return DICOM
    if start[344:348] in (b"n+1\x00", b"ni1\x00"):
        return "a NIfTI volume. Save its slices as PNG"
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith(b"<"):
        return next(name for mark, name in _MARKUP if mark in text)
    return f"a file that is no image{_suffix_remedy(path)}"


def _suffix_remedy(path: Path) -> str:
    """For kinds whose bytes do not tell."""
    return f", by its name {RAW}" if is_raw(path) else ""


def by_suffix(paths: Iterable[Path]) -> str:
    """Files counted by suffix, most frequent first: ``3 .txt, 1 .mp4``."""
    counts = Counter(path.suffix.lower() or "without suffix" for path in paths)
    return ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
