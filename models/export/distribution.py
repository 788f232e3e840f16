"""Measure what eight bits do to networks with fresh random parameters and dimensions.

Example:
  python distribution.py --tadpool ../../target/debug/tadpool --seeds 6

Networks of `papers.py`, one for each token mixer and seed; dimensions, norms, activation
and head are drawn from the seed. `tadpool check` says how clean logits and steps are
with int8 streams and with what it chooses by itself; ONNX Runtime's static quantization
takes the same file and the same pictures. The table goes to `distribution.tsv`, and its
quantiles into RESULTS.md.
"""

import argparse
import json
import logging
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import timm
import torch
from onnxruntime.quantization import shape_inference
from PIL import Image
from torch import nn

import papers
from forms import describe, export, pictures

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))

from export import randomise
from onnxruntime_int8 import quantize

MIXERS = {
    "pooling": papers.Pooling,
    "identity": papers.Identity,
    "random mixing": papers.RandomMixing,
    "separable convolution": papers.SepConv,
    "attention": papers.Attention,
}
NORMS = {"LayerNorm": papers.Norm, "GroupNorm": papers.MapNorm}
S12 = "pooling, timm's PoolFormer-S12"
ACTIVATIONS = {"StarReLU": papers.StarReLU, "GELU": nn.GELU}
HEADS = {"linear": nn.Linear, "MLP": papers.MlpHead}


class Form:
    """What `describe` asks for."""

    normalises = False


def draw(mixer, seed):
    """A network, and what was drawn for it; the S12 as timm begins to train it."""
    if mixer == S12:
        torch.manual_seed(seed)
        network = timm.create_model("poolformer_s12", num_classes=10)
        return network.eval(), ["64x128x320x512", "GroupNorm", "GELU", "linear"]
    choice = random.Random(f"{mixer} {seed}")
    # Heads of four values divide them all.
    dims = [choice.randrange(8, 49, 8), choice.randrange(16, 97, 8)]
    norm, activation = choice.choice([*NORMS]), choice.choice([*ACTIVATIONS])
    head = choice.choice([*HEADS])
    torch.manual_seed(seed)
    network = papers.MetaFormer(
        (32, 32),
        (MIXERS[mixer], MIXERS[mixer]),
        dims=dims,
        norm=NORMS[norm],
        activation=ACTIVATIONS[activation],
        head=HEADS[head],
        classes=10,
    )
    randomise(network, seed)
    return network.eval(), ["x".join(map(str, dims)), norm, activation, head]


def decibels(folder, stream, tadpool):
    command = [tadpool, "check", folder / "model.toml", "--json"]
    command += ["--hybrid-images", "1", "--stream", stream]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    steps = [step["sqnr_db"] for step in json.loads(done.stdout)["steps"]]
    steps = [value for value in steps if value is not None]
    return [f"{min(steps):.1f}", f"{steps[-1]:.1f}"]


def normalised(folder):
    """The pictures as `describe` says that the network takes them, one at a time."""
    for picture in sorted(folder.glob("*/*")):
        pixels = np.asarray(Image.open(picture).convert("RGB"), np.float32) / 255
        yield (pixels.transpose(2, 0, 1)[None] - 0.5) / 0.25


def logits(path, folder):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    each = [session.run(None, {"image": image})[0] for image in normalised(folder)]
    return np.concatenate(each).astype(np.float64)


def of_onnxruntime(folder, work, method):
    """Decibels of the logits after ONNX Runtime's static quantization, weights per channel."""
    prepared, target = folder / "prepared.onnx", folder / "quantized.onnx"
    shape_inference.quant_pre_process(str(folder / "model.onnx"), str(prepared))
    calibration = normalised(work / "calibration")
    quantize(prepared, target, calibration, method, True, "int8")
    expected = logits(folder / "model.onnx", work / "evaluation")
    noise = logits(target, work / "evaluation") - expected
    return f"{10 * np.log10((expected**2).sum() / (noise**2).sum()):.1f}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tadpool", required=True, help="the command `tadpool`")
    parser.add_argument("--seeds", type=int, default=6, help="networks of each mixer")
    parser.add_argument("--only", choices=[*MIXERS, S12], help="only this network")
    parser.add_argument("--first", type=int, default=1000, help="the first seed")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("distribution.tsv")
    )
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    lines = [
        "# Written by models/export/distribution.py: signal to noise in dB of the worst step",
        "# and of the logits, on 30 pictures of models/cifar10/evaluation; the last two of ONNX",
        "# Runtime's static quantization with the same pictures (int8, weights per channel).",
        "mixer\tseed\tdims\tnorm\tactivation\thead\tint8 step\tint8 logits\tauto step\tauto logits\tMinMax\tPercentile",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        pictures(work)
        folder = work / "network"
        folder.mkdir()
        for mixer in [arguments.only] if arguments.only else MIXERS:
            for seed in range(arguments.first, arguments.first + arguments.seeds):
                network, drawn = draw(mixer, seed)
                export(network, "TorchScript", 17, folder / "model.onnx")
                describe(folder, Form)
                measured = [
                    value
                    for stream in ("int8", "auto")
                    for value in decibels(folder, stream, arguments.tadpool)
                ]
                measured += [
                    of_onnxruntime(folder, work, method)
                    for method in ("MinMax", "Percentile")
                ]
                lines.append("\t".join([mixer, str(seed), *drawn, *measured]))
                print(lines[-1], flush=True)
    arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
