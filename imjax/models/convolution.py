"""Ways to compute convolutions of one model's batch: XLA's own, products, slices, shifted products."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

BY_PLATFORM = "by_platform"
"""For exported programs, which run anywhere. No value of the configuration."""


def choose_convolution(name: str, dims: int) -> Callable | None:
    """The function that computes a k×k convolution; the results differ by rounding only.

    Args:
        name: `products`: matrix products of each pixel's neighborhood (`convolve_by_products`);
            `split_products`: the same with the weights' gradient in blocks (`split_product`); `direct`: XLA's
            own convolution; `auto`: by the platform that this process runs on; `BY_PLATFORM`: by the platform
            that the program will run on.
        dims: number of spatial axes.

    Returns:
        For `nn.Conv(conv_general_dilated=...)`; None: XLA's own.
    """
    if name == "direct":
        return None
    if name == "products" and dims == 2:
        return convolve_by_products
    if name == "split_products" and dims == 2:
        return functools.partial(convolve_by_products, product=split_product)
    kernels = {2: {"gpu": convolve_by_products}, 3: {"cpu": convolve_by_slices}}.get(dims, {})
    if name == BY_PLATFORM:
        return functools.partial(_convolve_by_platform, kernels)
    # Not `BY_PLATFORM` here too, though XLA would see a single kernel: its gradient is that of a conditional,
    # which stores what either branch needs, and training knows where it runs.
    return kernels.get(jax.default_backend())


def _convolve_by_platform(
    kernels: dict[str, Callable], x: jax.Array, kernel: jax.Array, *args: Any, **kwargs: Any
) -> jax.Array:
    """The kernel of each platform, XLA's own convolution elsewhere; arguments as `nn.Conv` passes them."""
    # JAX calls the programs of a GPU by its maker.
    names = {"gpu": ("cuda", "rocm"), "cpu": ("cpu",)}
    branches = {
        name: functools.partial(_convolve_by, kernels[platform], args, kwargs)
        for platform in kernels
        for name in names[platform]
    }
    direct = functools.partial(_convolve_by, jax.lax.conv_general_dilated, args, kwargs)
    return jax.lax.platform_dependent(x, kernel, default=direct, **branches)


def _convolve_by(
    function: Callable, args: tuple, kwargs: dict[str, Any], x: jax.Array, kernel: jax.Array
) -> jax.Array:
    return function(x, kernel, *args, **kwargs)


BLOCK = 4096
"""Pixels per block of `split_product`."""


