"""What counts as a cell, and the disc of a sole position (methods.md 1.10), by hand."""

import numpy as np
import pytest

from imjax.evaluation import cell_count


def label_with(height, width, alive=True):
    """A position mark of this size in 30×30 pixels, with alive or dead pixels below it."""
    label = np.zeros((30, 30, 3), np.uint8)
    label[10 : 10 + height, 10 : 10 + width, cell_count.POSITION] = 1
    label[10 : 10 + height, 10 : 10 + width, cell_count.ALIVE if alive else cell_count.DEAD] = 1
    return label


# Size of the mark, what a 3×3 erosion leaves of it, cells.
MARKS = [
    ((2, 2), "nothing", 0),
    ((3, 3), "a point", 0),
    ((3, 8), "a line", 0),
    ((4, 4), "a square of 2×2, whose contour has the area 1", 1),
    ((5, 9), "a rectangle", 1),
]


@pytest.mark.parametrize(("size", "left", "cells"), MARKS)
def test_cells_are_contours_with_an_area(size, left, cells):
    assert cell_count.count_cells(label_with(*size)) == (cells, 0)
    assert cell_count.count_cells(label_with(*size, alive=False)) == (0, cells)


@pytest.mark.parametrize(("size", "left", "cells"), MARKS)
def test_count_error_of_a_mark_beside_a_cell(size, left, cells):
    truth, prediction = label_with(6, 6), label_with(*size, alive=False)
    # |Δ alive| + |Δ dead|.
    error = cell_count.cell_count_error(truth=truth[None], prediction=prediction[None])
    assert error == 1 + cells


def widths(position):
    return [int(row.sum()) for row in position if row.any()]


def test_sole_position_has_radius_3_in_evaluation_and_8_in_the_truth():
    redrawn = cell_count.redraw_positions(label_with(6, 6)[None])[0, ..., cell_count.POSITION]
    assert max(widths(redrawn)) == len(widths(redrawn)) == 2 * 3 + 1
    truth = cell_count.draw_discs(np.array([[15.0, 15.0]]), (30, 30))
    assert max(widths(truth)) == len(widths(truth)) == 2 * 8 + 1


# Distance of two positions, radius of both discs.
@pytest.mark.parametrize(("distance", "radius"), [(8, 3), (15, 3), (16, 4), (20, 5), (40, 8)])
def test_radius_of_two_positions(distance, radius):
    drawn = cell_count.draw_discs(np.array([[30.0, 30.0], [30.0, 30.0 + distance]]), (60, 90))
    assert widths(drawn[:, 30:31]) == [1] * (2 * radius + 1)
