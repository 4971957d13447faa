from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imjax import rng
from imjax.data.duplicates import TOLERANCE, group_scenes, merge_groups
from imjax.data.synthetic.scenes import draw_scene


def picture(i: int) -> np.ndarray:
    image, _ = draw_scene(rng.numpy(0, "groups", i), (64, 64))
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def turned(image: np.ndarray) -> list[np.ndarray]:
    return [np.rot90(x, k) for x in (image, image[:, ::-1]) for k in range(4)]


def written(folder, images, quality=92):
    paths = [folder / f"{i:03d}.jpg" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return paths


def test_joined_by_hand():
    # 4-2, 2-0 and 5-4 make {0, 2, 4, 5}; 1 and 3 stay alone; 6-7 is a group of its own.
    assert merge_groups(8, [(4, 2), (6, 7), (2, 0), (5, 4)]) == [0, 1, 0, 3, 0, 0, 6, 6]
    assert merge_groups(0, []) == [] and merge_groups(2, []) == [0, 1]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=15))
def test_joined_is_reachability(pairs):
    reach = np.eye(10, dtype=bool)
    for a, b in pairs:
        reach[a, b] = reach[b, a] = True
    for _ in range(4):
        reach = reach.astype(int) @ reach > 0
    assert merge_groups(10, pairs) == reach.argmax(axis=1).tolist()


def test_all_eight_copies_of_each_scene_are_found(tmp_path):
    # Each copy is compressed for itself, as the original's are.
    images = [copy for i in range(6) for copy in turned(picture(i))]
    assert group_scenes(written(tmp_path, images)) == [8 * (i // 8) for i in range(48)]


def test_other_scenes_of_the_same_brightness_stay_apart(tmp_path):
    # Equal means, so that only the arrangement of the pixels tells them apart.
    image = picture(0)
    shuffled = rng.numpy(0, "groups/shuffled").permutation(image.ravel()).reshape(image.shape)
    halves = np.concatenate([image[32:], image[:32]])
    assert group_scenes(written(tmp_path, [image, shuffled, halves, image[::-1]])) == [0, 1, 2, 0]


@pytest.mark.parametrize(("shift", "groups"), [(TOLERANCE - 0.3, [0, 0]), (TOLERANCE + 0.3, [0, 1])])
def test_tolerance_is_in_gray_levels(tmp_path, shift, groups):
    # Each mean is over ten rows; n of them one level brighter raise it by n tenths.
    flat = np.full((100, 100), 100.0)
    brighter = flat + np.floor(shift) + (np.indices(flat.shape)[0] % 10 < round(10 * (shift % 1)))
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, image in zip(paths, (flat, brighter), strict=True):
        cv2.imwrite(str(path), image.astype(np.uint8))
    assert group_scenes(paths) == groups


def test_nothing_to_compare(tmp_path):
    assert group_scenes([]) == [] and group_scenes(written(tmp_path, [picture(0)])) == [0]
