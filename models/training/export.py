"""Write a network as ONNX, checked against PyTorch.

Examples:
  python export.py --checkpoint runs/poolformer/last.pt \\
      --output ../poolformer-cifar10/model.onnx
  python export.py --network poolformer --random --output /tmp/untrained.onnx

The file takes one image `image` [1, channels, height, width], normalised by
mean and standard deviation, and gives `logits` [1, classes].
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from metaformer import CONFIGS, Config, MetaFormer, count_macs, count_parameters


def randomise(model, seed):
    """Give every parameter a non-trivial value, so that no factor hides a fault."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "layer_scale" in name:
                parameter.copy_(0.5 + 0.2 * noise)
            elif "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.3 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)


def load_checkpoint(path):
    """The averaged weights of a checkpoint, as a network ready for inference."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    model = MetaFormer(Config.from_dict(checkpoint["config"]))
    model.load_state_dict(checkpoint["average"])
    return model.eval()


def difference(path, model, shape, seed=0):
    """Largest absolute difference between ONNX Runtime and PyTorch on noise."""
    image = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        expected = model(image).numpy()
    if logits.shape != expected.shape:
        raise SystemExit(f"{path}: shape {logits.shape} instead of {expected.shape}")
    return float(np.abs(logits - expected).max())


def export_torchscript(model, shape, path, opset=17, **options):
    """Export through TorchScript: GroupNorm becomes InstanceNormalization."""
    torch.onnx.export(
        model.eval(),
        (torch.zeros(shape),),
        str(path),
        dynamo=False,
        opset_version=opset,
        input_names=["image"],
        output_names=["logits"],
        **options,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--checkpoint", type=Path, help="checkpoint written by train.py"
    )
    source.add_argument(
        "--random",
        action="store_true",
        help="export random parameters, to try the tools without training",
    )
    parser.add_argument(
        "--network",
        choices=sorted(CONFIGS),
        default="poolformer",
        help="network for --random (a checkpoint knows its own)",
    )
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    parser.add_argument("--opset", type=int, default=17, help="ONNX operator set")
    parser.add_argument("--height", type=int, default=32, help="rows of the image")
    parser.add_argument("--width", type=int, default=32, help="columns of the image")
    parser.add_argument("--seed", type=int, default=0, help="seed for --random")
    arguments = parser.parse_args()

    if arguments.random:
        model = MetaFormer(CONFIGS[arguments.network]).eval()
        randomise(model, arguments.seed)
    else:
        model = load_checkpoint(arguments.checkpoint)
    shape = (1, model.config.in_channels, arguments.height, arguments.width)
    temporary = arguments.output.with_suffix(".tmp")
    export_torchscript(model, shape, temporary, arguments.opset)
    onnx.checker.check_model(str(temporary), full_check=True)
    error = difference(temporary, model, shape)
    if error > 1e-4:
        raise SystemExit(f"ONNX Runtime and PyTorch differ by {error:g}; not written")
    temporary.replace(arguments.output)
    print(
        f"{arguments.output}: {count_parameters(model)} parameters, "
        f"{count_macs(model, arguments.height, arguments.width)} multiply-accumulates, "
        f"largest difference to PyTorch {error:.1e}"
    )


if __name__ == "__main__":
    main()
