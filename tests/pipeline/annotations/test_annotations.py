from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigurationError, DataError
from models.structures import UNLABELLED, Supervision
from pipeline.annotations import ANNOTATORS
from pipeline.annotations.build import annotate_catalogue, check_annotations
from pipeline.annotations.scribbles import longest_path
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from pipeline.datasets.ground_truth import GroundTruth, ImageTruth

SHARED = Path(os.environ.get("WEAK2MASK_SHARED", Path(__file__).parents[3].parent / "shared"))
VOC_MINI = SHARED / "data" / "voc_mini"
Beds = tuple[Catalogue, GroundTruth]


@pytest.fixture
def bed(tmp_path: Path) -> Beds:
    """Image "a", 20 x 30: cat at rows 2..8, columns 3..13 (two parts of its mask touch), dog at rows 12..18,
    columns 16..28, a void row 19. "b": only published tags, no mask."""
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[2:8, 3:13] = 1
    mask[12:18, 16:28] = 2
    mask[19] = 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    entries = {"a": CatalogueImage("a", "a.jpg", (20, 30)), "b": CatalogueImage("b", "b.jpg", (20, 30), tags=(2,))}
    catalogue = Catalogue("bed", ("cat", "dog"), {"train": ("a", "b")}, entries, root=str(tmp_path))
    GroundTruth.save(tmp_path / "truth", str(tmp_path), {"a": ImageTruth("a.png")})
    return catalogue, GroundTruth(catalogue, tmp_path / "truth")


def one(kind: str, bed: Beds, id: str = "a", **options: Any) -> Supervision:
    ((_, supervision),) = annotate_catalogue(kind, *bed, [id], options)
    return supervision


def test_tags_are_the_published_ones_or_else_those_of_the_mask(bed: Beds) -> None:
    assert one("tags", bed, "b").tags.tolist() == [False, True]
    assert one("tags", bed, "a").tags.tolist() == [True, True]
    assert (one("tags", bed).seeds == UNLABELLED).all()
    with pytest.raises(DataError, match="publishes no tags for 1 images"):
        one("tags", bed, "a", source="published")
    with pytest.raises(DataError, match="no ground-truth mask"):
        one("tags", bed, "b", source="masks")


def test_published_labels_open_no_ground_truth(bed: Beds, tmp_path: Path) -> None:
    (tmp_path / "truth" / "ground_truth.json").unlink()
    (tmp_path / "points.csv").write_text("image,class,x,y\nb.jpg,dog,4,5\n")
    assert one("tags", bed, "b").tags.any()
    assert one("points", bed, "b", file=str(tmp_path / "points.csv")).seeds[5, 4] == 2


def test_masks_keep_every_pixel(bed: Beds) -> None:
    supervision = one("masks", bed)
    np.testing.assert_array_equal(supervision.seeds, bed[1].mask("a"))
    assert supervision.tags.tolist() == [True, True]


def test_boxes_of_pieces(bed: Beds) -> None:
    supervision = one("boxes", bed)
    assert supervision.boxes is not None
    assert supervision.box_classes is not None
    assert supervision.boxes.tolist() == [[3, 2, 13, 8], [16, 12, 28, 18]]
    assert supervision.box_classes.tolist() == [1, 2]
    assert np.unique(supervision.seeds).tolist() == [0, UNLABELLED, 255]
    assert (supervision.seeds == UNLABELLED).sum() == 6 * 10 + 6 * 12
    assert supervision.seeds[19].tolist() == [255] * 30
    assert (one("boxes", bed, background=False).seeds == UNLABELLED).all()


def test_the_middle_of_a_box_may_be_labelled(bed: Beds) -> None:
    seeds = one("boxes", bed, core=0.5).seeds
    assert (seeds == 1).sum() == 3 * 5  # of 6 x 10
    assert (seeds[5, 6:10] == 1).all()
    assert (seeds == 2).sum() == 3 * 6  # of 6 x 12
    assert seeds[2, 3] == UNLABELLED
    with pytest.raises(ConfigurationError, match="core: expected a share"):
        one("boxes", bed, core=2.0)


