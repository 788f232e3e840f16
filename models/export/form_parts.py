"""Small networks in which one part is in a form of its own, for `forms.py`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

SHAPE = (1, 3, 32, 32)
DIM = 12
SIDE = 8
CLASSES = 10


class LayerNorm2d(nn.LayerNorm):
    """Over the channels of each token of a map with channels first."""

    def forward(self, x):
        normed = super().forward(x.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


class RmsNorm2d(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        root = torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6)
        return x * root * self.weight[:, None, None]


class RmsNormLast(nn.RMSNorm):
    def forward(self, x):
        normed = super().forward(x.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


class NormByMoments(nn.Module):
    """GroupNorm as E[x^2] - E[x]^2, multiplied out."""

    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        axes = (1, 2, 3)
        mean = x.mean(axes, keepdim=True)
        variance = (x * x).mean(axes, keepdim=True) - mean * mean
        factor = torch.rsqrt(variance + 1e-5) * self.weight[:, None, None]
        return x * factor + (self.bias[:, None, None] - mean * factor)


def group_norm(dim):
    return nn.GroupNorm(1, dim)


class Pool(nn.Module):
    def __init__(self, window=3, counts=False, subtracts=True):
        super().__init__()
        padding = window // 2
        self.pool = nn.AvgPool2d(window, 1, padding, count_include_pad=counts)
        self.subtracts = subtracts

    def forward(self, x):
        return self.pool(x) - x if self.subtracts else self.pool(x)


class MaxPool(nn.Module):
    def forward(self, x):
        return functional.max_pool2d(x, 3, 1, 1) - x


class TokenMlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(SIDE * SIDE, 16)
        self.fc2 = nn.Linear(16, SIDE * SIDE)

    def forward(self, x):
        mixed = self.fc2(functional.gelu(self.fc1(x.flatten(2))))
        return mixed.reshape(x.shape)


class RandomMixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.rand(SIDE * SIDE, SIDE * SIDE))

    def forward(self, x):
        return (x.flatten(2) @ self.matrix.t()).reshape(x.shape)


class Attention(nn.Module):
    def __init__(self, heads=3):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(DIM, 3 * DIM)
        self.proj = nn.Linear(DIM, DIM)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        shape = (1, SIDE * SIDE, 3, self.heads, DIM // self.heads)
        q, k, v = self.qkv(tokens).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q * (DIM // self.heads) ** -0.5) @ k.transpose(-2, -1)
        mixed = weights.softmax(-1) @ v
        mixed = self.proj(mixed.transpose(1, 2).reshape(1, SIDE * SIDE, DIM))
        return mixed.transpose(1, 2).reshape(x.shape)


class FusedAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(DIM, 3, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return mixed.transpose(1, 2).reshape(x.shape)


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Conv2d(DIM, DIM, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc(x.mean((2, 3), keepdim=True)))


def sep_conv():
    return nn.Sequential(
        nn.Conv2d(DIM, 2 * DIM, 1),
        nn.ReLU(),
        nn.Conv2d(2 * DIM, 2 * DIM, 5, 1, 2, groups=2 * DIM),
        nn.Conv2d(2 * DIM, DIM, 1),
    )


def depthwise(window, **arguments):
    return nn.Conv2d(DIM, DIM, window, 1, window // 2, groups=DIM, **arguments)


def counted():
    return Pool(counts=True)


def behind_norm(mixer):
    return nn.Sequential(mixer, nn.BatchNorm2d(DIM))


class DepthwiseSum(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = behind_norm(depthwise(3, bias=False))
        self.narrow = behind_norm(depthwise(1, bias=False))

    def forward(self, x):
        return self.wide(x) + self.narrow(x)


def normed_gelu():
    return nn.Sequential(nn.BatchNorm2d(24), nn.GELU())


class Block(nn.Module):
    def __init__(self, norm, mixer, activation):
        super().__init__()
        self.norm1, self.norm2 = norm(DIM), norm(DIM)
        self.mixer = mixer()
        self.fc1, self.fc2 = nn.Conv2d(DIM, 24, 1), nn.Conv2d(24, DIM, 1)
        self.activation = activation()

    def forward(self, x):
        x = x + self.mixer(self.norm1(x))
        return x + self.fc2(self.activation(self.fc1(self.norm2(x))))


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, DIM, SIDE, SIDE))

    def forward(self, x):
        return x + self.positions


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class Average(nn.Module):
    """Of two classifiers, as distillation leaves them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(DIM, CLASSES), nn.Linear(DIM, CLASSES)

    def forward(self, x):
        x = x.mean((2, 3))
        return (self.first(x) + self.second(x)) / 2


