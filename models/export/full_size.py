"""Write a full-size network at 224x224, untrained, with what the tools need beside it.

    python full_size.py --network poolformer-s12 --output s12
    tadpool run s12/model.toml --stream int8 --board qemu-mps2-an500 s12/calibration/00.png

What a full-size network takes of a board does not depend on its weights. PoolFormer is
that of Hugging Face Transformers, with layer scales between 0.02 and 0.32, so that
every block has a part in the logits; the others are timm's MetaFormer with the
dimensions, token mixers and norms of "MetaFormer Baselines for Vision", Yu et al.,
and weights that keep the size of what they read. The pictures are some of
`models/cifar10/calibration`, enlarged.
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from timm.models import metaformer
from torch import nn
from transformers import PoolFormerConfig, PoolFormerForImageClassification

PICTURES = Path(__file__).parent.parent / "cifar10/calibration"
SIZE = 224
CLASSES = 1000
S12 = {"depths": (2, 2, 6, 2), "dims": (64, 128, 320, 512)}
S18 = {"depths": (3, 3, 9, 3), "dims": (64, 128, 320, 512)}

DESCRIPTION = """\
name = "{name}"
onnx = "model.onnx"
board = "qemu-mps2-an500"

[input]
height = {size}
width = {size}
channels = "rgb"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]

[data]
labels = [{labels}]
calibration = "calibration"
"""


class RandomMixing(nn.Module):
    """A fixed random matrix over the tokens; their number goes with the channels."""

    def __init__(self, dim, **_):
        super().__init__()
        tokens = {320: 14 * 14, 512: 7 * 7}[dim]
        matrix = torch.softmax(torch.rand(tokens, tokens), dim=-1)
        self.matrix = nn.Parameter(matrix, requires_grad=False)

    def forward(self, x):
        mixed = torch.matmul(x.flatten(2), self.matrix.t())
        return mixed.reshape(x.shape)


class Logits(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network(pixel_values=pixels).logits


def poolformer():
    made = PoolFormerForImageClassification(PoolFormerConfig(num_labels=CLASSES))
    for name, parameter in made.named_parameters():
        if "layer_scale" in name:
            parameter.data = 0.02 + 0.3 * torch.rand_like(parameter)
    return Logits(made)


def baseline(size, mixers, norms, use_mlp_head=False):
    """One of the baselines, with weights that keep the size of what they read."""
    made = metaformer.MetaFormer(
        token_mixers=mixers,
        norm_layers=norms,
        num_classes=CLASSES,
        use_mlp_head=use_mlp_head,
        **size,
    )
    for name, parameter in made.named_parameters():
        if name.endswith("matrix"):
            continue
        if parameter.dim() > 1:
            parameter.data.normal_(std=parameter[0].numel() ** -0.5)
        elif name.endswith("bias"):
            parameter.data.normal_(std=0.05)
        elif parameter.numel() > 1:
            parameter.data.uniform_(0.7, 1.3)
    return made


MAP = partial(metaformer.GroupNorm1NoBias, eps=1e-6)
TOKEN = metaformer.LayerNorm2dNoBias
TOKEN_LAST = metaformer.LayerNormNoBias

NETWORKS = {
    "poolformer-s12": poolformer,
    "poolformerv2-s12": lambda: baseline(S12, metaformer.Pooling, MAP),
    "identityformer-s12": lambda: baseline(S12, nn.Identity, MAP),
    "randformer-s12": lambda: baseline(
        S12, [nn.Identity, nn.Identity, RandomMixing, RandomMixing], MAP
    ),
    "convformer-s18": lambda: baseline(
        S18, metaformer.SepConv, TOKEN, use_mlp_head=True
    ),
    "caformer-s18": lambda: baseline(
        S18,
        [metaformer.SepConv] * 2 + [metaformer.Attention] * 2,
        [TOKEN] * 2 + [TOKEN_LAST] * 2,
        use_mlp_head=True,
    ),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--network",
        choices=NETWORKS,
        default="poolformer-s12",
        help="default poolformer-s12",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--pictures", type=int, default=32, help="default 32")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    arguments = parser.parse_args()
    folder = arguments.output
    (folder / "calibration").mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)
    torch.onnx.export(
        NETWORKS[arguments.network]().eval(),
        (torch.zeros(1, 3, SIZE, SIZE),),
        str(folder / "model.onnx"),
        dynamo=False,
        opset_version=17,
        input_names=["pixels"],
        output_names=["logits"],
    )
    files = sorted(PICTURES.glob("*/*.jpg"))
    for number in range(arguments.pictures):
        picture = Image.open(files[number * len(files) // arguments.pictures])
        enlarged = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        enlarged.save(folder / "calibration" / f"{number:02}.png")
    labels = ", ".join(f'"class {number}"' for number in range(CLASSES))
    text = DESCRIPTION.format(name=arguments.network, size=SIZE, labels=labels)
    (folder / "model.toml").write_text(text)


if __name__ == "__main__":
    main()
