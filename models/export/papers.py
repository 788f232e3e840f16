"""The blocks of the MetaFormer papers, channels innermost.

Written from "MetaFormer Baselines for Vision" (Yu et al., 2022): a block is

    x = res_scale_1 * x + layer_scale_1 * token_mixer(norm1(x))
    x = res_scale_2 * x + layer_scale_2 * mlp(norm2(x))

on maps of shape [batch, height, width, channels]. A norm follows the first patch
embedding and precedes the others.
"""

import torch
from torch import nn


class Norm(nn.LayerNorm):
    """LayerNorm of each token, without bias if asked."""

    def __init__(self, dim, bias=False):
        super().__init__(dim, eps=1e-6, bias=bias)


class NormByHand(nn.Module):
    """LayerNorm of each token from means."""

    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.pow(2).mean(-1, keepdim=True)
        return centred / torch.sqrt(variance + 1e-6) * self.weight


class MapNorm(nn.Module):
    """One mean and one variance for the whole map."""

    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        centred = x - x.mean((1, 2, 3), keepdim=True)
        variance = (centred * centred).mean((1, 2, 3), keepdim=True)
        return centred * torch.rsqrt(variance + 1e-6) * self.weight + self.bias


class StarReLU(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.8944]))
        self.bias = nn.Parameter(torch.tensor([-0.4472]))

    def forward(self, x):
        return self.scale * torch.relu(x) ** 2 + self.bias


class SquaredReLU(nn.Module):
    def forward(self, x):
        return torch.relu(x).square()


class TanhGeluByHand(nn.Module):
    def forward(self, x):
        return 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x**3)))


class Pooling(nn.Module):
    def __init__(self, dim, tokens):
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, x):
        return self.pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) - x


class Identity(nn.Identity):
    def __init__(self, dim, tokens):
        super().__init__()


class RandomMixing(nn.Module):
    def __init__(self, dim, tokens):
        super().__init__()
        self.matrix = nn.Parameter(torch.rand(tokens, tokens).softmax(-1), False)

    def forward(self, x):
        batch, height, width, dim = x.shape
        x = x.reshape(batch, height * width, dim)
        x = torch.einsum("mn, bnc -> bmc", self.matrix, x)
        return x.reshape(batch, height, width, dim)


class SepConv(nn.Module):
    def __init__(self, dim, tokens, kernel=7):
        super().__init__()
        self.fc1 = nn.Linear(dim, 2 * dim, bias=False)
        self.act1 = StarReLU()
        self.depthwise = nn.Conv2d(
            2 * dim, 2 * dim, kernel, padding=kernel // 2, groups=2 * dim, bias=False
        )
        self.fc2 = nn.Linear(2 * dim, dim, bias=False)

    def forward(self, x):
        x = self.act1(self.fc1(x)).permute(0, 3, 1, 2)
        return self.fc2(self.depthwise(x).permute(0, 2, 3, 1))


class Attention(nn.Module):
    def __init__(self, dim, tokens, head=4):
        super().__init__()
        self.head = head
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.projection = nn.Linear(dim, dim, bias=False)

    def forward(self, x):
        batch, height, width, dim = x.shape
        tokens = height * width
        qkv = self.qkv(x).reshape(batch, tokens, 3, dim // self.head, self.head)
        q, k, v = self.parts(qkv.permute(2, 0, 3, 1, 4))
        x = self.attend(q, k, v).transpose(1, 2)
        return self.projection(x.reshape(batch, height, width, dim))

    def parts(self, qkv):
        return qkv.unbind(0)

    def attend(self, q, k, v):
        weights = (q @ k.transpose(-2, -1)) * self.head**-0.5
        return weights.softmax(-1) @ v


class FusedAttention(Attention):
    """One operator, in PyTorch at least."""

    def attend(self, q, k, v):
        return nn.functional.scaled_dot_product_attention(q, k, v)


class JoinedAttention(Attention):
    """ONNX's own operator on three axes, heads and their values in one."""

    def forward(self, x):
        batch, height, width, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, height * width, 3 * dim).chunk(3, -1)
        heads = dim // self.head
        x, *_ = torch.onnx.ops.attention(
            q, k, v, q_num_heads=heads, kv_num_heads=heads, scale=0.4
        )
        return self.projection(x.reshape(batch, height, width, dim))


