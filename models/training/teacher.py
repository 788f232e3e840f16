"""Train a convolutional teacher, and write its answers for the training images.

Example:
  python teacher.py --data /tmp/cifar10 --output runs/teacher --minutes 25

The teacher is a network of 3x3 convolutions with batch norm in the shape of airbench94
(Keller Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024). It runs in
bfloat16. The learning rate falls to zero while --minutes of training pass, so that the
number of epochs depends on the machine. Every other batch has smaller images, which
are cheaper.

After every epoch a checkpoint last.pt is written to --output; the same command started
again goes on from there. After the last one answers.pt is written, for the option
--teacher of train.py: the logits of every training image; with --beside the mean of
the teacher's and those of an exported network. The test images are used once, at the
end.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import fast
from data import Augmenter, accuracy, load_folder, normalise, save, split
from metaformer import CONFIGS, MetaFormer
from muon import Muon
from quantized import load_onnx


class Teacher(nn.Sequential):
    def __init__(self, classes, widths=(32, 64, 128, 256)):
        channels, *widths = widths
        layers = [nn.Conv2d(3, channels, 2), nn.GELU()]
        for width in widths:
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.MaxPool2d(2),
                nn.BatchNorm2d(width),
                nn.GELU(),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.GELU(),
            ]
            channels = width
        layers += [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
        super().__init__(*layers)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x).float()


@torch.no_grad()
def answers(models, images):
    """Mean logits of all models."""
    rows = []
    for batch in images.split(250):
        pixels = normalise(batch)
        rows.append(torch.stack([model(pixels) for model in models]).mean(0))
    return torch.cat(rows)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with train/ and test/")
    add("--output", type=Path, required=True, help="folder for the checkpoint")
    add("--minutes", type=float, default=25, help="length of the schedule")
    add("--batch", type=int, default=500, help="images in a step")
    add("--rate", type=float, default=8e-3, help="highest learning rate")
    add("--decay", type=float, default=0.05, help="weight decay of the convolutions")
    add("--crop", type=int, default=24, help="side of the images of every other step")
    add("--hold-out", type=int, default=0, help="training images for validation")
    add("--beside", type=Path, help="ONNX file of a poolformer that answers too")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=2, help="processor cores to use")
    return parser.parse_args()


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    arguments.output.mkdir(parents=True, exist_ok=True)
    images, labels, classes = load_folder(arguments.data / "train")
    kept, held_out = split(labels, arguments.hold_out, arguments.seed)
    batches = Augmenter(images[kept], labels[kept], arguments.batch)

    model = Teacher(len(classes)).to(memory_format=torch.channels_last)
    convolutions = [p for p in model.parameters() if p.dim() == 4]
    rest = [p for p in model.parameters() if p.dim() != 4]
    optimizers = [
        Muon(convolutions, lr=arguments.rate, weight_decay=arguments.decay),
        torch.optim.AdamW(rest, lr=arguments.rate, weight_decay=0.0),
    ]
    last = arguments.output / "last.pt"
    epoch, elapsed = 0, 0.0
    if last.exists():
        checkpoint = torch.load(last, weights_only=True)
        model.load_state_dict(checkpoint["model"])
        for optimizer, state in zip(optimizers, checkpoint["optimizers"]):
            optimizer.load_state_dict(state)
        epoch, elapsed = checkpoint["epoch"], checkpoint["elapsed"]

    whole = arguments.minutes * 60
    while elapsed < whole:
        model.train()
        loss_sum = correct = seen = 0
        before = time.monotonic() - elapsed
        for step, (x, y) in enumerate(batches.epoch(epoch)):
            if step % 2:
                size = arguments.crop
                top, left = (int(torch.randint(n - size + 1, ())) for n in x.shape[2:])
                x = x[:, :, top : top + size, left : left + size]
                x = x.contiguous(memory_format=torch.channels_last)
            elapsed = time.monotonic() - before
            # Up in the first 3 % of the time, then down to zero.
            done = min(1.0, elapsed / whole)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = arguments.rate * min(done / 0.03, 1 - done)
            logits = model(x)
            loss = cross_entropy(logits, y)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            loss_sum += loss.item() * len(y)
            correct += int((logits.argmax(1) == y).sum())
            seen += len(y)
            if done == 1.0:
                break
        epoch += 1
        elapsed = time.monotonic() - before
        model.eval()
        text = f"epoch {epoch} minutes {elapsed / 60:.1f} loss {loss_sum / seen:.4f}"
        text += f" train {correct / seen:.4f}"
        if len(held_out):
            text += (
                f" held_out {accuracy(model, images[held_out], labels[held_out]):.4f}"
            )
        print(text, flush=True)
        save(
            last,
            {
                "classes": classes,
                "epoch": epoch,
                "elapsed": elapsed,
                "model": model.state_dict(),
                "optimizers": [o.state_dict() for o in optimizers],
            },
        )
    model.eval()
    models = [model]
    if arguments.beside:
        beside = load_onnx(arguments.beside, MetaFormer(CONFIGS["poolformer"]))
        fast.install(beside)
        models.append(beside.to(memory_format=torch.channels_last).eval())
    save(arguments.output / "answers.pt", answers(models, images))
    test_images, test_labels, _ = load_folder(arguments.data / "test")
    print(f"test {accuracy(model, test_images, test_labels):.4f}", flush=True)


if __name__ == "__main__":
    main()
