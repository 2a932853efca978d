"""Two small networks for 32x32 images: one residual, one plain."""

import torch
import torch.nn.functional as F
from torch import nn

from ..modules import Conv2d, MaxPool2d


def _convolution(in_channels: int, out_channels: int, stride: int = 1) -> Conv2d:
    """A 3x3 convolution without bias (batch norm follows and has one), initialised as He et al."""
    conv = Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return conv


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input is carried by a parameter-free shortcut.

    Where the block halves the map and widens it, the shortcut takes every second pixel and pads
    the new channels with zeros (option A of the paper).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = _convolution(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def shortcut(self, input: torch.Tensor) -> torch.Tensor:
        if self.stride == 1 and self.new_channels == 0:
            return input
        sampled = input[:, :, :: self.stride, :: self.stride]
        return F.pad(sampled, (0, 0, 0, 0, 0, self.new_channels))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(input)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(input))


class CifarResNet(nn.Module):
    """The residual network for CIFAR-10 of He, Zhang, Ren and Sun (2015), section 4.2.

    A 3x3 convolution with 16 maps, then three stages of ``blocks`` blocks with 16, 32 and 64 maps
    on 32x32, 16x16 and 8x8 pixels, global average pooling and one linear layer:
    6 * blocks + 2 weighted layers. Input (N, in_channels, H, W), output logits (N, num_classes);
    any H, W >= 1, meant for 32.
    """

    def __init__(self, blocks: int, in_channels: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.stage1 = self._stage(blocks, 16, 16, stride=1)
        self.stage2 = self._stage(blocks, 16, 32, stride=2)
        self.stage3 = self._stage(blocks, 32, 64, stride=2)
        self.fc = nn.Linear(64, num_classes)

    @staticmethod
    def _stage(blocks: int, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
        first = _BasicBlock(in_channels, out_channels, stride)
        rest = (_BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1))
        return nn.Sequential(first, *rest)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(input)))
        out = self.stage3(self.stage2(self.stage1(out)))
        return self.fc(out.mean((2, 3)))


class CifarPlain(nn.Module):
    """A plain network in the manner of VGG (Simonyan and Zisserman 2014), with batch norm.

    ``widths`` lists one group of 3x3 convolutions after the other, each group ended by 2x2 max
    pooling; then global max pooling and one linear layer. Input (N, in_channels, H, W), output
    logits (N, num_classes); H and W at least 2 ** len(widths), meant for 32.
    """

    def __init__(
        self, widths: tuple[tuple[int, ...], ...], in_channels: int = 3, num_classes: int = 10
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for group in widths:
            for width in group:
                layers += [_convolution(channels, width), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            layers.append(MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(input).amax((2, 3)))


def resnet20(in_channels: int = 3, num_classes: int = 10) -> CifarResNet:
    """ResNet-20 of He et al. (2015): 269,722 parameters for three channels and ten classes."""
    return CifarResNet(3, in_channels, num_classes)


def plain8(in_channels: int = 3, num_classes: int = 10) -> CifarPlain:
    """Seven 3x3 convolutions in three groups and one linear layer."""
    return CifarPlain(((32, 32), (64, 64), (128, 128, 128)), in_channels, num_classes)