class SplitAttention(Attention):
    """Queries, keys and values from a split; products as sums over labels."""

    def forward(self, x):
        batch, height, width, dim = x.shape
        tokens = height * width
        parts = self.qkv(x).reshape(batch, tokens, 3 * dim).chunk(3, -1)
        q, k, v = [p.reshape(batch, tokens, -1, self.head) for p in parts]
        weights = torch.einsum("bihd,bjhd->bhij", q * self.head**-0.5, k).softmax(-1)
        x = torch.einsum("bhij,bjhd->bihd", weights, v)
        return self.projection(x.reshape(batch, height, width, dim))


class SliceAttention(Attention):
    """Queries, keys and values from slices."""

    def parts(self, qkv):
        return [qkv[i : i + 1].squeeze(0) for i in range(3)]


class Mlp(nn.Module):
    def __init__(self, dim, activation):
        super().__init__()
        self.fc1 = nn.Linear(dim, 2 * dim, bias=False)
        self.act = activation()
        self.fc2 = nn.Linear(2 * dim, dim, bias=False)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim, tokens, mixer, norm, activation, scales):
        super().__init__()
        self.norm1, self.norm2 = norm(dim), norm(dim)
        self.token_mixer = mixer(dim, tokens)
        self.mlp = Mlp(dim, activation)
        for name in ("layer_scale_1", "layer_scale_2", "res_scale_1", "res_scale_2"):
            has = name.rsplit("_", 1)[0] in scales
            self.register_parameter(
                name, nn.Parameter(torch.ones(dim)) if has else None
            )

    def forward(self, x):
        def add(x, branch, res_scale, layer_scale):
            branch = branch if layer_scale is None else branch * layer_scale
            return (x if res_scale is None else x * res_scale) + branch

        branch = self.token_mixer(self.norm1(x))
        x = add(x, branch, self.res_scale_1, self.layer_scale_1)
        branch = self.mlp(self.norm2(x))
        return add(x, branch, self.res_scale_2, self.layer_scale_2)


class Embedding(nn.Module):
    """A convolution on channels first, with a norm before or behind it."""

    def __init__(self, inputs, outputs, window, before=None, behind=None):
        super().__init__()
        kernel, stride, padding = window
        self.before_norm = before(inputs) if before else None
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        self.behind_norm = behind(outputs) if behind else None

    def forward(self, x):
        if self.before_norm is not None:
            x = self.before_norm(x)
        x = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x if self.behind_norm is None else self.behind_norm(x)


class MlpHead(nn.Module):
    def __init__(self, dim, classes):
        super().__init__()
        self.fc1 = nn.Linear(dim, 2 * dim)
        self.act = SquaredReLU()
        self.norm = nn.LayerNorm(2 * dim)
        self.fc2 = nn.Linear(2 * dim, classes)

    def forward(self, x):
        return self.fc2(self.norm(self.act(self.fc1(x))))


class MetaFormer(nn.Module):
    """One entry of `mixers` and `dims` a stage, one block each."""

    def __init__(
        self,
        size,
        mixers,
        dims=(8, 12),
        norm=Norm,
        embedding_norm=Norm,
        activation=StarReLU,
        scales=("layer_scale", "res_scale"),
        channels=3,
        classes=5,
        head=nn.Linear,
    ):
        super().__init__()
        dims = dims[: len(mixers)]
        self.embeddings, self.blocks = nn.ModuleList(), nn.ModuleList()
        height, width = size
        for stage, (mixer, dim) in enumerate(zip(mixers, dims)):
            window = (7, 4, 2) if stage == 0 else (3, 2, 1)
            before, behind = [(embedding_norm, None), (None, embedding_norm)][
                stage == 0
            ]
            inputs = channels if stage == 0 else dims[stage - 1]
            self.embeddings.append(Embedding(inputs, dim, window, before, behind))
            kernel, stride, padding = window
            height = (height + 2 * padding - kernel) // stride + 1
            width = (width + 2 * padding - kernel) // stride + 1
            tokens = height * width
            self.blocks.append(Block(dim, tokens, mixer, norm, activation, scales))
        self.norm = nn.LayerNorm(dims[-1], eps=1e-6) if head else None
        self.head = head(dims[-1], classes) if head else None

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        for embedding, block in zip(self.embeddings, self.blocks):
            x = block(embedding(x))
        if self.head is None:
            return x.permute(0, 3, 1, 2)
        return self.head(self.norm(x.mean((1, 2))))