class Prepare(nn.Module):
    def __init__(self, apply):
        super().__init__()
        self.apply_to = apply

    def forward(self, x):
        return self.apply_to(x)


def plain_stem():
    return nn.Conv2d(3, DIM, 7, 4, 2)


def convolutions(activation):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        activation(),
        nn.Conv2d(8, DIM, 3, 2, 1),
        nn.BatchNorm2d(DIM),
    )


def normed_stem():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        LayerNorm2d(8),
        nn.GELU(),
        nn.Conv2d(8, DIM, 3, 2, 1),
    )


def reduced(reduction):
    return nn.Sequential(nn.Conv2d(3, DIM, 3, 2, 1), nn.ReLU(), reduction)


def plain_head():
    return nn.Sequential(Mean(), nn.Linear(DIM, CLASSES))


def mlp_head():
    layers = [Mean(), nn.LayerNorm(DIM), nn.Linear(DIM, 24), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(24, CLASSES))


def network(
    stem=plain_stem,
    norm=group_norm,
    mixer=Pool,
    activation=nn.GELU,
    head=plain_head,
    further=(),
):
    block = Block(norm, mixer, activation)
    return nn.Sequential(stem(), block, *(make() for make in further), head())


@dataclass
class Form:
    part: str
    name: str
    make: Callable
    refused: bool = False  # by design
    normalises: bool = False  # the file, so the description must not
    trains: bool = False  # exported in training mode


def stem(name, make, **flags):
    return Form("stem", name, lambda: network(stem=make), **flags)


def norm(name, make, mixer=Pool, **flags):
    return Form("norm", name, lambda: network(norm=make, mixer=mixer), **flags)


def mixer(name, make, **flags):
    return Form("mixer", name, lambda: network(mixer=make), **flags)


def activation(name, make, **flags):
    return Form("activation", name, lambda: network(activation=make), **flags)


def head(name, make, **flags):
    return Form("head", name, lambda: network(head=make), **flags)


def prepared(name, apply):
    def make():
        return network(stem=lambda: nn.Sequential(Prepare(apply), plain_stem()))

    return Form("image", name, make, normalises=True)


MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

