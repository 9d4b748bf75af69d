"""A convolution of pictures or volumes and the way back through it, in numpy."""

import numpy as np


def convolve(x, kernel, stride):
    """Pictures (N, *space, C) by a kernel (*edges, C, K), without padding."""
    axes = tuple(range(1, x.ndim - 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:-2], axes)
    windows = windows[(slice(None), *[slice(None, None, stride)] * len(axes))]
    return np.tensordot(windows, np.moveaxis(kernel, -2, 0), len(axes) + 1)


def deconvolve(gradients, kernel, stride, shape):
    """Bring derivatives back through `convolve` to its input of a shape."""
    result = np.zeros(shape)
    for offset in np.ndindex(*kernel.shape[:-2]):
        sides = zip(offset, gradients.shape[1:-1], strict=True)
        result[(slice(None), *(slice(o, o + stride * n, stride) for o, n in sides))] += (
            gradients @ kernel[offset].T
        )
    return result