def test_boxes_of_instances_that_touch(bed: Beds, tmp_path: Path) -> None:
    instances = np.zeros((20, 30), dtype=np.uint8)
    instances[2:8, 3:7], instances[2:8, 7:13] = 1, 2
    instances[0, :5] = 255
    Image.fromarray(instances).save(tmp_path / "instances.png")
    GroundTruth.save(tmp_path / "truth", str(tmp_path), {"a": ImageTruth("a.png", "instances.png")})
    boxes = one("boxes", bed).boxes
    assert boxes is not None
    assert boxes.tolist() == [[3, 2, 7, 8], [7, 2, 13, 8]]


def test_small_pieces_are_left_out_but_for_the_largest_of_a_class(bed: Beds) -> None:
    assert len(one("boxes", bed, min_area=70).box_classes) == 2  # type: ignore[arg-type]
    mask = np.array(Image.open(Path(bed[0].root) / "a.png"))
    mask[10:12, 1:3] = 1
    Image.fromarray(mask).save(Path(bed[0].root) / "a.png")
    assert len(one("boxes", bed, min_area=5).box_classes) == 2  # type: ignore[arg-type]
    assert len(one("boxes", bed, min_area=4).box_classes) == 3  # type: ignore[arg-type]


def test_points_lie_in_the_middle_of_their_objects(bed: Beds) -> None:
    seeds = one("points", bed, jitter=0.0).seeds
    for c, rows, columns in ((1, (4, 5), (5, 10)), (2, (14, 15), (18, 25))):
        ((row, column),) = np.argwhere(seeds == c)
        assert rows[0] <= row <= rows[1]
        assert columns[0] <= column <= columns[1]
    assert (seeds < UNLABELLED).sum() == 2


def test_points_in_number_and_size(bed: Beds) -> None:
    seeds = one("points", bed, per_object=3, background=4).seeds
    assert [(seeds == value).sum() for value in (0, 1, 2)] == [4, 3, 3]
    truth = bed[1].mask("a")
    assert (truth[seeds < UNLABELLED] == seeds[seeds < UNLABELLED]).all()
    assert (one("points", bed, radius=1).seeds == 1).sum() == 5


def test_scribbles_lie_on_their_objects(bed: Beds) -> None:
    supervision = one("scribbles", bed, margin=1, min_area=10)
    truth, marked = bed[1].mask("a"), supervision.seeds < UNLABELLED
    assert (truth[marked] == supervision.seeds[marked]).all()
    assert np.unique(supervision.seeds).tolist() == [0, 1, 2, UNLABELLED]
    assert 0.02 < marked.mean() < 0.5
    longer = one("scribbles", bed, margin=1, length=1.0).seeds < UNLABELLED
    assert longer.sum() > marked.sum()
    assert 0 not in one("scribbles", bed, background=False).seeds


def test_longest_path_takes_the_largest_part_and_skips_its_branches() -> None:
    skeleton = np.zeros((9, 20), dtype=bool)
    skeleton[1, 1:4] = True  # a small part, found first
    skeleton[5, 2:18] = True
    skeleton[6:8, 9] = True  # a branch
    path = longest_path(skeleton)
    assert sorted(map(tuple, path.tolist())) == [(5, column) for column in range(2, 18)]


@pytest.mark.parametrize("kind", ["points", "scribbles"])
def test_seeds_decide_and_the_order_of_the_images_does_not(kind: str, tmp_path: Path) -> None:
    options = {"train": 3, "val": 1, "min_size": 64, "max_size": 64}
    catalogue = make_catalogue("toy", tmp_path / "c", tmp_path / "g", options)
    truth, ids = GroundTruth(catalogue, tmp_path / "g"), catalogue.ids("train")
    forward = dict(annotate_catalogue(kind, catalogue, truth, ids, {}))
    backward = dict(annotate_catalogue(kind, catalogue, truth, ids[::-1], {}))
    other = dict(annotate_catalogue(kind, catalogue, truth, ids, {"seed": 1}))
    assert list(forward) == list(ids)
    assert all(forward[id].seeds.tobytes() == backward[id].seeds.tobytes() for id in ids)
    assert any(forward[id].seeds.tobytes() != other[id].seeds.tobytes() for id in ids)


