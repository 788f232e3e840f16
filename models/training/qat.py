"""Fine-tune an exported network for narrow weights, and export it with its scales.

Example:
  python qat.py poolformer --onnx ../poolformer-cifar10/model.onnx \\
      --data /tmp/cifar10 --output runs/poolformer-qat --bits 4

Quantization-aware training: the network computes with rounded weights and maps, as
tadpool's integer kernels do (see `quantized.py`), and gradients pass through the
rounding. It learns from the labels and from the answers of the float network.

--data needs the folders train/CLASS and test/CLASS. After every epoch a checkpoint
last.pt is written to --output; the same command started again goes on from there,
with the same result as without the interruption. log.csv has one line per epoch.
After the last epoch model.onnx is written: weights as integers behind
DequantizeLinear, maps as pairs of QuantizeLinear and DequantizeLinear.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import fast
from data import MEAN, STD, Augmenter, load_folder, normalise, save
from export import difference, export_torchscript
from metaformer import CONFIGS, MetaFormer
from quantized import Exportable, Quantized, load_onnx, store_integers
from train import distillation, rate_at, write_log


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("network", choices=sorted(CONFIGS), help="network to fine-tune")
    add("--onnx", type=Path, required=True, help="file that export.py wrote")
    add("--data", type=Path, required=True, help="folder with train/ and test/")
    add("--output", type=Path, required=True, help="folder for checkpoint and log")
    add("--bits", type=int, choices=range(2, 9), default=4, help="of the weights")
    add("--epochs", type=int, default=5, help="length of the schedule")
    add("--batch", type=int, default=125, help="images in a step")
    add("--rate", type=float, default=5e-4, help="learning rate, falling to zero")
    add("--warmup", type=float, default=0.1, help="epochs to reach the rate")
    add("--calibration", type=int, default=16, help="batches that fix the ranges")
    add("--teacher", type=float, default=0.7, help="share of the teacher in the loss")
    add("--temperature", type=float, default=2.0, help="of the teacher's answers")
    add("--smoothing", type=float, default=0.1, help="label smoothing")
    add("--every", type=int, default=1, help="load each n-th image, for quick trials")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=1, help="processor cores to use")
    return parser.parse_args()


def centred(images):
    """What the quantized network takes, from what the float network takes."""
    return images * torch.tensor(STD).view(1, 3, 1, 1)


@torch.no_grad()
def accuracy(model, images, labels, batch=125):
    correct = 0
    for start in range(0, len(labels), batch):
        logits = model(centred(normalise(images[start : start + batch])))
        correct += int((logits.argmax(1) == labels[start : start + batch]).sum())
    return correct / len(labels)


def train_epoch(model, teacher, optimizer, batches, epoch, arguments):
    """One pass over the data; returns mean loss and share of correct answers."""
    steps = len(batches)
    total, warmup = arguments.epochs * steps, max(arguments.warmup * steps, 1)
    loss_sum = correct = seen = 0
    for step, (images, labels) in enumerate(batches.epoch(epoch), epoch * steps):
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * rate_at(step, total, warmup, total)
        with torch.no_grad():
            answers = teacher(images)
        loss = distillation(
            logits := model(centred(images)),
            answers,
            labels,
            arguments.teacher,
            arguments.temperature,
            arguments.smoothing,
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += int((logits.argmax(1) == labels).sum())
        seen += len(labels)
        if step % 50 == 0:
            print(f"step {step} of {total}: loss {loss_sum / seen:.4f}", flush=True)
    return loss_sum / seen, correct / seen


def export(model, path, images):
    """Write the network with its scales, checked against PyTorch on `images`."""
    temporary = path.with_suffix(".tmp")
    shape = (1, *images.shape[1:])
    model.eval()
    export_torchscript(Exportable(model), shape, temporary)
    store_integers(temporary)
    session = onnxruntime.InferenceSession(
        str(temporary), providers=["CPUExecutionProvider"]
    )
    # A value on the edge between two steps may fall on either side, so single
    # logits may differ a little; predictions rarely do.
    same = 0
    pixels = centred(normalise(images))
    for image in pixels:
        (logits,) = session.run(None, {"image": image[None].contiguous().numpy()})
        with torch.no_grad():
            same += int(model(image[None]).argmax(1)) == int(np.argmax(logits))
    if same < 0.98 * len(images):
        raise SystemExit(f"{path}: only {same} of {len(images)} predictions agree")
    temporary.replace(path)
    print(f"{path}: {same} of {len(images)} predictions as in PyTorch")


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    arguments.output.mkdir(parents=True, exist_ok=True)

    teacher = load_onnx(arguments.onnx, MetaFormer(CONFIGS[arguments.network])).eval()
    images, labels, classes = load_folder(arguments.data / "train", arguments.every)
    test_images, test_labels, test_classes = load_folder(
        arguments.data / "test", arguments.every
    )
    if classes != test_classes:
        raise SystemExit("train/ and test/ have different classes")
    error = difference(arguments.onnx, teacher, (1, *images.shape[1:]))
    if error > 1e-3:
        raise SystemExit(f"{arguments.onnx} was read wrongly: logits differ by {error}")
    fast.install(teacher)
    teacher = teacher.to(memory_format=torch.channels_last).requires_grad_(False)
    batches = Augmenter(images, labels, arguments.batch, seed=arguments.seed * 1000)

    model = Quantized(teacher, arguments.bits)
    optimizer = torch.optim.Adam(model.parameters(), arguments.rate, betas=(0.9, 0.99))
    last = arguments.output / "last.pt"
    settings = {
        k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items()
    }
    first, rows = 0, []
    if last.exists():
        checkpoint = torch.load(last, weights_only=True)
        if checkpoint["settings"] != settings:
            raise SystemExit(f"{last} has other settings: {checkpoint['settings']}")
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        first, rows = checkpoint["epoch"], checkpoint["log"]
        print(f"go on after epoch {first}", flush=True)
    else:
        start = time.monotonic()
        choice = torch.Generator().manual_seed(arguments.seed)
        order = torch.randperm(len(images), generator=choice)
        order = order[: arguments.calibration * arguments.batch]
        model.calibrate(
            centred(normalise(images[chunk])) for chunk in order.split(arguments.batch)
        )
        row = {"epoch": 0, "seconds": round(time.monotonic() - start, 1)}
        row["test"] = f"{accuracy(model, test_images, test_labels):.4f}"
        rows.append(row)
        print(" ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    (arguments.output / "settings.json").write_text(json.dumps(settings, indent=1))

    for epoch in range(first, arguments.epochs):
        start = time.monotonic()
        loss, train = train_epoch(model, teacher, optimizer, batches, epoch, arguments)
        row = {
            "epoch": epoch + 1,
            "seconds": round(time.monotonic() - start, 1),
            "rate": f"{optimizer.param_groups[0]['lr']:.6f}",
            "loss": f"{loss:.4f}",
            "train": f"{train:.4f}",
            "test": f"{accuracy(model, test_images, test_labels):.4f}",
        }
        rows.append(row)
        save(
            last,
            {
                "settings": settings,
                "mean": list(MEAN),
                "classes": classes,
                "epoch": epoch + 1,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "log": rows,
            },
        )
        write_log(arguments.output / "log.csv", rows)
        print(" ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    export(
        model, arguments.output / "model.onnx", test_images[:: len(test_images) // 100]
    )


if __name__ == "__main__":
    main()
