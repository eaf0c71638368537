"""The files of a VOC folder: each folder is listed once, and images and masks may be of several formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import ConfigurationError, DataError, closest
from pipeline.datasets.image_formats import SUFFIXES
from pipeline.problems.notices import Notice, first_of

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
LISTS = ("Segmentation", "Main")


def devkit(root: Path) -> Path:
    """The folder with JPEGImages and ImageSets, at ``root`` or below.

    Raises:
        DataError: there is none, or several.
    """
    folder = find_devkit(root)
    if folder is None:
        raise DataError(
            f"{root}: expected a VOC folder (JPEGImages/, ImageSets/Segmentation/) here or below VOCdevkit/VOC2012, "
            "found none. Point `root` to it, or set `download: true` where there is internet."
        )
    return folder


def find_devkit(root: Path) -> Path | None:
    """The same, or None where there is none.

    Raises:
        DataError: there are several.
    """
    named = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012", root / "VOCdevkit")
    devkit_folder = next((folder for folder in named if _is_devkit(folder)), None)
    if devkit_folder is not None:
        return devkit_folder
    others = [
        folder for base in (root, root / "VOCdevkit") for folder in sorted(base.glob("VOC*")) if _is_devkit(folder)
    ]
    if len(others) > 1:
        raise DataError(
            f"{root}: expected one VOC folder, found {first_of(list(map(str, others)))}. Point `root` to one."
        )
    return others[0] if others else None


def _is_devkit(folder: Path) -> bool:
    return (folder / "JPEGImages").is_dir() and (folder / "ImageSets").is_dir()


@dataclass(frozen=True)
class VocFiles:
    """Names of files by id, in the folders of images, masks and instances."""

    folder: Path
    masks: str | None
    image_names: dict[str, str]
    mask_names: dict[str, str]
    instance_names: dict[str, str]

    @classmethod
    def find(cls, folder: Path, masks: str | None) -> VocFiles:
        """List the folders.

        Raises:
            ConfigurationError: no such folder of masks.
        """
        if masks is not None and not (folder / masks).is_dir():
            there = [path.name for path in folder.iterdir() if path.is_dir()]
            raise ConfigurationError(
                f"voc: {folder} has no mask folder '{masks}'.{closest(masks, there)} "
                "Set `masks` to its name, or to null for a data set without masks."
            )
        return cls(
            folder,
            masks,
            _by_stem(folder / "JPEGImages", SUFFIXES),
            {} if masks is None else _by_stem(folder / masks, MASK_SUFFIXES),
            _by_stem(folder / "SegmentationObject", MASK_SUFFIXES),
        )

    def image(self, id: str) -> str:
        """Path of an image below the folder; VOC's own name where there is none."""
        return f"JPEGImages/{self.image_names.get(id, f'{id}.jpg')}"

    def mask(self, id: str) -> str | None:
        """Path of its mask; VOC's own name where there is none, None in a data set without masks."""
        return None if self.masks is None else f"{self.masks}/{self.mask_names.get(id, f'{id}.png')}"

    def instances(self, id: str) -> str | None:
        """Path of its instances, where it has any."""
        name = self.instance_names.get(id)
        return None if name is None else f"SegmentationObject/{name}"

    def ids(self, list_name: str) -> list[tuple[str, str]]:
        """(id, "list line n") of a list of ImageSets, or of a .txt relative to the project root.

        Lists with two paths a line (DeepLab's) are understood, and ids with blanks.

        Raises:
            ConfigurationError: no such list.
        """
        path = self.list_path(list_name)
        if not path.is_file():
            raise self._no_list(list_name)
        lines = enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1)
        return [(self._id(line), f"{path} line {number}") for number, line in lines if line.strip()]

    def list_path(self, list_name: str) -> Path:
        """Where a list should be: Main is VOC's folder for boxes, which those without masks have alone."""
        if list_name.endswith(".txt"):
            return Path(list_name)
        folders = [self.folder / "ImageSets" / name for name in LISTS]
        return next((path for path in folders if any(path.glob("*.txt"))), folders[0]) / f"{list_name}.txt"

    def _no_list(self, name: str) -> ConfigurationError:
        if name.endswith(".txt"):
            return ConfigurationError(f"voc: {name}: expected a list with one id a line, found no such file.")
        lists = self.list_path(name).parent
        known = sorted(path.stem for path in lists.glob("*.txt"))
        if not known:
            return ConfigurationError(
                f"voc: {lists}: expected a list '{name}.txt' with one id a line, found no list. Write one for "
                "each split."
            )
        remedy = f" Set `splits` to the lists that there are, such as `splits: {{train: {known[0]}}}`."
        return ConfigurationError(f"voc: {lists} has no list '{name}'.{closest(name, known)}{remedy}")

    def _id(self, line: str) -> str:
        whole = line.strip().strip('"')
        if whole in self.image_names:
            return whole
        word = line.split()[0]
        return Path(word).stem if word.lower().endswith(SUFFIXES) else word

    def notices(self) -> Iterator[Notice]:
        """Masks of no image. Images that no list names are usual."""
        strays = sorted(set(self.mask_names) - set(self.image_names))
        if strays:
            alike = closest(strays[0], self.image_names).partition(" Valid:")[0].partition(" Alike:")[0]
            place, first = self.folder / str(self.masks), first_of([self.mask_names[id] for id in strays])
            text = (
                f"{len(strays)} of {len(self.mask_names)} files in {place} belong to no image of JPEGImages ({first}) "
                f"and are not used.{alike} A mask bears the name of its image, but for the suffix."
            )
            yield Notice("masks_without_image", len(strays), text)


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, str]:
    """File names by stem; of several with one stem that whose suffix comes first."""
    if not folder.is_dir():
        return {}
    by_stem: dict[str, str] = {}
    names = [path.name for path in folder.iterdir() if path.suffix.lower() in suffixes and path.name[0] != "."]
    for name in sorted(names, key=lambda name: (suffixes.index(Path(name).suffix.lower()), name)):
        by_stem.setdefault(Path(name).stem, name)
    return by_stem
