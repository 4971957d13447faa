"""What run and report agree on about single images: files, their columns, and the colors of errors.

The report reads it, so nothing here loads JAX.
"""

from __future__ import annotations

TABLE = "per_image.csv"
"""IoU and Dice of each image of val and test: in a training stage's folder by its net ranked first, and in
that of the run by the final nets' one."""
WORST, WORST_ROWS = "worst.npz", "worst.json"
"""In a training stage's folder: panels of the test images with the lowest IoU, and their rows."""
METRICS = {"iou": "IoU", "dice": "Dice"}
"""Columns of the table, with their titles."""
FILES = "files"
"""Beside the panels of a stage: what people know the images by."""
EXTRA, MISSED, CONFUSED = (230, 60, 50), (70, 120, 230), (245, 200, 60)
"""Colors of the error map: an object where there is none, none where there is one, one class for another."""
