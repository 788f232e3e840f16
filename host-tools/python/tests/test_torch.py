"""Torch's modules; run with `--torch`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tadpool as tp
from conftest import LABELS, pixels


def pool_former() -> Any:
    """A PoolFormer of one block, not trained."""
    nn: Any = torch.nn
    Module: Any = nn.Module

    class Pooling(Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

        def forward(self, x: Any) -> Any:
            return self.pool(x) - x

    class Block(Module):  # type: ignore[misc]
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.norm1 = nn.GroupNorm(1, channels)
            self.mixer = Pooling()
            self.norm2 = nn.GroupNorm(1, channels)
            self.fc1 = nn.Conv2d(channels, 2 * channels, 1)
            self.fc2 = nn.Conv2d(2 * channels, channels, 1)

        def forward(self, x: Any) -> Any:
            x = x + self.mixer(self.norm1(x))
            return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))

    class Network(Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 4, stride=4)
            self.block = Block(8)
            self.norm = nn.GroupNorm(1, 8)
            self.head = nn.Linear(8, len(LABELS))

        def forward(self, x: Any) -> Any:
            return self.head(self.norm(self.block(self.stem(x))).mean([-2, -1]))

    torch.manual_seed(3)
    return Network()


@pytest.mark.filterwarnings("default")
def test_a_module_is_exported() -> None:
    module = pool_former().train()
    mean, std = [0.5, 0.4, 0.3], [0.25, 0.2, 0.3]
    model = tp.load(module, torch.zeros(1, 3, 24, 20), labels=LABELS, mean=mean, std=std)
    assert module.training
    assert (model.name, model.input_shape) == ("network", (24, 20, 3))
    images = pixels(60)
    inputs = (torch.tensor(images).permute(0, 3, 1, 2) / 255 - torch.tensor(mean).view(3, 1, 1)) / (
        torch.tensor(std).view(3, 1, 1)
    )
    with torch.no_grad():
        expected = module.eval()(inputs).numpy()
    scores = model.quantize(torch.tensor(images)).predict(torch.tensor(images[:8]))
    assert np.abs(scores - expected[:8]).max() < 0.05 * np.abs(expected).max()


def test_images_on_other_scales_are_refused() -> None:
    module = pool_former()
    model = tp.load(module, torch.zeros(1, 3, 24, 20))
    with pytest.raises(TypeError, match="raw pixels from 0 to 255 as uint8"):
        model.quantize(torch.zeros(4, 24, 20, 3))
    with pytest.raises(ValueError, match="move the channels to the end"):
        model.quantize(torch.zeros(4, 3, 24, 20, dtype=torch.uint8))
