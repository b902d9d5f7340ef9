"""Fast-SCNN and its training step in PyTorch, as a user of PyTorch writes them.

Layers, channels, dilations and heads are those of train/models/fast_scnn.py; strided convolutions are padded on both
sides, as PyTorch pads, which costs the same.
"""

from __future__ import annotations

from typing import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.training_contenders.batch import AUXILIARY_WEIGHT, BATCH_NORM_EPSILON, LEARNING_RATE, WEIGHT_DECAY

BOTTLENECKS = ((6, 64, 3, 2), (6, 96, 3, 2), (6, 128, 3, 1))
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON)


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, activate: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), norm(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if activate else []))


def depthwise(channels: int, stride: int = 1, dilation: int = 1, activate: bool = True) -> nn.Sequential:
    layers = [
        nn.Conv2d(channels, channels, 3, stride, dilation, dilation, groups=channels, bias=False),
        norm(channels),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if activate else []))


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(depthwise(inputs, stride, activate=False), conv(inputs, outputs))


class Bottleneck(nn.Module):
    """MobileNetV2's inverted residual."""

    def __init__(self, inputs: int, expansion: int, outputs: int, stride: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.layers = nn.Sequential(
            conv(inputs, middle), depthwise(middle, stride), conv(middle, outputs, activate=False)
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, h, w) to (N, outputs, h / stride, w / stride)."""
        y = self.layers(x)
        return x + y if self.residual else y


class Pyramid(nn.Module):
    """Pyramid pooling of PSPNet with 1, 2, 3 and 6 bins."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(conv(channels, channels // 4) for _ in range(4))
        self.out = conv(2 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, h, w) to the same shape."""
        parts = [x]
        for bins, branch in zip((1, 2, 3, 6), self.branches):
            pooled = branch(functional.adaptive_avg_pool2d(x, bins))
            parts.append(functional.interpolate(pooled, x.shape[2:], mode="bilinear", align_corners=False))
        return self.out(torch.cat(parts, 1))


class FastScnn(nn.Module):
    """Fast-SCNN with both auxiliary heads; gives (logits, auxiliary_high, auxiliary_low)."""

    def __init__(self, class_count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).reshape(1, 3, 1, 1))
        self.downsample = nn.Sequential(conv(3, 32, 3, 2), separable(32, 48, 2), separable(48, 64, 2))
        blocks, channels = [], 64
        for expansion, outputs, repeats, stride in BOTTLENECKS:
            for block in range(repeats):
                blocks.append(Bottleneck(channels, expansion, outputs, stride if block == 0 else 1))
                channels = outputs
        self.features = nn.Sequential(*blocks, Pyramid(channels))
        self.low = nn.Sequential(depthwise(128, dilation=4), conv(128, 128, activate=False))
        self.high = conv(64, 128, activate=False)
        self.classifier = nn.Sequential(
            separable(128, 128), separable(128, 128), nn.Dropout(0.1), nn.Conv2d(128, class_count, 1)
        )
        self.auxiliary_high = self._head(64, class_count)
        self.auxiliary_low = self._head(128, class_count)

    @staticmethod
    def _head(channels: int, class_count: int) -> nn.Sequential:
        return nn.Sequential(conv(channels, 32, 3), nn.Dropout(0.1), nn.Conv2d(32, class_count, 1))

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Map frames (N, 3, height, width) in 0..255 to the logits and those of both heads."""
        high = self.downsample((frames.float() - self.mean) / self.std)
        low = self.features(high)
        resized = functional.interpolate(low, high.shape[2:], mode="bilinear", align_corners=False)
        fused = functional.relu(self.low(resized) + self.high(high), inplace=True)
        return self.classifier(fused), self.auxiliary_high(high), self.auxiliary_low(low)


def prepare(frames: np.ndarray, labels: np.ndarray, class_count: int, threads: int, void: int) -> Callable[[], float]:
    """Return a function that takes one step, and a text that names the versions.

    Args:
        frames: crops (n, height, width, 3) uint8.
        labels: train ids (n, height, width) uint8.
        class_count: number of classes.
        threads: threads that PyTorch computes with.
        void: label that does not count.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = FastScnn(class_count).to(device, memory_format=torch.channels_last).train()
    forward = torch.compile(model) if device == "cuda" else model
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    # NHWC in memory, which is what channels_last means.
    batch = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2)
    target = torch.from_numpy(labels).to(device).long()

    def loss_of(logits: torch.Tensor, at_label_size: bool) -> torch.Tensor:
        if at_label_size:
            logits = functional.interpolate(logits, target.shape[1:], mode="bilinear", align_corners=False)
            return functional.cross_entropy(logits, target, ignore_index=void)
        stride = target.shape[1] // logits.shape[2]
        sampled = target[:, stride // 2 :: stride, stride // 2 :: stride]
        return functional.cross_entropy(logits, sampled, ignore_index=void)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        logits, high, low = forward(batch)
        loss = loss_of(logits, True) + AUXILIARY_WEIGHT * (loss_of(high, False) + loss_of(low, False))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def versions() -> str:
    return f"PyTorch {torch.__version__}"
