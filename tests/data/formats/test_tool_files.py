"""Files as the label tools themselves write them, made by hand after their documentation, and broken ones."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from annotated_folders import SIZE, convert, outlines, planes, png, write_images
from PIL import Image, ImageDraw
from tifffile import imread, imwrite
from user_errors import raises_user_error

from imjax.data.folder import labelme as shapes_of_folders
from imjax.data.folder.reader import Folder
from imjax.data.formats import coco as coco_format
from imjax.data.formats import label_studio
from imjax.data.formats import labelme as labelme_format
from imjax.data.formats.annotations import AnnotatedImage
from imjax.errors import ErrorCode


def box(top, left, bottom, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "pictures", "a", "b")
    return tmp_path / "pictures"


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def back(source, images, tmp_path, **how):
    convert(source, tmp_path / "back", images=images, **how)
    return planes(tmp_path / "back", "a")


def labelme(*shapes, **facts):
    return {
        "version": "5.5.0", "flags": {}, "shapes": [*shapes], "imagePath": "..\\pictures\\a.png",
        "imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1],
    } | facts  # fmt: skip


def shape(label, points, kind="polygon", **facts):
    return {
        "label": label, "points": points, "group_id": None, "description": "", "shape_type": kind,
        "flags": {}, "mask": None,
    } | facts  # fmt: skip


def test_labelme(images, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.array([[255, 0], [255, 255]], np.uint8)).convert("1").save(buffer, "PNG")
    mask = base64.b64encode(buffer.getvalue()).decode()
    save(
        tmp_path / "tool" / "a.json",
        labelme(
            shape("cell", [[0, 0], [4, 0], [4, 3], [0, 3]], group_id=1),
            shape("cell", [[8.0, 8.0], [9.0, 9.0]], "rectangle", group_id=1),
            shape("debris", [[13.0, 2.0], [14.0, 3.0]], "mask", mask=mask),
            shape("_background_", [[1, 1], [2, 1], [2, 2], [1, 2]]),
            shape("__ignore__", [[0, 11], [16, 11], [16, 11]]),
        ),
    )
    found = back(tmp_path / "tool", images, tmp_path)
    np.testing.assert_array_equal(found["cell"], box(0, 0, 4, 5) & ~box(1, 1, 3, 3) | box(8, 8, 10, 10))
    # The reader of folders reads it, too, and paints the same.
    debris = box(2, 13, 4, 15)
    debris[2, 14] = False
    np.testing.assert_array_equal(found["debris"], debris)
    np.testing.assert_array_equal(found["void"], box(11, 0, 12, 17))
    assert len(outlines(imread(tmp_path / "back" / "instances" / "a.tif"))) == 2
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.json").write_bytes((tmp_path / "tool" / "a.json").read_bytes())
    images.rename(tmp_path / "images")
    reader = Folder()
    (sample,) = (s for part in reader.scan(tmp_path).values() for s in part if s.mask)
    label = reader.load(sample)[1]
    assert reader.spec.classes[1:] == ("background", "cell", "debris")
    np.testing.assert_array_equal(label == 3, debris)
    np.testing.assert_array_equal(label == 2, found["cell"])


def coco(*annotations, name="a.png", height=SIZE[0]):
    return {
        "info": {"year": 2026, "version": "1.0"},
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "images": [{"id": 7, "file_name": name, "width": SIZE[1], "height": height, "date_captured": 0}],
        "categories": [{"id": 3, "name": "cell", "supercategory": ""}, {"id": 9, "name": "debris"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 3, "iscrowd": 0, "bbox": [0, 0, 1, 1], "area": 1} | each
            for i, each in enumerate(annotations, 1)
        ],
    }


def test_coco_polygons_and_codes(images, tmp_path):
    # Columns first: 24 pixels of nothing, then 4 of 12 in each of two columns, and the rest.
    counts = [24, 4, 8, 4, 12 * 17 - 40]
    content = coco(
        {"segmentation": [[0, 0, 5.0, 0, 5, 2, 0, 2], [0, 6, 2, 6, 2, 8, 0, 8]]},
        {"segmentation": {"size": [*SIZE], "counts": counts}, "iscrowd": 1, "category_id": 9},
        name="deep/a.png",
    )
    path = save(tmp_path / "instances_default.json", content)
    with raises_user_error(ErrorCode.CONFLICT, path.name):
        # Columns 2 and 3 of the first four rows are of both.
        back(path, images, tmp_path)
    found = back(path, images, tmp_path / "x", kind="multiclass")
    np.testing.assert_array_equal(found["debris"], box(0, 2, 4, 4))
    cell = (box(0, 0, 2, 5) | box(6, 0, 8, 2)) & ~box(0, 2, 4, 4)
    np.testing.assert_array_equal(found["cell"], cell)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (coco({}), ErrorCode.UNSUPPORTED),
        (coco({"segmentation": [[1, 2, 3]]}), ErrorCode.MALFORMED),
        (coco({"segmentation": [[1, 2, 3, "x", 5, 6]]}), ErrorCode.MALFORMED),
        (coco({"segmentation": [[1, 2, 3, 4, 5, 1e99]]}), ErrorCode.MALFORMED),
        (coco({"segmentation": {"size": [*SIZE], "counts": [3, 4]}}), ErrorCode.MALFORMED),
        (coco({"segmentation": {"size": [*SIZE], "counts": "oooo"}}), ErrorCode.MALFORMED),
        (coco({"segmentation": {"size": [*SIZE], "counts": "PP0O"}}), ErrorCode.MALFORMED),
        (coco({"segmentation": {"size": [4, 4], "counts": [16]}}), ErrorCode.CONFLICT),
        (coco({"segmentation": [[0, 0, 5, 0, 5, 2]], "category_id": 4}), ErrorCode.UNKNOWN),
        (coco({"segmentation": [[0, 0, 5, 0, 5, 2]], "image_id": 4}), ErrorCode.UNKNOWN),
        (coco(name="../a.png"), ErrorCode.MALFORMED),
        (coco(name="/etc/a.png"), ErrorCode.MALFORMED),
        (coco(name="C:\\a.png"), ErrorCode.MALFORMED),
        (coco(name="z.png"), ErrorCode.MISSING),
        (coco(height=9), ErrorCode.CONFLICT),
        (coco() | {"categories": [{"id": 1}]}, ErrorCode.MALFORMED),
        (coco() | {"categories": []}, ErrorCode.OUT_OF_RANGE),
        (coco() | {"images": [3]}, ErrorCode.MALFORMED),
        (labelme(shape("cell", [[0, 0], [1, 1]], "line")), ErrorCode.UNSUPPORTED),
        (labelme(shape("cell", [[0, 0], [1, 1]], "mask", mask="no")), ErrorCode.MALFORMED),
        (labelme(shape("inconsistent", [[0, 0], [3, 1], [1, 3]])), ErrorCode.MALFORMED),
        (labelme(shape("cell", [[0, 0], [3, 1], [1, 3]]), imageHeight=2), ErrorCode.CONFLICT),
        ({"name": "no format"}, ErrorCode.UNSUPPORTED),
        ([], ErrorCode.UNSUPPORTED),
    ],
)
def test_wrong_files_are_named(content, code, images, tmp_path):
    path = save(tmp_path / "a.json", content)
    with raises_user_error(code, path.name):
        back(path, images, tmp_path)


def result(kind, **value):
    return {
        "id": "x1", "type": kind, "from_name": "label", "to_name": "image", "origin": "manual",
        "original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0, "value": value,
    }  # fmt: skip


def task(*results, image="/data/upload/2/4425adf9-a.png", **facts):
    annotation = {"id": 5, "completed_by": 1, "was_cancelled": False, "result": [*results]}
    return {"id": 4, "data": {"image": image, "note": "x"}, "annotations": [annotation], "project": 2} | facts


def test_label_studio(images, tmp_path):
    # Red brush, transparent elsewhere: four values per pixel.
    brush = np.zeros((*SIZE, 4), np.uint8)
    brush[0:3, 0:4] = (255, 0, 0, 127)
    x, y = 100 / SIZE[1], 100 / SIZE[0]
    tasks = [
        task(
            result(
                "brushlabels", format="rle", rle=label_studio.encode_brush(brush.ravel()),
                brushlabels=["cell"],
            ),
            result(
                "polygonlabels",
                points=[[6 * x, 2 * y], [9 * x, 2 * y], [9 * x, 5 * y], [6 * x, 5 * y]],
                closed=True,
                polygonlabels=["debris"],
            ),
            result(
                "rectanglelabels", x=12 * x, y=0, width=2 * x, height=3 * y, rotation=0,
                rectanglelabels=["cell"],
            ),
            # A quarter turn around its upper left corner: to the left of it, and down.
            result(
                "rectanglelabels", x=5 * x, y=7 * y, width=3 * x, height=2 * y, rotation=90,
                rectanglelabels=["debris"],
            ),
            result(
                "ellipselabels", x=12 * x, y=8 * y, radiusX=2.2 * x, radiusY=1.2 * y, rotation=0,
                ellipselabels=["cell"],
            ),
            {"type": "choices", "value": {"choices": ["good"]}},
        ),
        task(image="s3://bucket/deep/b.png", annotations=[]),
    ]  # fmt: skip
    found = back(save(tmp_path / "project-4.json", tasks), images, tmp_path)
    ellipse = box(7, 10, 9, 14)
    np.testing.assert_array_equal(found["cell"], box(0, 0, 3, 4) | box(0, 12, 3, 14) | ellipse)
    np.testing.assert_array_equal(found["debris"], box(2, 6, 5, 9) | box(7, 3, 10, 5))
    assert not (tmp_path / "back" / "masks" / "b.png").exists()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (task(result("brushlabels", format="rle", rle=[1, 2], brushlabels=["cell"])), ErrorCode.MALFORMED),
        (task(result("brushlabels", format="rle", rle=[300], brushlabels=["cell"])), ErrorCode.MALFORMED),
        (task(result("polygonlabels", points=[[1, 2]], polygonlabels=["cell"])), ErrorCode.MALFORMED),
        (task(result("rectanglelabels", rectanglelabels=["a", "b"])), ErrorCode.MALFORMED),
        (task(result("keypointlabels", x=1, y=1, keypointlabels=["a"])), ErrorCode.UNSUPPORTED),
        (task() | {"annotations": [{"result": []}] * 2}, ErrorCode.CONFLICT),
        (task(image="/data/../../a.png"), ErrorCode.MALFORMED),
        (task(image="nothing"), ErrorCode.MISSING),
        (task() | {"annotations": [{}]}, ErrorCode.MALFORMED),
    ],
)
def test_wrong_tasks_are_named(wrong, code, images, tmp_path):
    with raises_user_error(code, "project.json"):
        back(save(tmp_path / "project.json", [wrong]), images, tmp_path)


def feature(kind, coordinates, **properties):
    return {
        "type": "Feature", "id": "6ee6b2d5-8b5a-4e0c-a8b1-4b1b36e1f1a3",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation"} | properties,
    }  # fmt: skip


def ring(top, left, bottom, right):
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def test_qupath(images, tmp_path):
    features = [
        feature("Polygon", [ring(1, 1, 6, 6), ring(2, 2, 4, 4)],
                classification={"name": "Tumor", "color": [200, 0, 0]}),
        feature("MultiPolygon", [[ring(0, 8, 2, 10)], [ring(5, 8, 7, 10)]],
                classification={"name": "Stroma", "colorRGB": -6895466}, isLocked=True),
    ]  # fmt: skip
    save(tmp_path / "tool" / "a.geojson", {"type": "FeatureCollection", "features": features})
    found = back(tmp_path / "tool", images, tmp_path)
    np.testing.assert_array_equal(found["Tumor"], box(1, 1, 6, 6) & ~box(2, 2, 4, 4))
    np.testing.assert_array_equal(found["Stroma"], box(0, 8, 2, 10) | box(5, 8, 7, 10))
    rows = (tmp_path / "back" / "classes.csv").read_text().splitlines()
    # -6895466 is 0x96c896 with the sign of its highest byte.
    assert rows == ["name,id,color", "background,0,#464646", "Stroma,1,#96c896", "Tumor,2,#c80000"]
    # An older export is a list. A class that only some have is missing of the others.
    plain = feature("Polygon", [ring(0, 0, 3, 3)])
    save(tmp_path / "old" / "a.json", [plain])
    np.testing.assert_array_equal(back(tmp_path / "old", images, tmp_path / "x")["object"], box(0, 0, 3, 3))
    for wrong, code in (
        ([plain, features[0]], ErrorCode.MISSING),
        ([feature("Point", [1, 2])], ErrorCode.UNSUPPORTED),
        ([feature("Polygon", [[[1, 2]]])], ErrorCode.MALFORMED),
        ([feature("Polygon", None)], ErrorCode.MALFORMED),
    ):
        with raises_user_error(code, "a.geojson"):
            back(save(tmp_path / "wrong" / "a.geojson", wrong), images, tmp_path / "y")


def test_cvat_masks(images, tmp_path):
    tool = tmp_path / "tool"
    lines = (
        "# label:color_rgb:parts:actions",
        "background:0,0,0::",
        "cell:250,50,83::",
        "debris:51,221,255::",
    )
    tool.mkdir()
    (tool / "labelmap.txt").write_text("\n".join((*lines, "")))
    (tool / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tool / "ImageSets" / "Segmentation" / "default.txt").write_text("a\n")
    classes, objects = np.zeros((*SIZE, 3), np.uint8), np.zeros((*SIZE, 3), np.uint8)
    for mask, color, number in (
        (box(0, 0, 4, 4), (250, 50, 83), (128, 0, 0)),
        (box(0, 4, 4, 8), (250, 50, 83), (0, 128, 0)),
        (box(6, 0, 8, 4), (51, 221, 255), (128, 128, 0)),
    ):
        classes[mask], objects[mask] = color[::-1], number[::-1]
    png(tool / "SegmentationClass" / "a.png", classes)
    png(tool / "SegmentationObject" / "a.png", objects)
    found = back(tool, images, tmp_path)
    np.testing.assert_array_equal(found["cell"], box(0, 0, 4, 8))
    np.testing.assert_array_equal(found["debris"], box(6, 0, 8, 4))
    assert len(outlines(imread(tmp_path / "back" / "instances" / "a.tif"))) == 3
    # A mask of one channel has the numbers of the lines.
    png(tool / "SegmentationClass" / "a.png", box(0, 0, 4, 8) + 2 * box(6, 0, 8, 4).astype(np.uint8))
    again = back(tool, images, tmp_path / "gray")
    assert all((again[name] == found[name]).all() for name in found)
    classes[0, 0] = 7
    png(tool / "SegmentationClass" / "a.png", classes)
    with raises_user_error(ErrorCode.OUT_OF_RANGE, "SegmentationClass/a.png"):
        back(tool, images, tmp_path / "x")
    (tool / "labelmap.txt").write_text("cell:1,2::\n")
    with raises_user_error(ErrorCode.MALFORMED, "labelmap.txt"):
        back(tool, images, tmp_path / "x")


@pytest.mark.parametrize("table", [None, "__ignore__\n_background_\naeroplane\nbicycle\n"])
def test_voc_palettes(table, images, tmp_path):
    tool = tmp_path / "tool"
    (tool / "SegmentationClass").mkdir(parents=True)
    indices = np.zeros(SIZE, np.uint8)
    indices[2:5, 2:5], indices[7:9, 2:9], indices[0] = 1, 2, 255
    image = Image.fromarray(indices)
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *[9] * (252 * 3), 224, 224, 192])
    image.save(tool / "SegmentationClass" / "a.png")
    if table:
        (tool / "class_names.txt").write_text(table)
    found = back(tool, images, tmp_path)
    np.testing.assert_array_equal(found["aeroplane"], box(2, 2, 5, 5))
    np.testing.assert_array_equal(found["bicycle"], box(7, 2, 9, 9))
    np.testing.assert_array_equal(found["void"], box(0, 0, 1, 17))
    png(tool / "SegmentationClass" / "b.png", np.full((*SIZE, 3), (1, 2, 3), np.uint8))
    with raises_user_error(ErrorCode.MISSING, "SegmentationClass/b.png"):
        back(tool, images, tmp_path / "x")


def test_shapes_are_drawn_as_on_the_whole_image():
    """Each on a canvas of its own, as labelme's converters and pycocotools draw it on the whole image."""
    draw = np.random.default_rng(2)
    coder = coco_format.load_coder()
    for i in range(120):
        points = (draw.random((4, 2)) * (SIZE[1] + 8, SIZE[0] + 8) - 4).round(int(i % 3))
        kind = ("polygon", "rectangle", "circle")[i // 3 % 3]
        corners = tuple(map(tuple, (points if kind == "polygon" else points[:2]).tolist()))
        one = shapes_of_folders.Shape("cell", kind, corners)
        canvas = Image.new("L", SIZE[::-1], 0)
        shapes_of_folders.draw_shape(ImageDraw.Draw(canvas), one, 1)
        drawn = labelme_format._draw_region("cell", [one], SIZE)
        np.testing.assert_array_equal(on_image(drawn), np.asarray(canvas) == 1, err_msg=str(one))
        codes = coder.frPyObjects([points.ravel().tolist()], *SIZE)
        image = AnnotatedImage(Path("a.png"), SIZE, (), Path("a.json"))
        annotation = {"segmentation": [points.ravel().tolist()], "category_id": 1}
        read = coco_format._read_region(Path("a.json"), annotation, {1: "cell"}, image)
        np.testing.assert_array_equal(on_image(read), coder.decode(coder.merge(codes)), err_msg=str(points))


def on_image(region):
    mask = np.zeros(SIZE, bool)
    if region:
        mask[region.box] = region.mask
    return mask


@pytest.mark.parametrize(("image", "ending"), [("a", "_cp_masks"), ("a_img", "_masks")])
def test_masks_beside_the_images_as_cellpose_saves_them(image, ending, tmp_path):
    beside, draw = tmp_path / "beside", np.random.default_rng(0)
    objects = np.zeros(SIZE, np.uint16)
    objects[1:5, 1:5], objects[1:5, 5:9], objects[7:9, 3:12] = 1, 2, 3
    beside.mkdir()
    for name in (image, image.replace("a", "b"), f"{image}_flows"):
        imwrite(beside / f"{name}.tif", draw.integers(0, 256, SIZE, np.uint8))
    imwrite(beside / f"a{ending}.tif", objects)
    (beside / f"{image}_seg.npy").write_bytes(b"")
    convert(beside, tmp_path / "mine", kind="binary")
    assert sorted(path.stem for path in (tmp_path / "mine" / "images").iterdir()) == [
        image,
        image.replace("a", "b"),
    ]
    # The objects that touch stay apart.
    assert len(np.unique(imread(tmp_path / "mine" / "instances" / f"{image}.tif"))) == 4
    assert (planes(tmp_path / "mine", image)["foreground"] == (objects > 0)).all()
