"""Named problems shared by the tests, and the data they run on."""

import zlib
from dataclasses import dataclass

import torch

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
MEMORY_FORMATS = [torch.contiguous_format, torch.channels_last]


@dataclass(frozen=True)
class ConvCase:
    """A convolution: input (N, C, H, W), weight (K, C / groups, kH, kW).

    Padding is (top, bottom, left, right).
    """

    name: str
    input: tuple
    weight: tuple
    stride: tuple = (1, 1)
    padding: tuple = (0, 0, 0, 0)
    dilation: tuple = (1, 1)
    groups: int = 1

    @property
    def options(self):
        """The arguments after the tensors, in the operators' order."""
        return list(self.stride), list(self.padding), list(self.dilation), self.groups

    @property
    def output(self):
        height, width = (
            (self.input[2 + d] + sum(self.padding[2 * d : 2 * d + 2]) - self._reach(d))
            // self.stride[d]
            + 1
            for d in (0, 1)
        )
        return self.input[0], self.weight[0], height, width

    def _reach(self, d):
        return self.dilation[d] * (self.weight[2 + d] - 1) + 1


@dataclass(frozen=True)
class PoolCase:
    """A pooling window over an input (N, C, H, W)."""

    name: str
    input: tuple
    kernel_size: tuple
    stride: tuple
    padding: tuple = (0, 0)
    dilation: tuple = (1, 1)
    ceil_mode: bool = False

    @property
    def window(self):
        """Kernel size, stride and padding in the operators' order."""
        return list(self.kernel_size), list(self.stride), list(self.padding)


def _p(pad):
    return (pad, pad, pad, pad)


