"""Write the networks that the costs of the kernels are fitted to, and some to check them.

Example:
  python cost_grid.py --output GRID
  cargo xtask costs GRID

Each network has every token mixer in every stage, so that one execution tells of many
steps; sizes, norms, activations and windows are drawn from its seed. Parameters are
random: cycles do not depend on them.
"""

import argparse
import contextlib
import io
import json
import logging
import random
import sys
import tomllib
import warnings
from functools import partial
from pathlib import Path

import torch
from torch import nn

import papers
from forms import export

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))

from export import randomise

DESCRIPTION = """\
name = "{name}"
onnx = "{onnx}"

[input]
height = {height}
width = {width}
channels = "rgb"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]

[data]
labels = {labels}
calibration = "calibration"

[quantization]
stream = "int8"
rounding = "nearest"
"""
FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "family"
# One of each network and source; other exporters write the same steps.
CHECKED = [
    "poolformer_timm_script17",
    "poolformer_papers_script17_tanh",
    "poolformerv2_timm_script17",
    "identityformer_timm_script17",
    "randformer_papers_script17",
    "convformer_timm_script17",
    "caformer_timm_script17",
    "poolformer_transformers_script17",
]
NORMS = [papers.MapNorm, papers.Norm]
# Channels of the stages, of maps of about 20, 10, 5, 3 and 2 rows.
DIMS = [(12, 24, 40, 56, 80), (16, 20, 32, 64, 72)]
HEADS = [nn.Linear, papers.MlpHead]


class Depthwise(nn.Module):
    """A depthwise convolution as token mixer."""

    def __init__(self, dim, tokens, kernel=3):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)

    def forward(self, x):
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Mlp(nn.Module):
    """As that of the papers, with a ratio and biases."""

    def __init__(self, dim, activation, ratio, bias):
        super().__init__()
        self.fc1 = nn.Linear(dim, ratio * dim, bias)
        self.act = activation()
        self.fc2 = nn.Linear(ratio * dim, dim, bias)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Grid(nn.Module):
    """Stages of blocks, two of each mixer."""

    def __init__(self, seed):
        super().__init__()
        choice = random.Random(f"costs {seed}")
        self.side = [36, 32, 40, 28][seed % 4]
        activation = [nn.GELU, nn.ReLU, papers.StarReLU][seed % 3]
        self.embeddings, self.blocks = nn.ModuleList(), nn.ModuleList()
        side, inputs = self.side, 3
        for stage in range(5):
            dim = DIMS[seed % len(DIMS)][stage]
            window = ([5, 7, 3][seed % 3], 2, 2) if stage == 0 else (3, 2, 1)
            norm = papers.Norm if stage % 2 else None
            norms = (None, norm) if stage == 0 else (norm, None)
            self.embeddings.append(papers.Embedding(inputs, dim, window, *norms))
            side = (side + 2 * window[2] - window[0]) // window[1] + 1
            blocks = nn.ModuleList()
            for mixer in 2 * self.mixers(choice, side):
                norm = NORMS[(len(blocks) // 2 + stage + seed) % len(NORMS)]
                block = papers.Block(
                    dim, side * side, mixer, norm, activation, ("layer_scale",)
                )
                block.mlp = Mlp(dim, activation, choice.choice([4, 2, 4, 1]), stage < 2)
                blocks.append(block)
            self.blocks.append(blocks)
            inputs = dim
        self.norm = nn.LayerNorm(inputs, eps=1e-6)
        self.head = HEADS[seed % 2](inputs, [5, 10, 50][seed % 3])

    @staticmethod
    def mixers(choice, side):
        kernels = [k for k in (3, 5, 7) if k <= side] or [1]
        mixers = [papers.Pooling, papers.Identity]
        for mixer in (papers.SepConv, Depthwise):
            mixers.append(partial(mixer, kernel=choice.choice(kernels)))
        if side * side <= 200:
            mixers.append(papers.RandomMixing)
            mixers.append(partial(papers.Attention, head=4))
        return mixers

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        for embedding, blocks in zip(self.embeddings, self.blocks):
            x = embedding(x)
            for block in blocks:
                x = block(x)
        return self.head(self.norm(x.mean((1, 2))))


def pictures(folder, height, width, seed):
    """A few pictures of noise on a slope."""
    folder.mkdir(parents=True)
    noise = random.Random(seed)
    for number in range(6):
        base, slope = noise.randrange(40, 120), noise.randrange(0, 100)
        pixels = bytes(
            min(255, base + slope * (at % width) // width + noise.randrange(36))
            for at in range(3 * height * width)
        )
        picture = f"P6\n{width} {height}\n255\n".encode() + pixels
        (folder / f"{number}.ppm").write_bytes(picture)


def write(folder, seed):
    torch.manual_seed(seed)
    network = Grid(seed)
    randomise(network, seed)
    side = network.side
    pictures(folder / "calibration", side, side, seed)
    shape = (1, 3, side, side)
    with contextlib.redirect_stdout(io.StringIO()):
        export(network.eval(), "TorchScript", 17, folder / "model.onnx", shape)
    classes = network.head(torch.zeros(1, network.norm.weight.shape[0])).shape[1]
    describe(folder, "model.onnx", (side, side), classes)


def describe(folder, onnx, size, classes):
    text = DESCRIPTION.format(
        name=folder.name,
        onnx=onnx,
        height=size[0],
        width=size[1],
        labels=json.dumps([f"class {number}" for number in range(classes)]),
    )
    (folder / "model.toml").write_text(text)


def check(folder, fixture):
    """A description of a fixture, and pictures for it."""
    _, _, height, width = fixture["input_shape"]
    pictures(folder / "calibration", height, width, 0)
    describe(
        folder, FIXTURES / fixture["file"], (height, width), fixture["output_shape"][1]
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for seed in range(arguments.networks):
        write(arguments.output / "grid" / f"grid{seed:02}", seed)
    manifest = tomllib.loads((FIXTURES / "manifest.toml").read_text())
    for fixture in manifest["model"]:
        name = fixture["file"].removesuffix(".onnx")
        if name in CHECKED:
            check(arguments.output / "checked" / name, fixture)


if __name__ == "__main__":
    main()
