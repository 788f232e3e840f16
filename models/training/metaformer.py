"""PoolFormer and IdentityFormer for small images.

The block is that of the PoolFormer paper (Yu et al., "MetaFormer Is Actually
What You Need for Vision", 2022):

    x = x + layer_scale_1 * token_mixer(norm1(x))
    x = x + layer_scale_2 * mlp(norm2(x))

with exact GELU, a patch embedding of one convolution without norm in front of every
stage, and norm, global mean, linear at the end. The norms are GroupNorm of one group,
or BatchNorm, which takes no time on a microcontroller.
"""

from dataclasses import asdict, dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Config:
    """Everything that determines the shape of a network."""

    mixer: str  # "pool" or "identity"
    norm: str = "group"  # of a whole map; or "batch"
    dims: tuple = (32, 64, 128)
    depths: tuple = (2, 2, 2)
    mlp_ratio: int = 4
    stem: tuple = (5, 2, 2)  # kernel, stride, padding
    down: tuple = (3, 2, 1)
    in_channels: int = 3
    classes: int = 10
    layer_scale: float = 0.1  # initial value; it is learned

    def to_dict(self):
        return asdict(self)

    @staticmethod
    def from_dict(values):
        return Config(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        )


CONFIGS = {
    "poolformer": Config(mixer="pool"),
    "identityformer": Config(mixer="identity"),
    "nano": Config(
        mixer="pool",
        norm="batch",
        dims=(16, 48, 96),
        depths=(1, 2, 3),
        mlp_ratio=2,
        stem=(3, 2, 1),
    ),
}


class Pooling(nn.Module):
    """The token mixer of PoolFormer: mean of the 3x3 neighbours, less the token."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, x):
        return self.pool(x) - x


MIXERS = {"pool": Pooling, "identity": nn.Identity}
NORMS = {"group": lambda dim: nn.GroupNorm(1, dim), "batch": nn.BatchNorm2d}


class Mlp(nn.Module):
    """Two linear layers on the channels of each token, as 1x1 convolutions."""

    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim, config):
        super().__init__()
        self.norm1 = NORMS[config.norm](dim)
        self.token_mixer = MIXERS[config.mixer]()
        self.norm2 = NORMS[config.norm](dim)
        self.mlp = Mlp(dim, dim * config.mlp_ratio)
        self.layer_scale_1 = nn.Parameter(torch.full((dim,), config.layer_scale))
        self.layer_scale_2 = nn.Parameter(torch.full((dim,), config.layer_scale))

    def forward(self, x):
        scale_1 = self.layer_scale_1[:, None, None]
        scale_2 = self.layer_scale_2[:, None, None]
        x = x + scale_1 * self.token_mixer(self.norm1(x))
        return x + scale_2 * self.mlp(self.norm2(x))


class MetaFormer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embeddings = nn.ModuleList()
        self.stages = nn.ModuleList()
        channels = config.in_channels
        for index, (dim, depth) in enumerate(zip(config.dims, config.depths)):
            kernel, stride, padding = config.down if index else config.stem
            self.embeddings.append(
                nn.Conv2d(channels, dim, kernel, stride=stride, padding=padding)
            )
            self.stages.append(
                nn.Sequential(*(Block(dim, config) for _ in range(depth)))
            )
            channels = dim
        self.norm = NORMS[config.norm](channels)
        self.head = nn.Linear(channels, config.classes)
        self.apply(self._initialise)

    @staticmethod
    def _initialise(module):
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.zeros_(module.bias)

    def forward(self, x):
        for embedding, stage in zip(self.embeddings, self.stages):
            x = stage(embedding(x))
        return self.head(self.norm(x).mean((2, 3)))


def count_parameters(model):
    return sum(p.numel() for p in model.parameters())


def count_macs(model, height=32, width=32):
    """Multiply-accumulates of the convolutions and the head for one image."""
    total = 0

    def add(module, _, output):
        nonlocal total
        positions = output[0, 0].numel() if output.dim() == 4 else 1
        total += module.weight.numel() * positions

    hooks = [
        m.register_forward_hook(add)
        for m in model.modules()
        if isinstance(m, (nn.Conv2d, nn.Linear))
    ]
    with torch.no_grad():
        model(torch.zeros(1, model.config.in_channels, height, width))
    for hook in hooks:
        hook.remove()
    return total