CONV_CASES = [
    ConvCase("lenet_c1", (2, 1, 20, 20), (6, 1, 5, 5)),
    ConvCase("lenet_c3", (2, 6, 12, 12), (16, 6, 5, 5)),
    ConvCase("lenet_c5", (2, 16, 5, 5), (120, 16, 5, 5)),
    ConvCase("cifar_stem", (2, 3, 16, 16), (16, 3, 3, 3), padding=_p(1)),
    ConvCase("cifar_block", (2, 16, 9, 9), (16, 16, 3, 3), padding=_p(1)),
    ConvCase("cifar_downsample", (2, 16, 12, 12), (32, 16, 3, 3), (2, 2), _p(1)),
    ConvCase("alexnet_stem", (1, 3, 35, 35), (8, 3, 11, 11), (4, 4), _p(2)),
    ConvCase("resnet_stem", (1, 3, 22, 22), (8, 3, 7, 7), (2, 2), _p(3)),
    ConvCase("many_channels", (1, 130, 5, 5), (67, 130, 3, 3), padding=_p(1)),
    ConvCase("vgg_tail", (1, 40, 7, 7), (40, 40, 3, 3), padding=_p(1)),
    ConvCase("pointwise", (2, 33, 7, 9), (17, 33, 1, 1)),
    ConvCase("pointwise_stride", (2, 16, 9, 8), (24, 16, 1, 1), (2, 3)),
    ConvCase("pointwise_padding", (2, 5, 4, 4), (7, 5, 1, 1), padding=_p(2)),
    ConvCase("pointwise_deep", (2, 300, 5, 7), (20, 300, 1, 1)),
    ConvCase("pointwise_deep_and_broad", (2, 300, 13, 17), (530, 300, 1, 1), (2, 2)),
    ConvCase("pointwise_deep_and_broad_small_map", (3, 300, 6, 5), (530, 300, 1, 1), (2, 2)),
    ConvCase("fully_connected", (5, 37, 1, 1), (11, 37, 1, 1)),
    ConvCase("whole_map", (3, 8, 4, 6), (10, 8, 4, 6)),
    ConvCase("depthwise", (2, 19, 9, 11), (19, 1, 3, 3), padding=_p(1), groups=19),
    ConvCase("depthwise_stride", (2, 16, 11, 11), (16, 1, 5, 5), (2, 2), _p(2), groups=16),
    ConvCase("depthwise_multiplier", (2, 6, 8, 8), (18, 1, 3, 3), padding=_p(1), groups=6),
    ConvCase("depthwise_dilation", (1, 8, 14, 13), (8, 1, 3, 3), (1, 2), _p(2), (3, 2), 8),
    ConvCase("grouped", (2, 12, 8, 8), (20, 3, 3, 3), padding=_p(1), groups=4),
    ConvCase("grouped_odd", (2, 15, 7, 7), (21, 5, 3, 2), (2, 1), (1, 0, 1, 1), (1, 2), 3),
    ConvCase("grouped_pairs", (2, 40, 9, 7), (40, 2, 3, 3), padding=_p(1), groups=20),
    ConvCase("few_results", (1, 48, 30, 40), (3, 48, 3, 3), padding=_p(1)),
    ConvCase("few_channels", (1, 3, 21, 40), (48, 3, 5, 5), (2, 2), _p(2)),
    ConvCase("strips", (1, 2, 90, 70), (3, 2, 3, 3), padding=_p(1)),
    ConvCase("dilated", (2, 4, 13, 15), (5, 4, 3, 3), padding=_p(2), dilation=(2, 3)),
    ConvCase("row", (2, 3, 1, 50), (4, 3, 1, 7), padding=(0, 0, 3, 3)),
    ConvCase("column", (2, 3, 50, 1), (4, 3, 7, 1), (2, 1)),
    ConvCase("wide", (1, 5, 3, 150), (17, 5, 3, 3), padding=_p(1)),
    ConvCase("small_map", (5, 79, 5, 5), (95, 79, 1, 1)),
    ConvCase("small_map_3x3", (3, 31, 3, 3), (31, 31, 3, 3), padding=_p(1)),
    ConvCase("depthwise_tall", (2, 51, 37, 9), (51, 1, 3, 3), padding=_p(1), groups=51),
    ConvCase("depthwise_tall_stride", (2, 51, 37, 12), (51, 1, 3, 3), (2, 2), _p(1), groups=51),
    ConvCase("even_kernel", (2, 4, 8, 9), (6, 4, 4, 2), padding=(1, 2, 0, 1)),
    ConvCase("lopsided_padding", (2, 3, 6, 5), (4, 3, 3, 3), (2, 1), (0, 3, 4, 1)),
    ConvCase("cropped", (2, 3, 9, 9), (4, 3, 3, 3), (1, 2), (-1, 0, -2, -1)),
    ConvCase("full", (2, 2, 4, 3), (3, 2, 3, 4), padding=(2, 2, 3, 3)),
    ConvCase("kernel_over_map", (2, 3, 2, 3), (4, 3, 5, 5), padding=_p(2)),
    ConvCase("padding_over_map", (2, 3, 3, 2), (4, 3, 3, 3), padding=_p(5)),
    ConvCase("stride_over_kernel", (2, 3, 13, 14), (4, 3, 2, 3), (5, 4), _p(1)),
    ConvCase("stride_over_map", (2, 3, 4, 4), (4, 3, 3, 3), (9, 9), _p(1)),
    ConvCase("many_output_channels", (1, 8, 3, 4), (530, 8, 1, 1)),
    ConvCase("many_images", (70, 3, 4, 4), (5, 3, 3, 3), padding=_p(1)),
    ConvCase("many_depthwise_images", (70, 5, 4, 4), (5, 1, 3, 3), padding=_p(1), groups=5),
    ConvCase("long_rows", (1, 2, 2, 4500), (2, 2, 1, 3), (1, 2), (0, 0, 1, 1)),
    ConvCase("long_depthwise_rows", (1, 2, 2, 4500), (2, 1, 1, 3), (1, 2), (0, 0, 1, 1), groups=2),
    # Tiles of 2 or 4 results a side: whole ones, rests of every size, a single one; channels that
    # fill vectors and that do not.
    ConvCase("tiles_whole", (2, 8, 8, 8), (8, 8, 3, 3), padding=_p(1)),
    ConvCase("tiles_rest_1", (2, 9, 9, 5), (11, 9, 3, 3), padding=_p(1)),
    ConvCase("tiles_rest_2", (1, 16, 10, 6), (24, 16, 3, 3), padding=_p(1)),
    ConvCase("tiles_rest_3", (1, 17, 7, 11), (33, 17, 3, 3), padding=_p(1)),
    ConvCase("tiles_many", (3, 13, 25, 30), (19, 13, 3, 3), padding=_p(1)),
    ConvCase("tiles_long", (1, 8, 3, 131), (9, 8, 3, 3), padding=_p(1)),
    ConvCase("tile_of_one", (3, 12, 3, 3), (10, 12, 3, 3)),
    ConvCase("tile_under_kernel", (2, 8, 1, 2), (8, 8, 3, 3), padding=_p(1)),
    ConvCase("tiles_unpadded", (1, 40, 12, 13), (21, 40, 3, 3)),
    ConvCase("tiles_full", (1, 8, 6, 7), (12, 8, 3, 3), padding=_p(2)),
    ConvCase("tiles_over_padding", (1, 8, 5, 4), (9, 8, 3, 3), padding=_p(9)),
    ConvCase("tiles_lopsided", (2, 10, 9, 8), (15, 10, 3, 3), padding=(0, 3, 4, 1)),
    ConvCase("tiles_cropped", (2, 11, 13, 12), (8, 11, 3, 3), padding=(-1, -2, -3, 0)),
    ConvCase("tiles_5x5", (2, 9, 9, 11), (13, 9, 5, 5), padding=_p(2)),
    ConvCase("tiles_5x5_whole", (1, 16, 8, 8), (16, 16, 5, 5), padding=_p(2)),
    ConvCase("tiles_5x5_lopsided", (1, 24, 7, 6), (8, 24, 5, 5), padding=(5, 0, -1, 3)),
    ConvCase("tiles_stride_even", (2, 16, 16, 8), (24, 16, 3, 3), (2, 2), _p(1)),
    ConvCase("tiles_stride_odd", (2, 9, 15, 9), (11, 9, 3, 3), (2, 2), _p(1)),
    ConvCase("tiles_stride_unpadded", (1, 13, 18, 21), (18, 13, 3, 3), (2, 2)),
    ConvCase("tiles_stride_lopsided", (1, 8, 12, 11), (17, 8, 3, 3), (2, 2), (0, 1, 3, 0)),
    ConvCase("tiles_stride_cropped", (2, 8, 14, 13), (8, 8, 3, 3), (2, 2), (-1, 2, 0, -2)),
    # Rows of at least ten pixels, whose windows share samples in channels_last: filters of several
    # blocks of rows, channels of groups, few images a tile, rows outside, rows apart, a gradient.
    ConvCase("rows_blocks", (2, 3, 41, 44), (20, 3, 11, 11), (3, 3), _p(5)),
    ConvCase("rows_groups", (2, 6, 9, 40), (40, 3, 3, 3), padding=_p(1), groups=2),
    ConvCase("rows_images", (5, 4, 4, 12), (17, 4, 3, 3), padding=_p(1)),
    ConvCase("rows_outside", (1, 3, 5, 12), (9, 3, 3, 3), padding=_p(6)),
    ConvCase("rows_apart", (1, 5, 16, 21), (16, 5, 3, 4), (1, 2), (2, 0, -1, 3), (3, 1)),
    ConvCase("rows_gradient", (2, 9, 24, 26), (12, 9, 4, 4), (2, 2), _p(1)),
    ConvCase("rows_columns", (1, 2, 14, 11), (70, 2, 1, 2)),
    ConvCase("rows_gray", (2, 1, 11, 20), (16, 1, 5, 5), padding=_p(2)),
    ConvCase("rows_of_vectors", (2, 4, 40, 75), (33, 4, 9, 9), (2, 2), _p(4)),
    ConvCase("taps_blocks", (2, 3, 90, 62), (9, 3, 5, 4), (3, 2), (1, 2, 3, 0)),
    ConvCase("taps_strips", (1, 2, 150, 200), (33, 2, 3, 3), padding=_p(1)),
    ConvCase("taps_unpadded", (3, 8, 40, 21), (16, 8, 3, 3)),
    ConvCase("taps_one_column", (2, 3, 30, 7), (20, 3, 3, 4), (1, 9)),
    ConvCase("one_everything", (1, 1, 1, 1), (1, 1, 1, 1)),
    ConvCase("batch_0", (0, 3, 6, 6), (4, 3, 3, 3), padding=_p(1)),
]

