"""imjax: semi-supervised image segmentation with Inconsistency Masks, in JAX and Flax."""

__version__ = "0.1.0"
