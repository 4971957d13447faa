"""Trained nets: labels of packed arrays, pseudo-labels, masks of images of any size, an exported file.

The one class that asks nets anything: a run measures its candidates and labels unlabeled images with it, the
command and the Python API predict with it.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from imjax.config.schema import Data, Mask, Model
from imjax.data import image_io, intensity, volume_box
from imjax.data.image_meaning import ImageChoices, ImageReading
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error
from imjax.inference import export, sliding_window, volume_windows
from imjax.inference.net_functions import (
    EnsembleLabels,
    EnsembleProbabilities,
    Labeling,
    LabelingAggregate,
    LabelingPredictions,
    NetLabels,
)
from imjax.inference.prediction import Prediction, make_prediction
from imjax.inference.sliding_window import Size, Tiler
from imjax.log import track
from imjax.models.factory import create_backbone
from imjax.ops import ensemble
from imjax.ops.inconsistency import PseudoLabels
from imjax.training.checkpoints import load_nets
from imjax.training.runtime import NetFunction, Runtime

ENSEMBLE_SIZE = 4
"""Nets that decide together unless said otherwise: with a few masks their mean is mostly better than the one
that is best on val (docs/how-to/predict.md), and more nets take longer."""

Image = np.ndarray | str | os.PathLike[str]
"""An array as `image_io.convert_array` takes it, or the path of a file."""


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """Nets of one shape that were trained side by side; see `imjax.load`."""

    name: str
    """Of the stage that trained them."""
    spec: DatasetSpec
    """What the labels mean."""
    model: Model
    """Backbone, width and the like."""
    auxiliaries: int
    """See `factory.create_backbone`."""
    weights: Path | Any
    """Variables of the nets, numpy leaves `[net, ...]`, or the folder that has them, read when needed."""
    ranked: tuple[int, ...]
    """Nets to use, best on val first, by their place in `weights`."""
    runtime: Runtime
    mask: Mask = Mask()
    """Of the run, for the inconsistency masks of `predict`."""
    inputs: Data | None = None
    """How images came to the nets, as far as it matters to new ones; None: inside a run, whose arrays are
    packed."""
    patch: tuple[int, ...] = ()
    """Sides of the windows through which volumes go; empty: the whole volume."""
    patch_overlap: float = 0.5
    """Share of its side that a window has in common with the next."""

    @property
    def size(self) -> Size:
        """Height and width of the images it was trained on."""
        return self._inputs.size

    @property
    def _inputs(self) -> Data:
        assert self.inputs is not None, "a model inside a run takes packed arrays only"
        return self.inputs

    @functools.cached_property
    def reading(self) -> ImageReading:
        """How image files are read: as those that the nets were trained with."""
        return ImageReading.of(self.spec, ImageChoices.of(self._inputs))

    @functools.cached_property
    def net(self) -> nn.Module:
        """The module, without weights."""
        return create_backbone(self.model, self.spec, self.auxiliaries)

    @functools.cached_property
    def _weights(self) -> Any:
        # Kept, so that a call per image does not read the file each time.
        if not isinstance(self.weights, Path):
            return self.weights
        try:
            return load_nets(self.weights)
        except (OSError, ValueError, KeyError, IndexError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise file_error(
                self.weights, f"no nets can be read ({reason}); copy it again", ErrorCode.UNREADABLE
            ) from error

    def nets(self, count: int = 0) -> Any:
        """Variables of the best `count` nets (0: all), numpy leaves `[count, ...]`.

        Raises:
            UserError: they cannot be read.
        """
        chosen = np.array(self.ranked[: count or None])
        try:
            return jax.tree.map(lambda leaf: leaf[chosen], self._weights)
        except IndexError as error:
            raise UserError(
                f"{self.weights}: has fewer nets than its ranking; copy it again",
                code=ErrorCode.DAMAGED,
                field=str(self.weights),
            ) from error

    def predict_labels(self, images: np.ndarray, nets: int = 0) -> np.ndarray:
        """Labels that each net gives to packed images.

        Args:
            images: uint8 `[n, h, w, c]`, or volumes `[n, d, h, w, c]`, which go through `volume_windows`.
            nets: the best so many; 0: all.

        Returns:
            uint8 `[net, n, h, w]` class indices or 0/1, multilabel `[net, n, h, w, k]`; of volumes with `d`
            before `h`.
        """
        variables = self.nets(nets)
        if self.spec.dims == 3:
            return self._label_volumes((variables,), images)
        return self.runtime.apply(NetLabels(self.net, self.spec.kind), variables, {"image": images})

    def predict_ensemble_labels(self, images: np.ndarray, size: int) -> np.ndarray:
        """Labels by the mean probability of `size` nets at a time, in the order of the ranking.

        Args:
            images: as of `predict_labels`.
            size: nets of an ensemble; the number of nets is a multiple of it.

        Returns:
            As `predict_labels`, `[ensemble, n, ...]`.
        """
        variables = self.nets()
        ensembles = tuple(jax.tree.map(lambda leaf: leaf[i::size], variables) for i in range(size))  # noqa: B023
        if self.spec.dims == 3:
            return self._label_volumes(ensembles, images)
        return self.runtime.apply(EnsembleLabels(self.net, self.spec.kind), ensembles, {"image": images})

    def pseudo_label(
        self, labeling: Labeling, images: np.ndarray, key: jax.Array, nets: int = 0
    ) -> PseudoLabels:
        """Pseudo-labels of packed images by a generational method.

        Args:
            labeling: of the method.
            images: uint8 `[n, h, w, c]`.
            key: image i draws from its i-th fold.
            nets: the best so many label; 0: all.

        Returns:
            numpy leaves `[n, ...]`.
        """
        keys = jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(key, i))(np.arange(len(images))))
        # Arrays of a set are plain numbers, as they are cut into batches and padded; a key is its data there.
        examples = {"image": images, "key": np.asarray(keys)}
        function, aggregate = LabelingPredictions(self.net, labeling), LabelingAggregate(labeling)
        return PseudoLabels(*self.runtime.apply(function, self.nets(nets), examples, aggregate))

    def _label_volumes(self, ensembles: Sequence[Any], images: np.ndarray) -> np.ndarray:
        def label(probabilities: np.ndarray) -> np.ndarray:
            return np.asarray(ensemble.probabilities_to_label(self.spec.kind, jnp.asarray(probabilities)))

        # One volume after the other: the probabilities of a set would fit no memory.
        patch = self.patch or images.shape[1:-1]
        volumes = (
            self._volume_probabilities(ensembles, volume, patch) for volume in track(images, "predicting")
        )
        return np.stack([np.stack([label(each) for each in volume]) for volume in volumes], 1)

    def _volume_probabilities(
        self, ensembles: Sequence[Any], volume: np.ndarray, patch: tuple[int, ...]
    ) -> np.ndarray:
        """float32 `[ensemble, d, h, w, k]` of a volume uint8 `[d, h, w, c]`, at least as large as a patch."""
        shape, channels = volume.shape[:-1], volume.shape[-1]
        places = volume_windows.window_places(shape, patch, self.patch_overlap)
        windows = self.runtime.stream(
            self._probabilities, tuple(ensembles), (volume[place] for place in places), (*patch, channels)
        )
        return volume_windows.stitch(shape, places, windows)

    @property
    def _probabilities(self) -> NetFunction:
        return EnsembleProbabilities(self.net, self.spec.kind)

    def choose_nets(self, nets: int) -> int:
        """Nets that decide: as many as asked for, or for 0 the best four, or all where there are fewer."""
        return nets or min(ENSEMBLE_SIZE, len(self.ranked))

    def count_nets(self, nets: int) -> int:
        """Nets that predict when `nets` decide: a second one beside a single one, to disagree with it.

        Raises:
            UserError: the stage has not so many.
        """
        most = len(self.ranked)
        if not 1 <= nets <= most:
            raise UserError(
                f"nets={nets}: stage {self.name} has {most} nets; expected 1 to {most}",
                code=ErrorCode.OUT_OF_RANGE,
                field="nets",
            )
        return min(max(2, nets), most)

    def predict(
        self,
        image: Image,
        *,
        nets: int = 0,
        tile: bool | None = None,
        overlap: float = 0.25,
        scale: float = 1.0,
        flips: bool = False,
    ) -> Prediction:
        """Segment one image, or one volume, of any size.

        Args:
            image: uint8 `[h, w]` or `[h, w, c]` (gray, RGB or RGBA; of nets of other channels, with theirs),
                or the path of a file. For nets of
                volumes uint8 `[d, h, w]` or `[d, h, w, c]`; these go through windows of the size of training,
                and the arguments below but for `nets` are not for them.
            nets: how many, best on val first, decide by their mean probability; 0: see `choose_nets`. The
                inconsistency mask compares these, or the best two if it is one.
            tile: cut the image into tiles of the training size instead of resizing it to that; None: as in
                training.
            overlap: of tiles, as a share of their side, 0 <= overlap < 1.
            scale: of tiles, factor by which the image is resized before it is cut, > 0.
            flips: mean over mirrored (and, where up and down do not matter, turned) views: slower, steadier.

        Raises:
            UserError: the image or an argument is not as above, or the nets cannot be read.
        """
        if self.spec.dims == 3:
            if tile is not None or scale != 1 or flips:
                raise UserError(
                    "tile, scale and flips are for images; expected none of them for a volume",
                    code=ErrorCode.UNSUPPORTED,
                    field="tile" if tile is not None else "scale" if scale != 1 else "flips",
                )
            return self._predict_volume(self._voxels(image), nets)
        tiler = self.make_tiler(tile, overlap, scale, flips)
        return next(self.predict_stream([self._pixels(image)], tiler, nets))

    def predict_batch(
        self,
        images: Iterable[Image],
        *,
        nets: int = 0,
        tile: bool | None = None,
        overlap: float = 0.25,
        scale: float = 1.0,
        flips: bool = False,
    ) -> list[Prediction]:
        """Segment many images, of different sizes too: faster than one by one. Arguments as of `predict`."""
        if self.spec.dims == 3:
            return [
                self.predict(image, nets=nets, tile=tile, overlap=overlap, scale=scale, flips=flips)
                for image in images
            ]
        tiler = self.make_tiler(tile, overlap, scale, flips)
        return list(self.predict_stream(map(self._pixels, images), tiler, nets))

    def predict_stream(
        self, images: Iterable[np.ndarray], tiler: Tiler, nets: int = 0
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
        nets = self.choose_nets(nets)
        for size, canvas in self.predict_probabilities(images, tiler, self.count_nets(nets)):
            yield make_prediction(self.spec, self.mask, canvas, size, nets)

    def predict_probabilities(
        self, images: Iterable[np.ndarray], tiler: Tiler, nets: int
    ) -> Iterator[tuple[Size, np.ndarray]]:
        """What each net says of images as they come, for what needs more than `Prediction` keeps.

        Args:
            images, tiler: as of `predict_stream`.
            nets: the best so many.

        Yields:
            Per image its height and width, and float32 `[net, canvas height, canvas width, outputs]`, best
            net first, at the size at which the nets saw it.

        Raises:
            UserError: as of `predict_stream`.
        """
        if self.spec.dims == 3:
            raise UserError(
                f"stage {self.name}: its nets segment volumes; see TrainedModel.predict",
                code=ErrorCode.UNSUPPORTED,
                field="stage",
            )
        variables = self.nets(nets)
        # Sizes of the images whose tiles are with the nets: tiles of several images share a batch.
        waiting: deque[Size] = deque()

        def tiles() -> Iterator[np.ndarray]:
            for image in images:
                waiting.append(image.shape[:2])
                yield from tiler.tiles(image)

        shape = (*self.size, self.spec.channels)
        # A net by itself is an ensemble of one.
        probabilities = self.runtime.stream(self._probabilities, (variables,), tiles(), shape)
        for first in probabilities:
            size = waiting.popleft()
            canvas = tiler.stitch(size, itertools.chain([first], probabilities))
            yield size, canvas

    def _predict_volume(self, volume: np.ndarray, nets: int) -> Prediction:
        """The prediction for a volume uint8 `[d, h, w, c]`."""
        shape, nets = volume.shape[:-1], self.choose_nets(nets)
        variables = self.nets(self.count_nets(nets))
        if self._inputs.percentile_normalize:
            volume = intensity.percentile_normalize(volume)
        # A window is as large as in training, so a smaller volume is padded, as it is for training.
        box = tuple(map(max, shape, self.patch or self._inputs.box))
        padded, _ = volume_box.pad_or_crop(volume, np.zeros(shape, np.uint8), box)
        probabilities = self._volume_probabilities((variables,), padded, self.patch or self._inputs.box)
        first = [(large - small) // 2 for large, small in zip(box, shape, strict=True)]
        inside = tuple(slice(i, i + length) for i, length in zip(first, shape, strict=True))
        return make_prediction(self.spec, self.mask, probabilities[:, *inside], shape, nets)

    def make_tiler(
        self, tile: bool | None = None, overlap: float = 0.25, scale: float = 1.0, flips: bool = False
    ) -> Tiler:
        """How images come to the nets: as in training, but for what the arguments (see `predict`) say.

        Raises:
            UserError: an argument is out of range, or `scale` is given without tiles.
        """
        if not 0 <= overlap < 1:
            raise UserError(
                f"overlap={overlap}: expected 0 or more, less than 1",
                code=ErrorCode.OUT_OF_RANGE,
                field="overlap",
            )
        if not 0 < scale <= sliding_window.MAX_SCALE:
            raise UserError(
                f"scale={scale:g}: expected above 0, at most {sliding_window.MAX_SCALE}, such as 0.5",
                code=ErrorCode.OUT_OF_RANGE,
                field="scale",
            )
        tile = self._inputs.is_grid if tile is None else tile
        if scale != 1 and not tile:
            raise UserError(
                f"scale={scale} is for tiles; expected tile=True beside it, or no scale",
                code=ErrorCode.CONFLICT,
                field="scale",
            )
        views = sliding_window.symmetries(self.spec, self.size) if flips else sliding_window.IDENTITY
        return Tiler(
            self.size, views, tile, overlap, scale,
            stretch=self._inputs.percentile_normalize, pad=self._inputs.resize_mode == "pad",
            image_resize=self.spec.image_resize,
        )  # fmt: skip

    def export(self, path: str | os.PathLike[str], nets: int = 0) -> None:
        """Write the best nets, with their weights, to one file that runs without imjax.

        The suffix is the format: `.onnx`, `.stablehlo`, or `.zip`, a package of the BioImage Model Zoo. The
        file maps uint8 `[b, h, w, c]`, h and w as in training and b any number, to float32 `[b, h, w, k]`,
        the mean probability of the nets for the dataset's own classes; that of the zoo has channels first and
        takes float32. A `.json` of the same stem says what images must be and what the classes are.

        Args:
            path: the file, e.g. `net.onnx`; its folder is made.
            nets: how many, best on val first; 0: as many as predict, see `choose_nets`.

        Raises:
            UserError: the stage has not so many nets, or nets of volumes; no format has the suffix; its
                package is not installed; or the file cannot be written.
        """
        nets = self.choose_nets(nets)
        self.count_nets(nets)
        if self.spec.dims == 3:
            raise UserError(
                f"stage {self.name}: its nets segment volumes; expected nets of images for an export",
                code=ErrorCode.UNSUPPORTED,
                field="stage",
            )
        path = Path(path)
        chosen, model = export.choose_format(path), self.model
        # `auto` is meant for the machine at hand, and the file is for any: it holds each platform's kernels.
        settings: dict[str, Any] = {"dtype": "float32", "convolution": chosen.convolution}
        if chosen.keeps_settings:
            settings |= {name: v for name in settings if (v := getattr(model, name)) != "auto"}
        net = create_backbone(dataclasses.replace(model, **settings), self.spec, self.auxiliaries)
        variables = self.nets(nets)
        members = tuple(jax.tree.map(lambda leaf: leaf[i], variables) for i in range(nets))  # noqa: B023
        export.write(path, export.Ensemble(self.name, net, members, self.spec, self._inputs))

    def _voxels(self, volume: Image) -> np.ndarray:
        """uint8 `[d, h, w, c]` as the nets take them."""
        channels = self.spec.channels
        if isinstance(volume, np.ndarray) and volume.ndim == 3:
            volume = volume[..., None]
        expected = f"uint8 [d, h, w] or [d, h, w, {channels}], not empty"
        if not isinstance(volume, np.ndarray):
            raise UserError(
                f"{volume}: is no array; nets of volumes take arrays, expected {expected}",
                code=ErrorCode.WRONG_TYPE,
                field="image",
            )
        if volume.dtype != np.uint8 or volume.ndim != 4 or volume.shape[-1] != channels or not volume.size:
            raise UserError(
                f"the volume has type {volume.dtype}, shape {volume.shape}; expected {expected}",
                code=ErrorCode.WRONG_TYPE,
                field="image",
            )
        return volume

    def _pixels(self, image: Image) -> np.ndarray:
        """uint8 `[h, w, c]` as the nets take them."""
        if isinstance(image, str | os.PathLike):
            pixels = self.reading.load(Path(image)).pixels
            if pixels.ndim == 4:
                raise UserError(
                    f"{os.fspath(image)}: a stack of {len(pixels)} slices, expected one image; give each "
                    "slice of model.reading.load(path).pixels, or use imjax predict",
                    code=ErrorCode.UNSUPPORTED,
                    field=os.fspath(image),
                )
            return pixels
        return image_io.convert_array(image, self.spec.channels)
