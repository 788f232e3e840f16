"""Top-1 accuracy of a model folder's ONNX file on a folder of images.

Examples:
  python evaluate.py ../poolformer-cifar10
  python evaluate.py ../poolformer-cifar10 --images /tmp/cifar10/test

Without --images it is the evaluation folder that model.toml names. Images are
decoded with Pillow, the network runs in ONNX Runtime.
"""

import argparse
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime

from data import load_folder


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder with model.toml")
    parser.add_argument("--images", type=Path, help="folder with one folder per class")
    parser.add_argument("--threads", type=int, default=1, help="processor cores to use")
    arguments = parser.parse_args()

    model = tomllib.loads((arguments.model / "model.toml").read_text())
    folder = arguments.images or arguments.model / model["data"]["evaluation"]
    images, labels, classes = load_folder(folder)
    if sorted(model["data"]["labels"]) != classes:
        raise SystemExit(f"{folder} has other classes than model.toml")
    places = [classes.index(label) for label in model["data"]["labels"]]
    expected_size = (model["input"]["height"], model["input"]["width"])
    if images.shape[2:] != expected_size:
        raise SystemExit(f"{folder} has images of another size than model.toml")

    mean = np.array(model["input"]["mean"], np.float32).reshape(1, 3, 1, 1)
    std = np.array(model["input"]["std"], np.float32).reshape(1, 3, 1, 1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(
        str(arguments.model / model["onnx"]),
        options,
        providers=["CPUExecutionProvider"],
    )
    correct = np.zeros(len(classes), int)
    for image, label in zip(images.numpy(), labels.tolist()):
        pixels = (image[None].astype(np.float32) / 255 - mean) / std
        (logits,) = session.run(["logits"], {"image": pixels})
        correct[label] += places[int(logits[0].argmax())] == label

    for place, name in enumerate(classes):
        total = int((labels == place).sum())
        print(f"{name}: {correct[place]} of {total}")
    share = correct.sum() / len(labels)
    print(f"top-1: {share:.2%} ({correct.sum()} of {len(labels)})")


if __name__ == "__main__":
    main()
