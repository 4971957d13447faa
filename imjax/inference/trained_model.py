"""A trained net or ensemble: ask it about images of any size, or export it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from imjax.config.schema import Data
from imjax.data import image_io
from imjax.data.spec import DatasetSpec
from imjax.errors import UserError
from imjax.inference import export, sliding_window
from imjax.inference.prediction import Prediction, make_prediction
from imjax.inference.predictor import Predictor
from imjax.inference.sliding_window import Size, Tiler
from imjax.models.factory import create_backbone
from imjax.training.checkpoints import load_nets

Image = np.ndarray | str | os.PathLike[str]
"""An array as `image_io.convert_array` takes it, or the path of a file."""


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """The nets of a finished training stage, and what they need to predict; see `imjax.load`."""

    folder: Path
    """Of the stage."""
    name: str
    """Of the stage."""
    predictor: Predictor
    data: Data
    """How images came to the nets, as far as it matters to new ones: size, crops, resizing,
    normalization."""
    width: float
    auxiliaries: int
    """See `factory.create_backbone`."""
    ranked: tuple[int, ...]
    """Nets of the stage, best on val first."""
    _loaded: dict[int, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    """What `nets` has read, so that a call per image does not read the file each time."""

    @property
    def size(self) -> Size:
        """Height and width of the images it was trained on."""
        return self.data.size

    @property
    def spec(self) -> DatasetSpec:
        """What the labels mean."""
        return self.predictor.spec

    @functools.cached_property
    def net(self) -> nn.Module:
        """The module, without weights."""
        return create_backbone(self.predictor.model, self.spec, self.width, self.auxiliaries)

    def nets(self, count: int) -> Any:
        """Variables of the best `count` nets, numpy leaves `[count, ...]`.

        Raises:
            UserError: they cannot be read.
        """
        if count not in self._loaded:
            chosen = np.array(self.ranked[:count])
            try:
                found = jax.tree.map(lambda leaf: leaf[chosen], load_nets(self.folder / "nets"))
            except (OSError, ValueError, KeyError, IndexError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise UserError(
                    f"{self.folder / 'nets'}: no nets can be read ({reason}); copy it again"
                ) from error
            # One number of nets at a time: each copy takes memory.
            self._loaded.clear()
            self._loaded[count] = found
        return self._loaded[count]

    def count_asked(self, nets: int) -> int:
        """Nets that are asked when `nets` decide: a second one beside a single one, to disagree with it.

        Raises:
            UserError: the stage has not so many.
        """
        most = len(self.ranked)
        if not 1 <= nets <= most:
            raise UserError(f"nets={nets}: stage {self.name} has {most} nets; expected 1 to {most}")
        return min(max(2, nets), most)

    def predict(
        self,
        image: Image,
        *,
        nets: int = 1,
        tile: bool | None = None,
        overlap: float = 0.25,
        scale: float = 1.0,
        flips: bool = False,
    ) -> Prediction:
        """Segment one image of any size.

        Args:
            image: uint8 `[h, w]` or `[h, w, c]` (gray, RGB or RGBA), or the path of a file.
            nets: how many, best on val first, decide by their mean probability. The inconsistency mask
                compares these, or the best two if it is one.
            tile: cut the image into tiles of the training size instead of resizing it to that; None: as in
                training.
            overlap: of tiles, as a share of their side, 0 <= overlap < 1.
            scale: of tiles, factor by which the image is resized before it is cut, > 0.
            flips: mean over mirrored (and, where up and down do not matter, turned) views: slower, steadier.

        Raises:
            UserError: the image or an argument is not as above, or the nets cannot be read.
        """
        tiler = self.make_tiler(tile, overlap, scale, flips)
        return next(self.predict_stream([self._pixels(image)], tiler, nets))

    def predict_batch(
        self,
        images: Iterable[Image],
        *,
        nets: int = 1,
        tile: bool | None = None,
        overlap: float = 0.25,
        scale: float = 1.0,
        flips: bool = False,
    ) -> list[Prediction]:
        """Segment many images, of different sizes too: faster than one by one. Arguments as of `predict`."""
        tiler = self.make_tiler(tile, overlap, scale, flips)
        return list(self.predict_stream(map(self._pixels, images), tiler, nets))

    def predict_stream(
        self, images: Iterable[np.ndarray], tiler: Tiler, nets: int = 1
    ) -> Iterator[Prediction]:
        """Segment images as they come, so that neither their number nor their sizes matter to memory.

        Args:
            images: uint8 `[h, w, c]` with `spec.channels` channels; those of two batches are taken before the
                first result.
            tiler: how they come to the nets.
            nets: as of `predict`.

        Yields:
            One prediction per image, in order.

        Raises:
            UserError: the stage has not so many nets, they cannot be read, or are for volumes.
        """
        if self.spec.dims == 3:
            raise UserError(f"stage {self.name}: its nets segment volumes; expected a run on images")
        variables = self.nets(self.count_asked(nets))
        # Sizes of the images whose tiles are with the nets: tiles of several images share a batch.
        waiting: deque[Size] = deque()

        def tiles() -> Iterator[np.ndarray]:
            for image in images:
                waiting.append(image.shape[:2])
                yield from tiler.pieces(image)

        probabilities = self.predictor.probabilities(self.net, variables, tiles(), self.size)
        for first in probabilities:
            size = waiting.popleft()
            canvas = tiler.join(size, itertools.chain([first], probabilities))
            yield make_prediction(self.spec, self.predictor.mask, canvas, size, nets)

    def make_tiler(
        self, tile: bool | None = None, overlap: float = 0.25, scale: float = 1.0, flips: bool = False
    ) -> Tiler:
        """How images come to the nets: as in training, but for what the arguments (see `predict`) say.

        Raises:
            UserError: an argument is out of range, or `scale` is given without tiles.
        """
        if not 0 <= overlap < 1:
            raise UserError(f"overlap={overlap}: expected 0 or more, less than 1")
        if not scale > 0:
            raise UserError(f"scale={scale}: expected a factor above 0, such as 0.5")
        tile = self.data.is_grid if tile is None else tile
        if scale != 1 and not tile:
            raise UserError(f"scale={scale} is for tiles; expected tile=True beside it, or no scale")
        views = sliding_window.symmetries(self.spec, self.size) if flips else sliding_window.AS_IT_IS
        return Tiler(
            self.size, views, tile, overlap, scale,
            stretch=self.data.percentile_normalize, pad=self.data.resize_mode == "pad",
            image_resize=self.spec.image_resize,
        )  # fmt: skip

    def export(self, path: str | os.PathLike[str], nets: int = 1) -> None:
        """Write the best nets, with their weights, to one file of StableHLO that runs without imjax.

        The file maps uint8 `[b, h, w, c]`, h and w as in training and b any number, to float32
        `[b, h, w, k]`, the mean probability of the nets for the dataset's own classes.

        Args:
            path: the file, e.g. `net.stablehlo`; its folder is made.
            nets: how many, best on val first.

        Raises:
            UserError: the stage has not so many nets, or the file cannot be written.
        """
        self.count_asked(nets)
        model = self.predictor.model
        # `auto` is meant for the machine at hand, and the file is for any.
        model = dataclasses.replace(model, dtype="float32" if model.dtype == "auto" else model.dtype)
        net = create_backbone(model, self.spec, self.width, self.auxiliaries)
        data = export.serialize_ensemble(net, self.nets(nets), self.spec, self.size)
        export.write_file(Path(path), data)

    def _pixels(self, image: Image) -> np.ndarray:
        """uint8 `[h, w, c]` as the nets take them."""
        if isinstance(image, str | os.PathLike):
            return image_io.read_with_channels(Path(image), self.spec.channels)
        return image_io.convert_array(image, self.spec.channels)
