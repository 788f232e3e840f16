"""Write a PoolFormer-S12 at 224x224, untrained, with what the tools need beside it.

    python full_size.py --output s12
    tadpool run s12/model.toml --board qemu-mps2-an500 s12/calibration/00.png

What a full-size network takes of a board does not depend on its weights. They are
those that Hugging Face Transformers starts from, with layer scales between 0.02 and
0.32, so that every block has a part in the logits. The pictures are some of
`models/cifar10/calibration`, enlarged.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from transformers import PoolFormerConfig, PoolFormerForImageClassification

PICTURES = Path(__file__).parent.parent / "cifar10/calibration"
SIZE = 224
CLASSES = 1000

DESCRIPTION = """\
name = "poolformer-s12"
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


class Logits(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network(pixel_values=pixels).logits


def network(seed):
    torch.manual_seed(seed)
    made = PoolFormerForImageClassification(PoolFormerConfig(num_labels=CLASSES))
    for name, parameter in made.named_parameters():
        if "layer_scale" in name:
            parameter.data = 0.02 + 0.3 * torch.rand_like(parameter)
    return Logits(made).eval()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--pictures", type=int, default=32, help="default 32")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    arguments = parser.parse_args()
    folder = arguments.output
    (folder / "calibration").mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network(arguments.seed),
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
    text = DESCRIPTION.format(size=SIZE, labels=labels)
    (folder / "model.toml").write_text(text)


if __name__ == "__main__":
    main()