# Each kernel of the depthwise algorithm, and the borders of its bands, blocks and tiles.
DEPTHWISE_CASES = [
    ConvCase("three_stride", (2, 9, 14, 15), (9, 1, 3, 3), (2, 2), _p(1), groups=9),
    ConvCase("three_stride_valid", (1, 5, 9, 18), (5, 1, 3, 3), (2, 2), groups=5),
    ConvCase("three_stride_mixed", (1, 5, 9, 18), (5, 1, 3, 3), (2, 2), (1, 1, 0, 1), groups=5),
    ConvCase("five", (2, 10, 7, 20), (10, 1, 5, 5), padding=_p(2), groups=10),
    ConvCase("five_stride", (2, 3, 21, 35), (3, 1, 5, 5), (2, 2), _p(2), groups=3),
    ConvCase("seven", (1, 9, 7, 9), (9, 1, 7, 7), padding=_p(3), groups=9),
    ConvCase("pointwise", (2, 9, 5, 7), (9, 1, 1, 1), groups=9),
    ConvCase("two_stride", (2, 4, 9, 10), (4, 1, 2, 2), (2, 2), groups=4),
    ConvCase("four_stride", (2, 4, 11, 30), (4, 1, 4, 4), (2, 2), _p(1), groups=4),
    ConvCase("small_maps", (3, 70, 3, 2), (70, 1, 3, 3), padding=_p(1), groups=70),
    ConvCase("pairs", (3, 48, 9, 7), (48, 1, 3, 3), padding=_p(1), groups=48),
    ConvCase("pairs_many", (2, 32, 21, 22), (32, 1, 3, 3), padding=_p(1), groups=32),
    ConvCase("pairs_edge", (2, 32, 9, 23), (32, 1, 3, 3), padding=_p(2), groups=32),
    ConvCase("pairs_stride", (2, 32, 18, 21), (32, 1, 3, 3), (2, 2), _p(1), groups=32),
    ConvCase("pairs_even", (2, 32, 17, 20), (32, 1, 3, 3), (2, 2), groups=32),
    ConvCase("pairs_apart", (1, 16, 15, 16), (16, 1, 3, 3), (2, 2), _p(2), (2, 2), 16),
    ConvCase("pairs_cropped", (1, 16, 12, 13), (16, 1, 3, 3), (2, 2), (-1, 2, 1, -2), groups=16),
    ConvCase("pairs_far", (1, 16, 14, 13), (16, 1, 3, 3), (2, 2), (-3, 1, -3, 2), groups=16),
    ConvCase("small_maps_blocks", (3, 83, 7, 6), (83, 1, 3, 3), padding=_p(1), groups=83),
    ConvCase("small_maps_stride", (2, 40, 14, 15), (40, 1, 3, 3), (2, 2), _p(1), groups=40),
    ConvCase("small_maps_apart", (2, 24, 8, 7), (24, 1, 2, 2), (3, 3), groups=24),
    ConvCase("vector_wide_maps", (2, 20, 7, 7), (20, 1, 3, 3), padding=_p(1), groups=20),
    ConvCase("halved", (2, 5, 27, 25), (5, 1, 3, 3), (2, 2), _p(1), groups=5),
    ConvCase("halved_tall_strips", (1, 3, 26, 100), (3, 1, 3, 3), (2, 2), _p(1), groups=3),
    ConvCase("halved_whole_strips", (1, 3, 10, 64), (3, 1, 3, 3), (2, 2), _p(1), groups=3),
    ConvCase("halved_two_rows", (3, 5, 13, 14), (5, 1, 3, 3), (2, 2), _p(1), groups=5),
    ConvCase("halved_rows_crop", (2, 3, 20, 15), (3, 1, 3, 3), (2, 2), (1, -4, 1, -3), groups=3),
    ConvCase("halved_wide", (3, 2, 8, 70), (2, 1, 3, 3), (2, 2), (1, 0, 1, 0), groups=2),
    ConvCase("halved_crop", (2, 3, 9, 29), (3, 1, 3, 3), (2, 2), (1, 0, 1, -3), groups=3),
    ConvCase("bands", (1, 2, 90, 130), (2, 1, 3, 3), padding=_p(1), groups=2),
    ConvCase("bands_many", (1, 2, 150, 120), (2, 1, 3, 3), padding=_p(1), groups=2),
    ConvCase("bands_stride", (1, 2, 131, 130), (2, 1, 3, 3), (2, 2), _p(1), groups=2),
    ConvCase("column_blocks", (1, 2, 5, 1100), (2, 1, 3, 3), padding=_p(1), groups=2),
    ConvCase("column_blocks_many", (1, 1, 16, 1100), (1, 1, 3, 3), padding=_p(1), groups=1),
    ConvCase("column_blocks_stride", (1, 2, 4, 2200), (2, 1, 3, 3), (2, 2), _p(1), groups=2),
    ConvCase("crop", (2, 3, 12, 13), (3, 1, 3, 3), (2, 2), (-1, 0, -3, -1), groups=3),
    ConvCase("wide_padding", (2, 3, 4, 5), (3, 1, 3, 3), padding=(9, 2, 11, 17), groups=3),
    ConvCase("dilation", (1, 8, 30, 31), (8, 1, 3, 3), (2, 2), _p(4), (4, 3), 8),
]

