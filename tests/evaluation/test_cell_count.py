"""Marks, discs and the cell count: numbers worked by hand, and a slow twin in plain loops."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imjax.data.spec import VOID
from imjax.evaluation import cell_count


def empty(height=12, width=14):
    return np.zeros((height, width, 3), np.uint8)


def test_marks_by_hand():
    position = np.zeros((9, 9), np.uint8)
    position[0:4, 0:4] = 1  # shrinks to 0..2, as no rim is taken off at the border of the image
    position[4, 4] = 1  # touches it by a corner: one component of 17 pixels, Σ rows = Σ columns = 16·1.5 + 4
    position[7, 6:8] = 1  # vanishes when shrunk
    np.testing.assert_allclose(cell_count.find_marks(position, erode=False), [[28 / 17] * 2, [7, 6.5]])
    np.testing.assert_array_equal(cell_count.find_marks(position, erode=True), [[1, 1]])
    assert cell_count.find_marks(np.zeros((4, 5), np.uint8), erode=True).shape == (0, 2)
    np.testing.assert_array_equal(cell_count.find_marks(np.ones((5, 7), np.uint8), erode=True), [[2, 3]])


def test_radii_by_hand():
    # Nearest others: 20 from the first (5), 20 (5), 40 (10, at most 8), 11 from the last two (2, at least 3).
    centers = np.array([[10, 10], [10, 30], [50, 10], [90, 50], [90, 61]], np.float64)
    drawn = cell_count.draw_discs(centers, (100, 100))
    rows, columns = np.indices(drawn.shape)
    wanted = np.zeros_like(drawn)
    for (row, column), radius in zip(centers, (5, 5, 8, 3, 3), strict=True):
        wanted |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    np.testing.assert_array_equal(drawn, wanted)


@pytest.mark.parametrize(("distance", "radius"), [(12, 3), (15.9, 3), (16, 4), (31.9, 7), (32, 8), (99, 8)])
def test_radius_steps(distance, radius):
    drawn = cell_count.draw_discs(np.array([[20.0, 20.0], [20.0, 20 + distance]]), (40, 40))
    assert np.nonzero(drawn[:, 20])[0].tolist() == [*range(20 - radius, 21 + radius)]


def test_a_sole_mark_and_none():
    # Columns 4 and 5: the centroid 4.5 goes to 5.
    position = np.zeros((30, 30), np.uint8)
    position[12, 4:6] = 1
    drawn = cell_count.draw_discs(cell_count.find_marks(position, erode=False), position.shape)
    assert np.nonzero(drawn[:, 5])[0].tolist() == [*range(4, 21)] and drawn[12, 13] and not drawn[12, 14]
    assert not cell_count.draw_discs(np.zeros((0, 2)), (8, 8)).any()


def test_count_by_hand():
    label = empty(20, 14)
    label[2:6, 2:6, cell_count.POSITION] = 1  # shrinks to 3..4, middle 3.5: window rows and columns 1 to 6
    label[1, 1, cell_count.ALIVE] = label[6, 6, cell_count.ALIVE] = 1
    label[2, 2, cell_count.DEAD] = 1
    label[0, 0, cell_count.DEAD] = label[7, 7, cell_count.DEAD] = label[3, 7, cell_count.DEAD] = 1  # outside
    assert cell_count.count_cells(label) == (1, 0)
    # At the corner: shrinks to rows 0 and 1, columns 11 to 13; window moved to rows 0 to 5, columns 8 to 13.
    label[0:3, 10:14, cell_count.POSITION] = 1
    label[5, 8, cell_count.DEAD] = 1
    label[6, 8, cell_count.ALIVE] = 1  # outside
    assert cell_count.count_cells(label) == (1, 1)
    # A cell on neither map, and one on both, are neither.
    label[13:17, 2:6, cell_count.POSITION] = 1
    assert cell_count.count_cells(label) == (1, 1)
    label[14, 3, [cell_count.ALIVE, cell_count.DEAD]] = 1
    assert cell_count.count_cells(label) == (1, 1)
    assert cell_count.count_cells(empty(3, 4)) == (0, 0) and cell_count.count_cells(
        np.ones((3, 4, 3), np.uint8)
    ) == (
        0,
        0,
    )


def test_error_by_hand():
    one_alive, one_dead = empty(), empty()
    for label, channel in ((one_alive, cell_count.ALIVE), (one_dead, cell_count.DEAD)):
        label[4:8, 4:8, cell_count.POSITION] = label[4:8, 4:8, channel] = 1
    # |1 − 0| + |0 − 1|, then 0, then |1 − 0|.
    truth, prediction = [one_alive, one_alive, one_alive], [one_dead, one_alive, empty()]
    error = cell_count.cell_count_error(truth=np.stack(truth), prediction=np.stack(prediction))
    assert error == pytest.approx((2 + 0 + 1) / 3)


def test_void_is_not_counted():
    label = empty()
    label[4:8, 4:8] = 1, 0, 1
    void, half = np.full_like(label, VOID), np.zeros_like(label)
    half[:, :9] = VOID  # the predicted cell lies where nobody looked
    error = cell_count.cell_count_error(truth=np.stack([void, half]), prediction=np.stack([label, label]))
    assert error == 0
    assert np.isnan(cell_count.cell_count_error(truth=void[None], prediction=label[None]))
    assert np.isnan(cell_count.cell_count_error(truth=label[:0][None][:0], prediction=label[:0][None][:0]))


def test_redraw_takes_specks_away_and_leaves_the_rest():
    labels = np.random.default_rng(0).integers(0, 2, (2, 40, 50, 3)).astype(np.uint8)
    labels[..., cell_count.POSITION] = 0
    labels[0, 10:15, 20:27, cell_count.POSITION] = 1
    labels[:, 30, 40, cell_count.POSITION] = 1
    before = labels.copy()
    drawn = cell_count.redraw_positions(labels)
    np.testing.assert_array_equal(labels, before)
    np.testing.assert_array_equal(drawn[..., :2], labels[..., :2])
    np.testing.assert_array_equal(
        drawn[0, ..., cell_count.POSITION], cell_count.draw_discs(np.array([[12.0, 23.0]]), (40, 50), sole=3)
    )
    assert not drawn[1, ..., cell_count.POSITION].any()


def polygon_middle(mark):
    """Centroid of the polygon through the outer pixels by the shoelace formula; None without area."""
    shape = [max(axis) + 1 for axis in zip(*mark, strict=True)]
    filled = np.zeros(shape, np.uint8)
    filled[tuple(zip(*mark, strict=True))] = 1
    (contour,), _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = contour[:, 0].tolist()
    area = row = column = 0
    for (x, y), (u, v) in zip(points, points[1:] + points[:1], strict=True):
        cross = x * v - u * y
        area, row, column = area + cross, row + (y + v) * cross, column + (x + u) * cross
    # A hair above a whole number, so that rounding cannot fall below it.
    return (row / (3 * area) + 1e-9, column / (3 * area) + 1e-9) if area else None


def twin(label):
    """`cells.count` in plain loops."""
    height, width, _ = label.shape
    inside = lambda r, c: 0 <= r < height and 0 <= c < width  # noqa: E731
    around = [(dr, dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)]
    left = {
        (r, c)
        for r in range(height)
        for c in range(width)
        if all(label[r + dr, c + dc, 2] for dr, dc in around if inside(r + dr, c + dc))
    }
    numbers = [0, 0]
    while left:
        todo, mark = [left.pop()], []
        while todo:
            r, c = todo.pop()
            mark.append((r, c))
            near = {(r + dr, c + dc) for dr, dc in around} & left
            left -= near
            todo += near
        if not (middle := polygon_middle(mark)):
            continue
        row, column = (int(v) for v in middle)
        top, first = (min(max(v - 2, 0), max(n - 6, 0)) for v, n in ((row, height), (column, width)))
        sums = [0, 0]
        for r in range(top, min(top + 6, height)):
            for c in range(first, min(first + 6, width)):
                sums[0] += int(label[r, c, 0])
                sums[1] += int(label[r, c, 1])
        numbers[0] += sums[0] > sums[1]
        numbers[1] += sums[1] > sums[0]
    return tuple(numbers)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(1, 24), st.floats(0.01, 0.15))
def test_count_slow_twin(seed, height, width, share):
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, (height, width, 3)).astype(np.uint8)
    blots = (draw.random((height, width)) < share).astype(np.uint8)
    label[..., 2] = cv2.dilate(blots, np.ones((5, 5), np.uint8))
    assert cell_count.count_cells(label) == twin(label)


def test_symmetry():
    """Alive and dead change places with their maps; the error does not ask which side is the truth."""
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 2, (2, 64, 64, 3)).astype(np.uint8)
    labels[..., 2] = cv2.dilate((draw.random((64, 64)) < 0.01).astype(np.uint8), np.ones((5, 5), np.uint8))
    alive, dead = cell_count.count_cells(labels[0])
    assert alive + dead > 5 and cell_count.count_cells(np.ascontiguousarray(labels[0][..., [1, 0, 2]])) == (
        dead,
        alive,
    )
    a, b = labels[:1], labels[1:]
    assert cell_count.cell_count_error(truth=a, prediction=b) == cell_count.cell_count_error(
        truth=b, prediction=a
    )
