"""Surface distances: numbers worked by hand, a slow twin, and MedPy's."""

import numpy as np
import pytest

from imjax.evaluation.surface_distance import measure_distances


def voxels(*places, shape=(6, 7, 8)):
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def test_two_voxels():
    # 3 rows and 4 columns apart.
    found = measure_distances(truth=voxels((1, 1, 2)), prediction=voxels((4, 5, 2)))
    assert found == pytest.approx((5, 5))
    same = voxels((1, 1, 2), (3, 3, 3))
    assert measure_distances(truth=same, prediction=same) == (0, 0)


@pytest.mark.parametrize(("shift", "hd95", "assd"), [(1, 1, 20 / 56), (3, 3, 84 / 56), (5, 5, 196 / 56)])
def test_shifted_cubes(shift, hd95, assd):
    # Cubes of 4³ have 4³ − 2³ = 56 surface voxels, in layers of 16, 12, 12, 16. Both sides see the same.
    # Shift 1: the last layer, 16 voxels, is 1 away; of the first layer, now within, the 4 inner ones are 1
    #          away from the other cube's surface; all the rest lies on it: 20.
    # Shift 3: the first layer lies on the other's last; 12·1 + 12·2 + 16·3 = 84.
    # Shift 5: the layers are 2, 3, 4 and 5 away: 16·2 + 12·3 + 12·4 + 16·5 = 196.
    # More than a twentieth are in the farthest layer.
    one, other = np.zeros((2, 6, 7, 12), bool)
    one[1:5, 1:5, 1:5] = True
    other[1:5, 1:5, 1 + shift : 5 + shift] = True
    assert measure_distances(truth=one, prediction=other) == pytest.approx((hd95, assd))


def test_unequal_surfaces_count_by_their_voxels():
    # In a row, columns 2 to 7 against column 5: 3 2 1 0 1 2, and 0 the other way: 9/7. The 95th percentile of
    # 0 0 1 1 2 2 3 is at place 0.95·6 = 5.7 from 0: 2 + 0.7.
    row = voxels(*((0, i) for i in range(2, 8)), shape=(1, 12))
    point = voxels((0, 5), shape=(1, 12))
    for truth, prediction in ((row, point), (point, row)):
        assert measure_distances(truth=truth, prediction=prediction) == pytest.approx((2.7, 9 / 7))


def test_the_rim_is_a_surface():
    # A full volume of 3³: its surface are the 26 voxels with a face at the rim; only the middle is
    # within. From them to the middle: 6 at 1, 12 at √2, 8 at √3; from the middle to the nearest: 1.
    middle = voxels((1, 1, 1), shape=(3, 3, 3))
    found = measure_distances(truth=np.ones((3, 3, 3), bool), prediction=middle)
    assert found.assd == pytest.approx((6 + 12 * 2**0.5 + 8 * 3**0.5 + 1) / 27)
    assert found.hd95 == pytest.approx(3**0.5)


def test_nothing_there():
    empty, full = voxels(), voxels((0, 0, 0))
    assert np.isnan(measure_distances(truth=empty, prediction=empty)).all()
    # The diagonal from (0, 0, 0) to (5, 6, 7).
    for truth, prediction in ((empty, full), (full, empty)):
        assert measure_distances(truth=truth, prediction=prediction) == pytest.approx(
            ((25 + 36 + 49) ** 0.5,) * 2
        )


def surface(mask):
    """Voxels of a mask with a neighbor by face that is not in it, `[m, axes]`."""
    found = []
    for place in np.argwhere(mask):
        steps = [place + sign * step for step in np.eye(mask.ndim, dtype=int) for sign in (1, -1)]
        inside = [(p >= 0).all() and (p < mask.shape).all() and mask[tuple(p)] for p in steps]
        found += [] if all(inside) else [place]
    return np.array(found)


@pytest.mark.parametrize("seed", range(6))
def test_slow_twin(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 7, 2 + seed % 2))
    truth, prediction = rng.random((2, *shape)) < rng.choice([0.2, 0.6, 0.9])
    one, other = surface(truth), surface(prediction)
    apart = np.linalg.norm(one[:, None] - other[None], axis=-1)
    every = np.concatenate([apart.min(1), apart.min(0)])
    wanted = np.percentile(every, 95), every.mean()
    assert measure_distances(truth=truth, prediction=prediction) == pytest.approx(wanted)


def test_numbers_of_medpy():
    # MedPy 0.5.2's hd95 and assd of a ball and of slanted sheets.
    rows, columns, planes = np.indices((9, 8, 6))
    ball = (rows - 4) ** 2 + (columns - 3) ** 2 + (planes - 2) ** 2 <= 6
    sheets = ((rows + columns + planes) % 5 == 0) & (rows > 1)
    assert (ball.sum(), sheets.sum()) == (81, 67)
    found = measure_distances(truth=ball, prediction=sheets)
    assert found == pytest.approx((2.8284271247461903, 1.2641500998656152), rel=1e-12)