POOL_CASES = [
    PoolCase("halving", (2, 5, 8, 8), (2, 2), (2, 2)),
    PoolCase("halving_odd", (2, 3, 7, 9), (2, 2), (2, 2)),
    PoolCase("halving_ceil", (2, 3, 7, 9), (2, 2), (2, 2), ceil_mode=True),
    PoolCase("halving_four_channels", (2, 4, 7, 9), (2, 2), (2, 2), ceil_mode=True),
    PoolCase("overlapping", (2, 17, 9, 9), (3, 3), (2, 2)),
    PoolCase("overlapping_ceil", (2, 4, 10, 8), (3, 3), (2, 2), ceil_mode=True),
    PoolCase("resnet_stem", (1, 8, 12, 12), (3, 3), (2, 2), (1, 1)),
    PoolCase("halving_two_rows", (3, 5, 15, 14), (2, 2), (2, 2)),
    PoolCase("halving_tall", (1, 2, 521, 14), (2, 2), (2, 2)),
    PoolCase("overlapping_two_rows", (3, 5, 13, 13), (3, 3), (2, 2)),
    PoolCase("overlapping_two_rows_padded", (2, 3, 14, 14), (3, 3), (2, 2), (1, 1)),
    PoolCase("overlapping_strips", (2, 3, 35, 70), (3, 3), (2, 2), (1, 1)),
    PoolCase("overlapping_strips_ceil", (1, 2, 13, 38), (3, 3), (2, 2), ceil_mode=True),
    PoolCase("overlapping_whole_strips", (2, 3, 11, 33), (3, 3), (2, 2)),
    PoolCase("overlapping_whole_strips_padded", (1, 3, 12, 64), (3, 3), (2, 2), (1, 1)),
    PoolCase("overlapping_tall", (1, 2, 230, 40), (3, 3), (2, 2)),
    PoolCase("overlapping_deep", (2, 37, 35, 9), (3, 3), (2, 2), (1, 1)),
    PoolCase("overlapping_deep_ceil", (1, 121, 10, 130), (3, 3), (2, 2), ceil_mode=True),
    PoolCase("overlapping_maps", (5, 3, 9, 9), (3, 3), (2, 2)),
    PoolCase("same_size_deep", (1, 33, 18, 9), (3, 3), (1, 1), (1, 1)),
    PoolCase("stride_over_kernel_deep", (2, 18, 11, 13), (2, 2), (4, 5)),
    PoolCase("thirds_ceil", (2, 5, 10, 8), (3, 3), (3, 3), ceil_mode=True),
    PoolCase("same_size", (2, 16, 7, 7), (3, 3), (1, 1), (1, 1)),
    PoolCase("same_size_blocks", (2, 3, 14, 15), (3, 3), (1, 1), (1, 1)),
    PoolCase("same_size_many", (2, 3, 90, 70), (3, 3), (1, 1), (1, 1)),
    PoolCase("same_size_broad", (1, 5, 6, 9), (3, 5), (1, 1), (1, 2)),
    PoolCase("dense", (1, 33, 5, 40), (2, 2), (1, 1)),
    PoolCase("rectangular", (2, 3, 11, 6), (4, 2), (3, 1), (2, 1)),
    PoolCase("padded_ceil", (2, 3, 6, 9), (3, 4), (2, 3), (1, 2), ceil_mode=True),
    PoolCase("stride_over_kernel", (2, 3, 11, 13), (2, 2), (4, 5)),
    PoolCase("stride_over_kernel_ceil", (2, 3, 11, 13), (2, 1), (4, 5), (1, 0), ceil_mode=True),
    PoolCase("global", (3, 19, 4, 6), (4, 6), (4, 6)),
    PoolCase("large_window", (1, 2, 24, 24), (17, 16), (5, 7), (8, 8)),
    PoolCase("kernel_1", (2, 3, 4, 5), (1, 1), (1, 1)),
    PoolCase("subsampling", (2, 3, 7, 5), (1, 1), (3, 2), ceil_mode=True),
    PoolCase("kernel_over_map", (2, 3, 2, 3), (4, 5), (1, 1), (2, 2)),
    PoolCase("row", (2, 3, 1, 40), (1, 3), (1, 2), (0, 1)),
    PoolCase("long_rows", (1, 2, 1, 4500), (1, 3), (1, 2), (0, 1)),
    PoolCase("one_everything", (1, 1, 1, 1), (1, 1), (1, 1)),
    PoolCase("batch_0", (0, 3, 6, 6), (3, 3), (2, 2), (1, 1)),
]

DILATED_POOL_CASES = [
    PoolCase("dilated", (2, 3, 11, 12), (3, 2), (1, 2), (1, 1), (2, 3)),
    PoolCase("dilated_ceil", (2, 5, 13, 10), (2, 3), (3, 2), (1, 1), (4, 2), ceil_mode=True),
    PoolCase("dilated_dense", (2, 16, 9, 9), (3, 3), (1, 1), (1, 1), (2, 2)),
]


def ids(cases):
    return [case.name for case in cases]


def data(*size, salt=""):
    """Normal float64 values that both half types hold exactly, the same for the same arguments."""
    generator = torch.Generator().manual_seed(zlib.crc32(repr((size, salt)).encode()))
    values = torch.randn(size, generator=generator, dtype=torch.float64)
    return values.bfloat16().half().double()
