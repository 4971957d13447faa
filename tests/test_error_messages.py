"""What errors say to people, a test per family: file or key, value, what was expected, what to do.

Everywhere else tests ask for code and field, so that only this file reads prose. What readers say of data
that are not there, source and layout included, is in `data/readers/test_registry.py`.
"""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
from absl import flags

from imjax import cli
from imjax.config import protocols
from imjax.config.constraints import check
from imjax.config.convert import freeze
from imjax.data import image_io
from imjax.data.folder.tables import read_classes
from imjax.data.formats import conversion
from imjax.data.readers import suim
from imjax.errors import ErrorCode, UserError
from imjax.inference import load_run, predict_folder
from imjax.report.__main__ import expand_workdirs
from launch.executors import local


def message(function, *arguments) -> str:
    """What a call complains of."""
    with pytest.raises(UserError) as info:
        function(*arguments)
    return str(info.value)


def test_configuration_keys():
    values = protocols.get_named_config("demo").to_dict()
    values["data"]["height"] = 250
    assert message(check, freeze(values)) == (
        "config key 'data.height' is 250; expected a multiple of 16 (U-Net halves 4 times)"
    )
    values["trian"] = 1
    assert message(freeze, values) == "config key 'trian' is unknown: did you mean train or evalnet.train?"


def test_flags():
    values = flags.FlagValues()
    argv = ["imjax train", "--config=configs/demoo.py"]
    cli.define_config(flag_values=values, sys_argv=argv)
    assert message(values, argv) == "--config=configs/demoo.py: no such file; did you mean demo?"


def test_files_of_a_folder_of_ones_own(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("name,color\ncell,#ff0000\ncell,#00ff00\n")
    problems: list[UserError] = []
    read_classes(path, problems.append)
    assert [str(error) for error in problems] == [
        f"{path}: line 3: name 'cell' a second time; rename or remove one of the lines"
    ]


def test_readers(tmp_path):
    colors = np.full((4, 4, 3), (200, 128, 30), np.uint8)
    assert message(suim.decode, colors, tmp_path / "mask.bmp") == (
        f"{tmp_path / 'mask.bmp'}: color (R,G,B) (200, 128, 30) is no class (100% of the pixels have such "
        "colors); expected channels of 0 or 255, correct the mask or remove the pair"
    )


def test_images(tmp_path):
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), np.full((4, 4), 7, np.uint8))
    assert message(image_io.read_binary, path) == (
        f"{path}: value 7 is no class; expected 0 (background) or 255 (foreground), correct the mask or "
        "remove the pair"
    )


def test_folders_of_runs(tmp_path):
    path = tmp_path / "config.json"
    assert message(load_run.read_record, path) == (
        f"{path}: No such file or directory; expected the folder of a run of imjax.main"
    )


def test_predict(tmp_path):
    assert message(predict_folder.check_folders, tmp_path, tmp_path / "out") == (
        f"--out={tmp_path / 'out'}: lies inside --images={tmp_path}; expected a folder outside of it"
    )


def test_annotations_of_label_tools(tmp_path):
    assert message(conversion.read_annotations, tmp_path, None, "auto") == (
        f"FROM={tmp_path}: no annotations found; expected masks, SegmentationClass (CVAT, VOC), JSON of "
        "COCO, labelme, Label Studio or QuPath, or masks beside the images (a.tif, a_cp_masks.tif)"
    )


def test_sweeps():
    assert message(local.run_sweep, [], -1) == (
        "--jobs=-1: expected 0 or more; without the flag it is one run per GPU"
    )


def test_report():
    assert message(expand_workdirs, ["x*"]) == (
        "--workdir=x*: no folder of a run (with a config.json) matches this pattern"
    )


def test_an_error_comes_back_whole_from_another_process():
    error = pickle.loads(pickle.dumps(UserError("x: y", code=ErrorCode.IN_USE, field="--workdir")))
    assert (str(error), error.code, error.field) == ("x: y", ErrorCode.IN_USE, "--workdir")