def test_a_csv_of_boxes(bed: Beds, tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("image,class,x1,y1,x2,y2\na.jpg,dog,16,12,28,18.5\na,cat,-3,2,13,8\nb.jpg,background,,,,\n")
    supervision = one("boxes", bed, file=str(path))
    assert supervision.boxes is not None
    assert supervision.boxes.tolist() == [[16, 12, 28, 18.5], [0, 2, 13, 8]]
    empty = one("boxes", bed, "b", file=str(path))
    assert empty.boxes is not None
    assert empty.boxes.shape == (0, 4)
    assert (empty.seeds == 0).all()


def test_bad_boxes_are_reported_together_with_their_lines(bed: Beds, tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("image,class,x1,y1,x2,y2\na,dgo,1,1,2,2\nz.jpg,dog,1,1,2,2\na,dog,9,1,2,2\na,dog,1,one,2,2\n")
    with pytest.raises(DataError) as error:
        one("boxes", bed, file=str(path))
    message = str(error.value)
    assert "line 2: unknown class 'dgo'. Did you mean 'dog'" in message
    assert "line 3: expected an image of catalogue 'bed', found 'z.jpg'" in message
    assert "line 4: expected x1 < x2 and y1 < y2 in an image of 30 x 20" in message
    assert "line 5: expected a number of pixels as y1, found 'one'" in message


def test_voc_xml_boxes_count_from_one_and_difficult_objects_stay_open(bed: Beds, tmp_path: Path) -> None:
    def item(name: str, difficult: int, *corners: int) -> str:
        tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        box = "".join(f"<{key}>{value}</{key}>" for key, value in tags)
        return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"

    objects = item("cat", 0, 1, 1, 4, 3) + item("dog", 1, 11, 11, 12, 12) + item("sofa", 0, 21, 1, 22, 2)
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "a.xml").write_text(f"<annotation>{objects}</annotation>")
    supervision = one("boxes", bed, file=str(tmp_path / "xml"))
    assert supervision.boxes is not None
    assert supervision.boxes.tolist() == [[0, 0, 4, 3]]
    assert supervision.tags.tolist() == [True, False]
    assert (supervision.seeds == UNLABELLED).sum() == 12 + 4 + 4
    with pytest.raises(DataError, match="found none for 1 of them: b"):
        one("boxes", bed, "b", file=str(tmp_path / "xml"))


def test_what_s_the_point_json_in_the_data_set_s_own_numbers(bed: Beds, tmp_path: Path) -> None:
    def point(x: float, y: float, cls: int, rank: int) -> dict[str, float]:
        return {"x": x, "y": y, "cls": cls, "rank": rank}

    main = [point(4.9, 2.2, 12, 2), point(7, 8, 3, 1), point(29.9, 20.9, 8, 1), point(4, 2, 8, 3)]
    content = {"a": {"main": main, "supp": [point(10, 10, 12, 1)]}, "elsewhere": {"main": [], "supp": []}}
    (tmp_path / "points.json").write_text(json.dumps(content))
    catalogue = Catalogue("voc", ("cat", "dog"), {}, bed[0].entries, bed[0].root, mask_values=(8, 12))
    voc_bed = catalogue, GroundTruth(catalogue, tmp_path / "truth")
    seeds = one("points", voc_bed, file=str(tmp_path / "points.json")).seeds
    assert {tuple(at): int(seeds[tuple(at)]) for at in np.argwhere(seeds < UNLABELLED).tolist()} == {
        (2, 4): 2,
        (19, 29): 1,
    }
    seeds = one("points", voc_bed, file=str(tmp_path / "points.json"), supplementary=True).seeds
    assert seeds[10, 10] == 2
    content["a"]["main"] = [point(29.9, 20.5, 8, 1), point(4, 23, 8, 1), point(-3, 2, 12, 1)]
    (tmp_path / "points.json").write_text(json.dumps(content))
    (notice,) = check_annotations("points", catalogue, ["a"], {"file": str(tmp_path / "points.json")})
    assert (notice.topic, notice.count) == ("points_outside", 2)
    assert "('a', 30 x 20): x=4, y=23; " in notice.text
    assert "('a', 30 x 20): x=-3, y=2" in notice.text
    seeds = one("points", voc_bed, file=str(tmp_path / "points.json")).seeds
    assert np.argwhere(seeds < UNLABELLED).tolist() == [[19, 29]]
    (tmp_path / "points.json").write_text('{"a": [1, 2]}')
    with pytest.raises(DataError, match=r"points\.json: expected a JSON of points"):
        one("points", voc_bed, file=str(tmp_path / "points.json"))


def test_scribble_files(bed: Beds, tmp_path: Path) -> None:
    strokes = np.full((20, 30), 255, dtype=np.uint8)
    strokes[5, 4:9], strokes[15, :10], strokes[10, 10:12] = 2, 0, 7
    (tmp_path / "strokes").mkdir()
    Image.fromarray(strokes).save(tmp_path / "strokes" / "a.png")
    (notice,) = check_annotations("scribbles", bed[0], ["a"], {"file": str(tmp_path / "strokes")})
    assert (notice.topic, notice.count) == ("scribbles_of_no_class", 1)
    assert re.search(r"no class are void: 7, in 1 of 1 files, such as 7 in .*a\.png.*255 unlabelled", notice.text)
    supervision = one("scribbles", bed, file=str(tmp_path / "strokes"))
    values, counts = np.unique(supervision.seeds, return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {0: 10, 2: 5, UNLABELLED: 583, 255: 2}
    assert supervision.tags.tolist() == [False, True]
    with pytest.raises(DataError, match="scribble PNGs"):
        one("scribbles", bed, "b", file=str(tmp_path / "strokes"))
    Image.fromarray(strokes[:5]).save(tmp_path / "strokes" / "a.png")
    with pytest.raises(DataError, match=r"a\.png: expected values 0\.\.255 of size \(20, 30\)"):
        one("scribbles", bed, file=str(tmp_path / "strokes"))


def test_a_mixture_gives_each_image_one_kind(bed: Beds) -> None:
    entries = {f"i{k}": CatalogueImage(f"i{k}", "", (20, 30)) for k in range(40)}
    catalogue = Catalogue("bed", ("cat", "dog"), {}, entries, bed[0].root)
    folder = bed[1].folder.parent / "many"
    GroundTruth.save(folder, bed[0].root, {id: ImageTruth("a.png") for id in entries})
    parts = {"parts": {"boxes": 0.5, "masks": 0.5}}
    made = dict(annotate_catalogue("mixture", catalogue, GroundTruth(catalogue, folder), list(entries), parts))
    boxed = sum(supervision.boxes is not None for supervision in made.values())
    assert 10 <= boxed <= 30
    one_alone = one("mixture", (catalogue, GroundTruth(catalogue, folder)), "i7", **parts)
    assert (one_alone.boxes is None) == (made["i7"].boxes is None)
    with pytest.raises(ConfigurationError, match="add up to 1"):
        one("mixture", bed, parts={"boxes": 0.7})
    with pytest.raises(ConfigurationError, match="Did you mean 'boxes'"):
        one("mixture", bed, parts={"boxs": 1.0})


def test_an_unknown_kind_gets_the_closest(bed: Beds) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'points'"):
        one("point", bed)
    assert set(ANNOTATORS) == {"tags", "boxes", "points", "scribbles", "masks", "shapes", "mixture"}


@pytest.mark.skipif(not VOC_MINI.is_dir(), reason="no real VOC images here")
def test_real_points_fall_on_objects_of_their_class(tmp_path: Path) -> None:
    options = {"root": str(VOC_MINI), "splits": {"val": "val_six"}, "labels": str(VOC_MINI / "image_labels.json")}
    six = ["cat", "cow", "dog", "horse", "person", "sheep"]
    catalogue = make_catalogue("voc", tmp_path / "c", tmp_path / "g", {**options, "classes": six}, workers=2)
    truth, ids = GroundTruth(catalogue, tmp_path / "g"), catalogue.ids("val")[::4]
    file = {"file": str(VOC_MINI / "points_whatsthepoint.json")}
    right = wrong = 0
    for id, supervision in annotate_catalogue("points", catalogue, truth, ids, file):
        marked = supervision.seeds < UNLABELLED
        assert marked.any()
        mask = truth.mask(id)
        agree = (mask[marked] == supervision.seeds[marked]) | (mask[marked] == 255)
        right, wrong = right + agree.sum(), wrong + (~agree).sum()
    assert right > 0.95 * (right + wrong)


def test_without_ground_truth_nothing_is_derived(bed: Beds, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("image,class,x,y\na.jpg,dog,4,5\n")
    ((_, supervision),) = annotate_catalogue("points", bed[0], None, ["a"], {"file": str(tmp_path / "points.csv")})
    assert supervision.seeds[5, 4] == 2
    with pytest.raises(ConfigurationError, match="never the ground truth"):
        list(annotate_catalogue("points", bed[0], None, ["a"], {}))
