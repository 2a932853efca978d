"""The operators by their definitions, in float64, with plain loops over positions.

Every function takes and returns numpy arrays. A "tap" is one product of a convolution: a position
of the small map (convolution output), a position of the kernel and a position of the large map
(convolution input). Forward, input gradient, weight gradient and transposed convolution differ only
in which of the three is summed into.
"""

import numpy as np


def taps(large, small, kernel, stride, padding, dilation):
    """Yield (small, kernel, large) positions of every product that lies inside the large map."""
    for i, j in np.ndindex(*small):
        for p, q in np.ndindex(*kernel):
            y = i * stride[0] - padding[0] + p * dilation[0]
            x = j * stride[1] - padding[2] + q * dilation[1]
            if 0 <= y < large[0] and 0 <= x < large[1]:
                yield (i, j), (p, q), (y, x)


def conv2d_size(size, kernel, stride, padding, dilation):
    """Height and width of a convolution's output; padding is (top, bottom, left, right)."""
    return tuple(
        (size[d] + padding[2 * d] + padding[2 * d + 1] - dilation[d] * (kernel[d] - 1) - 1)
        // stride[d]
        + 1
        for d in (0, 1)
    )


def conv_transpose2d_size(size, kernel, stride, padding, dilation):
    return tuple(
        (size[d] - 1) * stride[d]
        + dilation[d] * (kernel[d] - 1)
        + 1
        - padding[2 * d]
        - padding[2 * d + 1]
        for d in (0, 1)
    )


