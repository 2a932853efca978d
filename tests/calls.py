"""Every operator as a call on tensors that stay: for tests of how the operators run."""

import torch

from cases import CONV_CASES, POOL_CASES, data
from checks import algorithms, forced

ops = torch.ops.cnnops


def named(cases, name):
    return next(case for case in cases if case.name == name)


CONV, POOL = named(CONV_CASES, "cifar_downsample"), named(POOL_CASES, "overlapping_ceil")


class Calls:
    """The operators on one convolution and one pooling, every algorithm of a convolution apart.

    Iterating yields (name, call). All calls read the same tensors, that fill and spoil change.
    """

    def __init__(
        self,
        device,
        dtype,
        memory_format=torch.contiguous_format,
        conv=CONV,
        pool=POOL,
    ):
        self.device, self.dtype, self.memory_format = device, dtype, memory_format
        self.conv, self.pool = conv, pool
        output = ops.max_pool2d(
            torch.empty(pool.input, device="meta"), *self._max_window, pool.ceil_mode
        )
        self.sizes = {
            "input": conv.input,
            "weight": conv.weight,
            "bias": conv.weight[:1],
            "transpose_bias": conv.input[1:2],
            "grad_output": conv.output,
            "map": pool.input,
            "grad_pooled": output.shape,
            "pooled": output.shape,
        }
        # Lp pooling divides by its result, which is not zero.
        self.tensors = {name: self._values(name, "").to(device) for name in self.sizes}
        _, self.offsets = ops.max_pool2d_with_offsets(
            self.tensors["map"], *self._max_window, pool.ceil_mode
        )

    def fill(self, values):
        """Values as other gives them."""
        for name, tensor in self.tensors.items():
            tensor.copy_(values[name])

    def spoil(self):
        for tensor in self.tensors.values():
            tensor.fill_(torch.nan)

    def other(self, salt):
        """Other values on the device."""
        return {name: self._values(name, salt).to(self.device) for name in self.sizes}

    def by_default(self):
        """(name, call), each convolution once, by the algorithm that the default chooses."""
        return [*self._convolutions().items(), *self._others().items()]

    def __iter__(self):
        for which, call in self._convolutions().items():
            for algorithm in algorithms(
                which, self.conv, self.dtype, self.device, self.memory_format
            ):
                yield f"{which} by {algorithm}", forced_call(algorithm, call)
        yield from self._others().items()

    def _values(self, name, salt):
        values = data(*self.sizes[name], salt=name + salt).to(self.dtype)
        values = values.abs() + 1 if name in ("map", "pooled") else values
        return values.contiguous(memory_format=self.memory_format) if values.dim() == 4 else values

    @property
    def _max_window(self):
        return *self.pool.window, list(self.pool.dilation)

    def _convolutions(self):
        conv, t = self.conv, self.tensors
        return {
            "forward": lambda: ops.conv2d(t["input"], t["weight"], t["bias"], *conv.options),
            "input_grad": lambda: ops.conv2d_input_grad(
                t["grad_output"], t["weight"], conv.input, *conv.options
            ),
            "weight_grad": lambda: ops.conv2d_weight_grad(
                t["grad_output"], t["input"], conv.weight, *conv.options
            ),
        }

    def _others(self):
        t, size = self.tensors, self.pool.input[2:]
        window, ceil = self.pool.window, self.pool.ceil_mode
        averaged = *window, ceil, False, None

        def lp(p):
            return lambda: ops.lp_pool2d(t["map"], p, *window, ceil)

        def lp_backward(p):
            return lambda: ops.lp_pool2d_backward(
                t["grad_pooled"], t["map"], t["pooled"], p, *window, ceil
            )

        calls = {
            "conv2d_bias_grad": lambda: ops.conv2d_bias_grad(t["grad_output"]),
            "conv_transpose2d": lambda: ops.conv_transpose2d(
                t["grad_output"], t["weight"], t["transpose_bias"], *self.conv.options
            ),
            "max_pool2d": lambda: ops.max_pool2d(t["map"], *self._max_window, ceil),
            "max_pool2d_with_offsets": lambda: ops.max_pool2d_with_offsets(
                t["map"], *self._max_window, ceil
            )[0],
            "offsets of max_pool2d": lambda: ops.max_pool2d_with_offsets(
                t["map"], *self._max_window, ceil
            )[1],
            "max_pool2d_backward": lambda: ops.max_pool2d_backward(
                t["grad_pooled"], self.offsets, size, *self._max_window
            ),
            "max_pool2d_select": lambda: ops.max_pool2d_select(
                t["map"], self.offsets, *self._max_window
            ),
            "max_pool2d_indices": lambda: ops.max_pool2d_indices(
                self.offsets, size, *self._max_window
            ),
            "avg_pool2d": lambda: ops.avg_pool2d(t["map"], *averaged),
            "avg_pool2d_backward": lambda: ops.avg_pool2d_backward(
                t["grad_pooled"], size, *averaged
            ),
        }
        for p in (1.0, 2.0, 3.0, 1.5):
            calls[f"lp_pool2d {p}"] = lp(p)
            calls[f"lp_pool2d_backward {p}"] = lp_backward(p)
        if self.pool.dilation != (1, 1):  # max pooling alone has one
            return {name: calls[name] for name in calls if "avg" not in name and "lp" not in name}
        return calls


def forced_call(algorithm, call):
    def run():
        with forced(algorithm):
            return call()

    return run
