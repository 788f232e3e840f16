"""Static int8 quantization by ONNX Runtime, measured: what tadpool is compared with.

Example:
  python onnxruntime_int8.py ../poolformer-cifar10 --data /tmp/cifar10/test

Quantizes the model folder's ONNX file with its calibration images, by every
calibration method (MinMax, Entropy, Percentile), with one scale a tensor and with
one a channel of the weights, in QDQ form. Prints top-1 and the share of images with
the float network's prediction, for the float network and for each of them.

The graph is prepared as ONNX Runtime advises (shape inference and its optimizer)
before it is quantized. Weights are symmetric int8, activations int8 or, with
--activations uint8, uint8.
"""

import argparse
import contextlib
import io
import json
import logging
import sys
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization import shape_inference

from data import load_folder

METHODS = ["MinMax", "Entropy", "Percentile"]
ACTIVATIONS = {"int8": "QInt8", "uint8": "QUInt8"}


class Images(quantization.CalibrationDataReader):
    """The calibration images, one at a time."""

    def __init__(self, images):
        self.images = iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"image": image}


def network_inputs(folder, model, every=1):
    """Normalised images, one [1, 3, H, W] at a time, and their labels."""
    images, labels, classes = load_folder(folder, every)
    if classes != sorted(model["data"]["labels"]):
        raise SystemExit(f"{folder} has other classes than model.toml")
    places = [model["data"]["labels"].index(name) for name in classes]
    mean = np.array(model["input"]["mean"], np.float32).reshape(1, 3, 1, 1)
    std = np.array(model["input"]["std"], np.float32).reshape(1, 3, 1, 1)
    pixels = images.numpy()

    def each():
        for image in pixels:
            yield (image[None].astype(np.float32) / 255 - mean) / std

    return each, np.array([places[label] for label in labels.tolist()])


def predictions(path, images, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    classes = [session.run(None, {"image": image})[0].argmax() for image in images]
    return np.array(classes)


def quantize(source, target, images, method, per_channel, activations):
    with contextlib.redirect_stdout(io.StringIO()):
        quantization.quantize_static(
            str(source),
            str(target),
            Images(images),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=per_channel,
            activation_type=getattr(quantization.QuantType, ACTIVATIONS[activations]),
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=getattr(quantization.CalibrationMethod, method),
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder with model.toml")
    parser.add_argument("--data", type=Path, required=True, help="test images")
    parser.add_argument("--activations", choices=["int8", "uint8"], default="int8")
    parser.add_argument("--every", type=int, default=1, help="take each n-th image")
    parser.add_argument("--threads", type=int, default=1, help="processor cores to use")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    # It warns of every constant that has no channels to quantize.
    logging.getLogger().setLevel(logging.ERROR)

    model = tomllib.loads((arguments.model / "model.toml").read_text())
    folder = arguments.model / model["data"]["calibration"]
    calibration, known = network_inputs(folder, model)
    test, labels = network_inputs(arguments.data, model, arguments.every)
    print(
        f"{model['name']}: {len(known)} calibration images, {len(labels)} test images, "
        f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}",
        flush=True,
    )

    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        source = arguments.model / model["onnx"]
        prepared = Path(temporary) / "prepared.onnx"
        shape_inference.quant_pre_process(str(source), str(prepared))
        expected = predictions(source, test(), arguments.threads)

        def row(name, found):
            right, same = int((found == labels).sum()), int((found == expected).sum())
            rows.append({"method": name, "correct": right, "same": same})
            share, agreement = right / len(labels), same / len(labels)
            print(f"{name:24} top-1 {share:.2%}  agreement {agreement:.2%}", flush=True)

        row("float", expected)
        for method in METHODS:
            for per_channel in (False, True):
                name = method + (", per channel" if per_channel else ", per tensor")
                target = Path(temporary) / "quantized.onnx"
                quantize(
                    prepared,
                    target,
                    calibration(),
                    method,
                    per_channel,
                    arguments.activations,
                )
                row(name, predictions(target, test(), arguments.threads))
    if arguments.json:
        content = {
            "command": sys.argv,
            "onnxruntime": onnxruntime.__version__,
            "onnx": onnx.__version__,
            "images": len(labels),
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
