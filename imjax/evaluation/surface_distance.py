"""How far the surfaces of two objects lie apart: HD95 and ASSD, on the host, by SciPy.

The conventions are those of MedPy, by which the semi-supervised medical benchmarks measure: the surface of an
object are its voxels with a face to the outside, the volume's rim included; distances are between centers of
voxels, with spacing 1 along every axis, whatever the scanner's; both surfaces count in both figures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy import ndimage

Mask = Bool[np.ndarray, "*px"]


class Distances(NamedTuple):
    """In voxels; 0 for equal objects."""

    hd95: float
    """Hausdorff distance without the farthest twentieth: 95th percentile of the distances of both surfaces'
    voxels to the other surface, taken together."""
    assd: float
    """Average symmetric surface distance: the mean of the same distances (Heimann et al., IEEE TMI 28(8),
    2009; MedPy before 0.5 took the mean of the two surfaces' means instead)."""


def measure_distances(*, truth: Mask, prediction: Mask) -> Distances:
    """Surface distances of two objects, bool masks of one shape, of any number of axes.

    Returns:
        nan where both are empty: there is nothing to measure. Where one is, no distance exists, and to leave
        the figure out would reward a net that finds nothing: both figures are then the volume's diagonal,
        between the centers of opposite corners, which no distance exceeds.
    """
    if not (truth.any() and prediction.any()):
        either = truth.any() or prediction.any()
        worst = float(np.linalg.norm(np.array(truth.shape) - 1)) if either else float("nan")
        return Distances(worst, worst)
    # Both surfaces lie in the box around the two objects, and so does all that their distances depend on.
    box = ndimage.find_objects((truth | prediction).astype(np.int8))[0]
    true_surface, predicted_surface = _surface(truth[box]), _surface(prediction[box])
    distances = np.concatenate(
        [_distance_to(true_surface)[predicted_surface], _distance_to(predicted_surface)[true_surface]]
    )
    return Distances(float(np.percentile(distances, 95)), float(distances.mean()))


def _surface(mask: Mask) -> Mask:
    """The voxels with a face to the outside."""
    return mask & ~ndimage.binary_erosion(mask)


def _distance_to(surface: Mask) -> Float64[np.ndarray, "*px"]:
    """Distance of every voxel to the nearest of a surface."""
    return ndimage.distance_transform_edt(~surface)