@jax.custom_vjp
def split_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x @ kernel` whose gradient for the kernel is a sum over blocks of pixels.

    That gradient is a product of few rows and columns over millions of pixels, which cuBLAS computes in few
    thread blocks: at 256²×32 pixels and four members that of the head took 61 of a step's 134 ms on an H200
    (docs/notes/performance.md). One product per block of pixels, then a sum, fills the device.

    Args:
        x: `[..., c]`.
        kernel: `[c, f]`.

    Returns:
        `[..., f]`.
    """
    return x @ kernel


def _split_product_backward(saved, grad):
    x, kernel = saved
    pixels = math.prod(x.shape[:-1])
    blocks = pixels // BLOCK if pixels % BLOCK == 0 else 1
    rows, columns = (a.reshape(blocks, pixels // blocks, a.shape[-1]) for a in (x, grad))
    # Summed in float32: in bfloat16 a sum over millions of pixels stops growing.
    kernel_grad = jnp.einsum("bpc,bpf->bcf", rows, columns, preferred_element_type=jnp.float32).sum(0)
    return grad @ kernel.T, kernel_grad.astype(kernel.dtype)


split_product.defvjp(lambda x, kernel: (x @ kernel, (x, kernel)), _split_product_backward)


def head_product(name: str) -> Callable | None:
    """`dot_general` of a net's head for a `choose_convolution` name; None: the default."""
    if name != "split_products":
        return None
    return lambda x, kernel, *_, **__: split_product(x, kernel)


def choose_product(name: str) -> Callable | None:
    """`dot_general` of a 1×1 convolution for a `choose_convolution` name; None: the default."""
    return (lambda x, kernel, *_, **__: multiply_pixels(x, kernel)) if _is_auto_on_cpu(name) else None


def _is_auto_on_cpu(name: str) -> bool:
    return name == "auto" and jax.default_backend() == "cpu"


@jax.custom_vjp
def multiply_pixels(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x @ kernel` whose gradient for the kernel is one product of matrices as they lie in memory: for CPUs.

    By automatic differentiation that gradient is a product over several axes and then a transposition. XLA
    passes the transposition on to whatever makes the output's gradient, which then writes across its rows:
    batch normalization's of 96 channels, 8 images of 32², took 7.8 ms of a core instead of one
    (docs/notes/performance.md).

    Args:
        x: `[..., c]`.
        kernel: `[c, f]`.

    Returns:
        `[..., f]`.
    """
    return x @ kernel


def _multiply_pixels_backward(saved, grad):
    x, kernel = saved
    rows, columns = (a.reshape(-1, a.shape[-1]) for a in (x, grad))
    x_grad = jax.lax.dot_general(grad, kernel, (((grad.ndim - 1,), (1,)), ((), ())))
    return x_grad, jax.lax.dot_general(rows, columns, (((0,), (0,)), ((), ())))


multiply_pixels.defvjp(lambda x, kernel: (x @ kernel, (x, kernel)), _multiply_pixels_backward)


def same_margins(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels of padding before and behind an axis, so that ⌈size/stride⌉ windows fit: TensorFlow's SAME."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def convolve_by_products(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int] = (1, 1),
    *_: Any,
    product: Callable = jnp.matmul,
    **__: Any,
) -> jax.Array:
    """Convolution k×k of images, SAME, as one matrix product (im2col): for GPUs.

    Under `vmap` over members a convolution becomes a grouped one, for which cuDNN has no fast path and needs
    a long search before the first step; a product becomes a batched one (figures: performance.md in
    docs/explanation).

    Args:
        x: `[b, h, w, c]`.
        kernel: `[k, k, c, f]`. The further arguments that `nn.Conv` passes are those of SAME.
        strides: along h and w.
        product: of columns and kernel.

    Returns:
        `[b, ⌈h/stride⌉, ⌈w/stride⌉, f]`.
    """

    def convolve(x, kernel):
        (_, h, w, c), (k, _, _, f) = x.shape, kernel.shape
        rows, columns = strides
        padded = jnp.pad(x, ((0, 0), same_margins(h, k, rows), same_margins(w, k, columns), (0, 0)))
        bottom, right = (-(-h // rows) - 1) * rows + 1, (-(-w // columns) - 1) * columns + 1
        neighbors = [
            padded[:, i : i + bottom : rows, j : j + right : columns] for i in range(k) for j in range(k)
        ]
        return product(jnp.concatenate(neighbors, -1), kernel.reshape(k * k * c, f))

    # The columns are computed again for the gradient: stored, they would take k² times the input's memory.
    return jax.checkpoint(convolve)(x, kernel)


UPSAMPLED_FROM = 8
"""Least side, before upsampling, from which `convolve_upsampled` is faster: at 4² its 6² positions cost more
than they save."""


def choose_upsampled(name: str, sides: Sequence[int]) -> Callable | None:
    """The function that convolves upsampled features without upsampling them; None: as they come.

    Args:
        name: as of `choose_convolution`.
        sides: h and w before upsampling.
    """
    return convolve_upsampled if _is_auto_on_cpu(name) and min(sides) >= UPSAMPLED_FROM else None


def convolve_upsampled(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution 3×3, SAME, of nearest-neighbor upsampled features, at their own resolution: for CPUs.

    Of the three upsampled pixels that a kernel meets along an axis, two are the same one, so that two
    entries of the kernel can be added beforehand: 4/9 of the multiplications are left, and four times the
    filters at a quarter of the pixels, with which XLA's convolution is faster than with few filters (the
    idea of sub-pixel convolution: Shi et al. 2016, arXiv 1609.05158).

    Args:
        x: `[b, h, w, c]`.
        kernel: `[3, 3, c, f]`.

    Returns:
        `[b, 2h, 2w, f]`.
    """
    (b, h, w, c), f = x.shape, kernel.shape[-1]
    # [2, 2, 3, c, f] → [2, 2, 2, 2, c, f]: tap and phase along h, along w.
    phases = _split_into_phases(_split_into_phases(kernel, 0), 2)
    phases = phases.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, c, 4 * f)
    # A padded input, and a window that reaches one pixel beyond it: two pixels more per side than needed,
    # but XLA has no fast path for the gradient of a 2×2 convolution with other margins (177 and 2 ms).
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    axes = ("NHWC", "HWIO", "NHWC")
    cells = jax.lax.conv_general_dilated(padded, phases, (1, 1), ((0, 1), (0, 1)), dimension_numbers=axes)
    cells = cells.reshape(b, h + 2, w + 2, 2, 2 * f).transpose(0, 1, 3, 2, 4)
    return cells.reshape(b, 2 * h + 4, 2 * w + 4, f)[:, 1 : 2 * h + 1, 1 : 2 * w + 1]