FORMS = [
    prepared("minus mean, over deviation", lambda x: (x - MEAN) / STD),
    prepared("times, plus", lambda x: x * (1 / STD) - MEAN / STD),
    prepared("channels the other way", lambda x: (x.flip(1) - 0.5) / 0.25),
    Form(
        "image",
        "BatchNorm",
        lambda: network(stem=lambda: nn.Sequential(nn.BatchNorm2d(3), plain_stem())),
        normalises=True,
    ),
    stem("Conv, BatchNorm, ReLU twice", lambda: convolutions(nn.ReLU)),
    stem("the same with ReLU6", lambda: convolutions(nn.ReLU6)),
    stem("the same with SiLU", lambda: convolutions(nn.SiLU)),
    stem("the same with Hardswish", lambda: convolutions(nn.Hardswish)),
    stem("the same with GELU", lambda: convolutions(nn.GELU)),
    stem("the same with LeakyReLU", lambda: convolutions(nn.LeakyReLU)),
    stem("max pool 3x3", lambda: reduced(nn.MaxPool2d(3, 2, 1))),
    stem("average pool 2x2", lambda: reduced(nn.AvgPool2d(2))),
    stem(
        "average pool 3x3, padding not counted",
        lambda: reduced(nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    ),
    stem(
        "depthwise 3x3 of stride 2, 1x1",
        lambda: reduced(
            nn.Sequential(
                nn.Conv2d(DIM, DIM, 3, 2, 1, groups=DIM), nn.Conv2d(DIM, DIM, 1)
            )
        ),
    ),
    stem("position embedding", lambda: nn.Sequential(plain_stem(), Positions())),
    stem(
        "explicit zero padding",
        lambda: nn.Sequential(nn.ZeroPad2d((0, 2, 1, 1)), nn.Conv2d(3, DIM, 5, 4)),
    ),
    stem(
        "dilated convolution",
        lambda: nn.Conv2d(3, DIM, 3, 4, 2, dilation=2),
        refused=True,
    ),
    norm("GroupNorm, one group", group_norm),
    norm("GroupNorm multiplied out", NormByMoments),
    norm("LayerNorm of each token", LayerNorm2d),
    norm("RMSNorm of each token", RmsNorm2d),
    norm("nn.RMSNorm", RmsNormLast),
    norm("BatchNorm", nn.BatchNorm2d),
    norm("BatchNorm, separable convolution", nn.BatchNorm2d, sep_conv),
    norm("BatchNorm, attention", nn.BatchNorm2d, Attention),
    norm("none", lambda dim: nn.Identity()),
    norm("GroupNorm, four groups", lambda dim: nn.GroupNorm(4, dim), refused=True),
    norm("InstanceNorm", lambda dim: nn.InstanceNorm2d(dim), refused=True),
    mixer("pool 3x3", Pool),
    mixer("pool 5x5", lambda: Pool(5)),
    mixer("pool 7x7", lambda: Pool(7)),
    mixer("pool 3x3 that counts padding", lambda: Pool(counts=True)),
    mixer("pool 3x3, nothing subtracted", lambda: Pool(subtracts=False)),
    mixer("depthwise 3x3", lambda: depthwise(3)),
    mixer("depthwise 7x7", lambda: depthwise(7)),
    mixer("separable convolution", sep_conv),
    mixer("attention", Attention),
    mixer("nn.MultiheadAttention", FusedAttention),
    mixer("random mixing", RandomMixing),
    mixer("identity", nn.Identity),
    mixer("max pool", MaxPool, refused=True),
    mixer("token MLP", TokenMlp, refused=True),
    mixer("squeeze and excitation", SqueezeExcite, refused=True),
    activation("ReLU", nn.ReLU),
    activation("ReLU6", nn.ReLU6),
    activation("GELU", nn.GELU),
    activation("GELU by tanh", lambda: nn.GELU(approximate="tanh")),
    activation("SiLU", nn.SiLU),
    activation("Hardswish", nn.Hardswish),
    activation("LeakyReLU", nn.LeakyReLU),
    activation("Mish", nn.Mish),
    activation("sigmoid", nn.Sigmoid),
    activation("SELU", nn.SELU),
    activation(
        "dropout left on",
        lambda: nn.Sequential(nn.GELU(), nn.Dropout(0.5)),
        refused=True,
        trains=True,
    ),
    head("mean, linear", plain_head),
    head("norm and MLP", mlp_head),
    head(
        "flat map",
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(DIM * SIDE * SIDE, CLASSES)),
    ),
    head("two averaged classifiers", Average),
    head("softmax behind", lambda: nn.Sequential(plain_head(), nn.Softmax(1))),
    Form(
        "stage",
        "average pool between stages",
        lambda: network(
            further=[lambda: nn.AvgPool2d(2), lambda: nn.Conv2d(DIM, DIM, 1)]
        ),
    ),
    Form(
        "stage",
        "max pool between stages",
        lambda: network(
            further=[lambda: nn.MaxPool2d(2), lambda: nn.Conv2d(DIM, DIM, 1)]
        ),
    ),
    # The seed of a form is its place, so others stay as they were measured.
    mixer("pool 7x7, nothing subtracted", lambda: Pool(7, subtracts=False)),
    mixer(
        "pool 5x5 that counts padding, nothing subtracted",
        lambda: Pool(5, counts=True, subtracts=False),
    ),
    norm("LayerNorm, pool alone", LayerNorm2d, lambda: Pool(subtracts=False)),
    norm("BatchNorm, pool alone", nn.BatchNorm2d, lambda: Pool(subtracts=False)),
    norm("none, pool that counts padding", lambda dim: nn.Identity(), counted),
    mixer("pool 3x3, BatchNorm behind it", lambda: behind_norm(Pool())),
    mixer("depthwise 3x3 and 1x1, BatchNorm behind each", DepthwiseSum),
    stem("Conv, LayerNorm, GELU, Conv", normed_stem),
    activation("softplus", nn.Softplus),
    activation("ELU", nn.ELU),
    Form(
        "activation", "GELU behind BatchNorm", lambda: network(activation=normed_gelu)
    ),
]