def _grouped(array, axis, groups):
    """Split one axis into (groups, channels of a group)."""
    shape = array.shape
    return array.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def conv2d(input, weight, bias, stride, padding, dilation, groups):
    batch, channels, *kernel = input.shape[0], weight.shape[0], *weight.shape[2:]
    size = conv2d_size(input.shape[2:], kernel, stride, padding, dilation)
    x, w = _grouped(input, 1, groups), _grouped(weight, 0, groups)
    y = np.zeros((batch, groups, channels // groups, *size))
    for small, tap, large in taps(input.shape[2:], size, kernel, stride, padding, dilation):
        y[(..., *small)] += np.einsum("ngc,gkc->ngk", x[(..., *large)], w[(..., *tap)])
    return _with_bias(y.reshape(batch, channels, *size), bias)


def conv2d_input_grad(grad_output, weight, input_size, stride, padding, dilation, groups):
    g, w = _grouped(grad_output, 1, groups), _grouped(weight, 0, groups)
    dx = np.zeros((input_size[0], groups, weight.shape[1], *input_size[2:]))
    for small, tap, large in taps(
        input_size[2:], grad_output.shape[2:], weight.shape[2:], stride, padding, dilation
    ):
        dx[(..., *large)] += np.einsum("ngk,gkc->ngc", g[(..., *small)], w[(..., *tap)])
    return dx.reshape(input_size)


def conv2d_weight_grad(grad_output, input, weight_size, stride, padding, dilation, groups):
    g, x = _grouped(grad_output, 1, groups), _grouped(input, 1, groups)
    dw = np.zeros((groups, weight_size[0] // groups, *weight_size[1:]))
    for small, tap, large in taps(
        input.shape[2:], grad_output.shape[2:], weight_size[2:], stride, padding, dilation
    ):
        dw[(..., *tap)] += np.einsum("ngk,ngc->gkc", g[(..., *small)], x[(..., *large)])
    return dw.reshape(weight_size)


def conv2d_bias_grad(grad_output):
    return grad_output.sum((0, 2, 3))


def conv_transpose2d(input, weight, bias, stride, padding, dilation, groups):
    batch, channels, *kernel = input.shape[0], weight.shape[1], *weight.shape[2:]
    size = conv_transpose2d_size(input.shape[2:], kernel, stride, padding, dilation)
    x, w = _grouped(input, 1, groups), _grouped(weight, 0, groups)
    y = np.zeros((batch, groups, channels, *size))
    for small, tap, large in taps(size, input.shape[2:], kernel, stride, padding, dilation):
        y[(..., *large)] += np.einsum("ngc,gck->ngk", x[(..., *small)], w[(..., *tap)])
    return _with_bias(y.reshape(batch, groups * channels, *size), bias)


def _with_bias(y, bias):
    return y if bias is None else y + bias[:, None, None]


def pool2d_size(size, kernel, stride, padding, dilation, ceil_mode):
    """torch's rule: with ceil_mode the last window starts inside the map or its left padding."""
    result = []
    for d in (0, 1):
        span = size[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1
        count = -(-span // stride[d]) + 1 if ceil_mode else span // stride[d] + 1
        if ceil_mode and (count - 1) * stride[d] >= size[d] + padding[d]:
            count -= 1
        result.append(count)
    return tuple(result)


def _window_taps(size, output, kernel, stride, padding, dilation):
    """The taps of a pooling operator, whose padding is the same on both sides."""
    sides = (padding[0], padding[0], padding[1], padding[1])
    return taps(size, output, kernel, stride, sides, dilation)


def max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode):
    """Output and the position of each maximum in its window: the first maximum, the last NaN."""
    size = pool2d_size(input.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    y = np.full((*input.shape[:2], *size), -np.inf)
    offsets = np.full(y.shape, -1)
    for small, tap, large in _window_taps(
        input.shape[2:], size, kernel_size, stride, padding, dilation
    ):
        value, best, place = input[(..., *large)], y[(..., *small)], offsets[(..., *small)]
        take = (value > best) | np.isnan(value) | (place < 0)
        y[(..., *small)] = np.where(take, value, best)
        offsets[(..., *small)] = np.where(take, tap[0] * kernel_size[1] + tap[1], place)
    return y, offsets


def max_pool2d_indices(offsets, input_size, kernel_size, stride, padding, dilation):
    """Flat positions h * W + w in the map."""
    indices = np.empty(offsets.shape, np.int64)
    for i, j in np.ndindex(*offsets.shape[2:]):
        p, q = np.divmod(offsets[..., i, j], kernel_size[1])
        y = i * stride[0] - padding[0] + p * dilation[0]
        x = j * stride[1] - padding[1] + q * dilation[1]
        indices[..., i, j] = y * input_size[1] + x
    return indices


def max_pool2d_backward(grad_output, indices, input_size):
    batch, channels = grad_output.shape[:2]
    dx = np.zeros((batch, channels, input_size[0] * input_size[1]))
    for n, c, i, j in np.ndindex(*grad_output.shape):
        dx[n, c, indices[n, c, i, j]] += grad_output[n, c, i, j]
    return dx.reshape(batch, channels, *input_size)


def max_pool2d_select(input, indices):
    y = np.empty(indices.shape)
    for n, c, i, j in np.ndindex(*indices.shape):
        y[n, c, i, j] = input[n, c].flat[indices[n, c, i, j]]
    return y


def window_sizes(size, output, kernel_size, stride, padding, count_include_pad):
    """Positions each average divides by: those in the padded map, or those in the map alone."""
    sides = []
    for d in (0, 1):
        begin = np.arange(output[d]) * stride[d] - padding[d]
        end = np.minimum(begin + kernel_size[d], size[d] + padding[d])
        if not count_include_pad:
            begin, end = np.maximum(begin, 0), np.minimum(end, size[d])
        sides.append(end - begin)
    return np.outer(*sides)


def avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    size = pool2d_size(input.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    divisor = divisor_override or window_sizes(
        input.shape[2:], size, kernel_size, stride, padding, count_include_pad
    )
    return _window_sums(input, size, kernel_size, stride, padding) / divisor


def avg_pool2d_backward(
    grad_output,
    input_size,
    kernel_size,
    stride,
    padding,
    ceil_mode,
    count_include_pad,
    divisor_override,
):
    size = grad_output.shape[2:]
    divisor = divisor_override or window_sizes(
        input_size, size, kernel_size, stride, padding, count_include_pad
    )
    shares = grad_output / divisor
    dx = np.zeros((*grad_output.shape[:2], *input_size))
    for small, _, large in _window_taps(input_size, size, kernel_size, stride, padding, (1, 1)):
        dx[(..., *large)] += shares[(..., *small)]
    return dx


def _window_sums(values, size, kernel_size, stride, padding):
    sums = np.zeros((*values.shape[:2], *size))
    for small, _, large in _window_taps(
        values.shape[2:], size, kernel_size, stride, padding, (1, 1)
    ):
        sums[(..., *small)] += values[(..., *large)]
    return sums


def lp_pool2d(input, norm_type, kernel_size, stride, padding, ceil_mode):
    """(kH kW / window size * sum x^p)^(1/p); NaN where that root or power is not real."""
    size = pool2d_size(input.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    scale = _lp_scale(input.shape[2:], size, kernel_size, stride, padding)
    with np.errstate(invalid="ignore"):
        sums = scale * _window_sums(input**norm_type, size, kernel_size, stride, padding)
        return sums ** (1 / norm_type)


def lp_pool2d_backward(
    grad_output, input, output, norm_type, kernel_size, stride, padding, ceil_mode
):
    """The sum of grad_output * scale * (x / y)^(p - 1) over the windows whose y is not 0."""
    size = grad_output.shape[2:]
    scale = _lp_scale(input.shape[2:], size, kernel_size, stride, padding)
    shares = np.where(output == 0, 0, grad_output * scale)
    divisors = np.where(output == 0, 1, output)
    dx = np.zeros(input.shape)
    for small, _, large in _window_taps(
        input.shape[2:], size, kernel_size, stride, padding, (1, 1)
    ):
        with np.errstate(invalid="ignore"):
            ratio = (input[(..., *large)] / divisors[(..., *small)]) ** (norm_type - 1)
        dx[(..., *large)] += shares[(..., *small)] * ratio
    return dx


def _lp_scale(size, output, kernel_size, stride, padding):
    windows = window_sizes(size, output, kernel_size, stride, padding, True)
    return kernel_size[0] * kernel_size[1] / windows