def _split_into_phases(kernel: jax.Array, axis: int) -> jax.Array:
    """Three entries along an axis → `[tap, phase]`: what two neighbors add to the two pixels between them."""
    first, middle, last = (jax.lax.index_in_dim(kernel, i, axis, keepdims=False) for i in range(3))
    # The second pixel of the one neighbor, and the first of the other.
    taps = jnp.stack([first + middle, first], axis), jnp.stack([last, middle + last], axis)
    return jnp.stack(taps, axis)


def convolve_by_slices(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """Convolution 3×3×3 of volumes, SAME and without stride, as one of images: for CPUs.

    A slice and its two neighbors form one image of 3c channels. XLA has no fast path for three axes on a CPU:
    4 patches of 16×32×32 with 4 channels take 132 ms forward, 311 and 246 ms for the two gradients; this way
    9, 22 and 21 ms. Accelerators use XLA's convolution, which needs a third of the memory.

    Args:
        x: `[b, d, h, w, c]`.
        kernel: `[3, 3, 3, c, f]`. The further arguments that `nn.Conv` passes are those of SAME.

    Returns:
        `[b, d, h, w, f]`.
    """
    (b, d, h, w, c), f = x.shape, kernel.shape[-1]
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    stacked = jnp.concatenate([padded[:, i : i + d] for i in range(3)], -1).reshape(b * d, h, w, 3 * c)
    # [3, 3, 3, c, f] -> [3, 3, 3·c, f]: the neighbor is the slower of the two, as in the images.
    flat = kernel.transpose(1, 2, 0, 3, 4).reshape(3, 3, 3 * c, f)
    axes = ("NHWC", "HWIO", "NHWC")
    out = jax.lax.conv_general_dilated(stacked, flat, (1, 1), "SAME", dimension_numbers=axes)
    return out.reshape(b, d, h, w, f)


def choose_depthwise(name: str) -> Callable | None:
    """The function that convolves each channel by itself, as `choose_convolution`; None: XLA's own."""
    return None if name == "direct" else convolve_depthwise


def convolve_depthwise(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], *_: Any, **__: Any
) -> jax.Array:
    """Convolution k×k of each channel by itself, SAME, as a sum of k² shifted products.

    XLA has no fast path for grouped convolutions on a CPU: its gradient of one of 96 channels at 64², 8
    images, took 10 s. The gradients are written out: with them that of a U-Net on EfficientNet-Lite0 takes
    195 ms (8 images of 64², one core) and 830 (128²), by automatic differentiation of the sum 229 and 1016.

    Args:
        x: `[b, h, w, c]`.
        kernel: `[k, k, 1, c]`. The further arguments that `nn.Conv` passes are those of SAME.
        strides: along h and w, two times 1 or two times 2.

    Returns:
        `[b, ⌈h/stride⌉, ⌈w/stride⌉, c]`.
    """
    return _depthwise(x, kernel[:, :, 0], strides[0])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`convolve_depthwise` with a kernel `[k, k, c]`.

    Of a strided slice the gradient would be a scatter, of each of the k² slices a padded array of its own.
    """
    k = len(kernel)
    shifted = _shifts(x, k, stride)
    return _sum([(shifted(i, j), kernel[i, j]) for i in range(k) for j in range(k)])


def _sum(terms: Sequence[tuple[jax.Array, jax.Array]]) -> jax.Array:
    """Sum of the products, in float32 whatever their type is, and in that type again."""
    products = (first.astype(jnp.float32) * second.astype(jnp.float32) for first, second in terms)
    return functools.reduce(jnp.add, products).astype(terms[0][0].dtype)


def _shifts(x: jax.Array, k: int, stride: int) -> Callable[[int, int], jax.Array]:
    """(i, j) → the pixels `[..., ⌈h/stride⌉, ⌈w/stride⌉, c]` that entry (i, j) of the kernel meets."""
    *_, h, w, c = x.shape
    rows, columns = -(-h // stride), -(-w // stride)
    margins = [same_margins(side, k, stride) for side in (h, w)]
    # To a multiple of the stride, so that its phases are a reshape and the slices are without stride.
    whole = [
        (before, behind + -(before + side + behind) % stride)
        for side, (before, behind) in zip((h, w), margins, strict=True)
    ]
    x = jnp.pad(x, ((0, 0),) * (x.ndim - 3) + (*whole, (0, 0)))
    phases = x.reshape(*x.shape[:-3], x.shape[-3] // stride, stride, x.shape[-2] // stride, stride, c)

    def shifted(i: int, j: int) -> jax.Array:
        phase, first, second = phases[..., i % stride, :, j % stride, :], i // stride, j // stride
        return phase[..., first : first + rows, second : second + columns, :]

    return shifted


def _depthwise_backward(stride, saved, grad):
    x, kernel = saved
    return _depthwise_input_gradient(x.shape, kernel, stride, grad), _depthwise_kernel_gradient(
        x, kernel, stride, grad
    )


def _depthwise_input_gradient(shape, kernel, stride, grad):
    """Each phase of the input is a sum of shifted products of the gradient."""
    (b, h, w, c), k = shape, len(kernel)
    (top, _), (left, _) = (same_margins(side, k, stride) for side in (h, w))
    # Pixels of a phase, and the furthest that a window reaches back in them.
    rows, columns, back = -(-(h + top) // stride), -(-(w + left) // stride), (k - 1) // stride
    margins = [
        (back, max(0, most - side)) for most, side in zip((rows, columns), grad.shape[1:3], strict=True)
    ]
    grad = jnp.pad(grad, ((0, 0), *margins, (0, 0)))

    def phase(p, q):
        terms = []
        for i in range(p, k, stride):
            for j in range(q, k, stride):
                first, second = back - i // stride, back - j // stride
                terms.append((grad[:, first : first + rows, second : second + columns], kernel[i, j]))
        return _sum(terms)

    lines = [jnp.stack([phase(p, q) for q in range(stride)], 3) for p in range(stride)]
    whole = jnp.stack(lines, 2).reshape(b, rows * stride, columns * stride, c)
    return whole[:, top : top + h, left : left + w]


def _depthwise_kernel_gradient(x, kernel, stride, grad):
    """Float32 sums over all pixels of the products of input and gradient."""
    k = len(kernel)

    def products(x, grad):
        shifted = _shifts(x, k, stride)
        grad = grad.astype(jnp.float32)
        return [shifted(i, j).astype(jnp.float32) * grad for i in range(k) for j in range(k)]

    if jax.default_backend() == "cpu":
        # Image by image: XLA's sum over the leading axes reads with the stride of the channels there, which
        # makes the whole net's gradient 1.12 (64²) to 1.17 times (128²) as slow.
        def add(sums, image):
            return [a + b for a, b in zip(sums, products(*image), strict=True)], None

        start = [jnp.zeros(grad.shape[1:], jnp.float32)] * (k * k)
        sums, _ = jax.lax.scan(add, start, (x, grad))
    else:
        sums = products(x, grad)
    return jnp.stack([s.sum(range(s.ndim - 1)) for s in sums]).reshape(kernel.shape).astype(kernel.dtype)


_depthwise.defvjp(lambda x, kernel, stride: (_depthwise(x, kernel, stride), (x, kernel)), _depthwise_backward)
