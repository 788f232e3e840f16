"""Train a PoolFormer or an IdentityFormer on a folder of images.

Examples:
  python train.py poolformer --data /tmp/cifar10 --output runs/poolformer
  python train.py poolformer --data my-images --output runs/mine --epochs 100

--data needs the folders train/CLASS and test/CLASS. After every epoch a
checkpoint last.pt is written to --output; the same command started again goes
on from there, with the same result as without the interruption. log.csv has
one line per epoch. The checkpoint holds the averaged weights too, which are
what export.py and evaluate.py use.

With --teacher the network learns from the answers of a teacher too, which teacher.py
wrote. --start takes the weights of an
exported network to begin with. With --minutes the schedule passes in that time,
whatever number of epochs the machine manages; --epochs, --warmup, --cooldown and
--whole then only give the proportions of its parts.

To choose settings, hold out a part of the training images (--hold-out 5000)
and compare on it; the test images are for the last run only.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

import fast
from data import Augmenter, accuracy, load_folder, save, split
from metaformer import CONFIGS, Config, MetaFormer, count_macs, count_parameters
from muon import Muon
from quantized import load_onnx

FIELDS = ["epoch", "seconds", "rate", "loss", "train", "held_out", "test"]


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("network", choices=sorted(CONFIGS), help="network to train")
    add("--data", type=Path, required=True, help="folder with train/ and test/")
    add("--output", type=Path, required=True, help="folder for checkpoint and log")
    add("--epochs", type=int, default=60, help="length of the schedule")
    add("--minutes", type=float, help="pass through the schedule in this time instead")
    add("--start", type=Path, help="ONNX file with the weights to begin with")
    add("--teacher", type=Path, help="answers written by teacher.py")
    add("--share", type=float, default=0.9, help="of the teacher in the loss")
    add("--temperature", type=float, default=2.0, help="of the teacher's answers")
    add("--batch", type=int, default=250, help="images in a step")
    add("--optimizer", choices=["muon", "adamw"], default="muon")
    add("--rate", type=float, default=8e-3, help="highest learning rate")
    add("--decay", type=float, default=0.05, help="weight decay of the matrices")
    add("--warmup", type=float, default=2, help="epochs to reach the highest rate")
    add(
        "--cooldown",
        type=float,
        help="epochs in which the rate falls to zero at the end (default: half of all)",
    )
    add(
        "--crop",
        type=int,
        help="side of the part cut out of every image in all but the last epochs, "
        "which makes them cheaper (default: whole images)",
    )
    add(
        "--whole",
        type=int,
        help="epochs with whole images at the end, with --crop (default: --cooldown)",
    )
    add("--smoothing", type=float, default=0.1, help="label smoothing")
    add("--hole", type=int, default=0, help="side of the square cut out, 0 for none")
    add("--average", type=float, default=0.998, help="decay of the weight average")
    add("--layer-scale", type=float, default=0.1, help="initial layer scale")
    add("--hold-out", type=int, default=0, help="training images for validation")
    add("--test-every", type=int, default=5, help="epochs between tests, 0: last only")
    add("--stop", type=int, help="stop after this epoch, to go on later")
    add("--every", type=int, default=1, help="load each n-th image, for quick trials")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=2, help="processor cores to use")
    arguments = parser.parse_args()
    if arguments.cooldown is None:
        arguments.cooldown = arguments.epochs / 2
    if arguments.whole is None:
        arguments.whole = arguments.cooldown
    return arguments


def make_optimizers(model, arguments):
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.dim() > 1 and not name.startswith("head")
        (matrices if is_matrix else rest).append(parameter)
    adamw = {"lr": arguments.rate, "betas": (0.9, 0.99), "weight_decay": 0.0}
    if arguments.optimizer == "adamw":
        groups = [
            {"params": matrices, "weight_decay": arguments.decay},
            {"params": rest},
        ]
        return [torch.optim.AdamW(groups, **adamw)]
    return [
        Muon(matrices, lr=arguments.rate, weight_decay=arguments.decay),
        torch.optim.AdamW(rest, **adamw),
    ]


def rate_at(step, total, warmup, cooldown):
    """Share of the highest rate: linear up, constant, linear down to zero."""
    return min(1.0, (step + 1) / warmup, (total - step) / cooldown)


def write_log(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def distillation(logits, answers, labels, share, temperature, smoothing):
    """Loss of logits against the logits of a teacher and the labels."""
    apart = kl_div(
        log_softmax(logits / temperature, 1),
        softmax(answers / temperature, 1),
        reduction="batchmean",
    )
    wrong = cross_entropy(logits, labels, label_smoothing=smoothing)
    return share * temperature**2 * apart + (1 - share) * wrong


def check_schedule(checkpoint, arguments):
    """Refuse to go on with another schedule than the epochs so far had.

    The length may be changed as long as the rate has not begun to fall.
    """
    now = {k: getattr(arguments, k) for k in ("epochs", "cooldown")}
    begun = min(s["epochs"] - s["cooldown"] for s in (now, checkpoint["schedule"]))
    if now != checkpoint["schedule"] and checkpoint["epoch"] > begun:
        raise SystemExit(
            f"the checkpoint belongs to another schedule: {checkpoint['schedule']}"
        )


class Clock:
    """The time that training took, and how far in the schedule it is by it."""

    def __init__(self, minutes, elapsed):
        self.minutes = minutes
        self.began = time.monotonic() - elapsed

    def elapsed(self):
        return time.monotonic() - self.began

    def place(self, step, total):
        """The step that the schedule is at: `step` itself if it has no time."""
        if not self.minutes:
            return step
        return min(1.0, self.elapsed() / (self.minutes * 60)) * total


def train_epoch(
    model, average, optimizers, batches, all_labels, answers, epoch, clock, arguments
):
    """One pass over the data; returns mean loss and share of correct answers.

    The batches have the numbers of their images, which `all_labels` and `answers`,
    those of the teacher if there is one, are looked up by.
    """
    steps = len(batches)
    total, warmup, cooldown, whole = (
        epochs * steps
        for epochs in (
            arguments.epochs,
            arguments.warmup,
            arguments.cooldown,
            arguments.whole,
        )
    )
    first = epoch * steps
    loss_sum = correct = seen = 0
    small = arguments.crop and clock.place(first, total) < total - whole
    size = (arguments.crop,) * 2 if small else None
    for step, (images, index) in enumerate(batches.epoch(epoch, size), first):
        place = clock.place(step, total)
        if place >= total:
            break
        rate = arguments.rate * rate_at(place, total, warmup, cooldown)
        labels = all_labels[index]
        logits = model(images)
        if answers is None:
            loss = cross_entropy(logits, labels, label_smoothing=arguments.smoothing)
        else:
            loss = distillation(
                logits,
                answers[index],
                labels,
                arguments.share,
                arguments.temperature,
                arguments.smoothing,
            )
        loss.backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        # A short memory first, so that the start is forgotten.
        decay = min(arguments.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, now in zip(
                average.state_dict().values(), model.state_dict().values()
            ):
                # A batch norm counts its batches in an integer.
                if mean.is_floating_point():
                    mean.lerp_(now, 1 - decay)
        loss_sum += loss.item() * len(labels)
        correct += int((logits.argmax(1) == labels).sum())
        seen += len(labels)
    return loss_sum / seen, correct / seen


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    arguments.output.mkdir(parents=True, exist_ok=True)

    images, labels, classes = load_folder(arguments.data / "train", arguments.every)
    test_images, test_labels, test_classes = load_folder(
        arguments.data / "test", arguments.every
    )
    if classes != test_classes:
        raise SystemExit("train/ and test/ have different classes")
    kept, held_out = split(labels, arguments.hold_out, arguments.seed)
    batches = Augmenter(
        images[kept],
        kept,
        arguments.batch,
        hole=arguments.hole,
        seed=arguments.seed * 1000,
    )

    values = CONFIGS[arguments.network].to_dict()
    values |= {"classes": len(classes), "layer_scale": arguments.layer_scale}
    config = Config.from_dict(values)
    model = MetaFormer(config)
    if arguments.start:
        load_onnx(arguments.start, model)
    print(
        f"{arguments.network}: {count_parameters(model)} parameters, "
        f"{count_macs(model, *images.shape[2:])} multiply-accumulates, "
        f"{len(kept)} images",
        flush=True,
    )
    model = model.to(memory_format=torch.channels_last)
    average = MetaFormer(config).to(memory_format=torch.channels_last)
    average.load_state_dict(model.state_dict())
    for network in (model, average):
        fast.install(network)
    optimizers = make_optimizers(model, arguments)
    answers = arguments.teacher and torch.load(arguments.teacher, weights_only=True)

    last = arguments.output / "last.pt"
    first, rows, elapsed = 0, [], 0.0
    if last.exists():
        checkpoint = torch.load(last, weights_only=True)
        check_schedule(checkpoint, arguments)
        model.load_state_dict(checkpoint["model"])
        average.load_state_dict(checkpoint["average"])
        for optimizer, state in zip(optimizers, checkpoint["optimizers"]):
            optimizer.load_state_dict(state)
        first, rows = checkpoint["epoch"], checkpoint["log"]
        elapsed = checkpoint["elapsed"]
        print(f"go on after epoch {first}", flush=True)
    settings = {
        k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items()
    }
    (arguments.output / "settings.json").write_text(json.dumps(settings, indent=1))

    clock = Clock(arguments.minutes, elapsed)
    number, ended = first, clock.place(first, arguments.epochs) >= arguments.epochs
    while not ended and number != arguments.stop:
        start = clock.elapsed()
        model.train()
        loss, train = train_epoch(
            model,
            average,
            optimizers,
            batches,
            labels,
            answers,
            number,
            clock,
            arguments,
        )
        number += 1
        ended = clock.place(number, arguments.epochs) >= arguments.epochs
        row = {
            "epoch": number,
            "seconds": round(clock.elapsed() - start, 1),
            "rate": f"{optimizers[0].param_groups[0]['lr']:.6f}",
            "loss": f"{loss:.4f}",
            "train": f"{train:.4f}",
        }
        average.eval()
        if len(held_out):
            score = accuracy(average, images[held_out], labels[held_out])
            row["held_out"] = f"{score:.4f}"
        every = arguments.test_every
        if ended or (every and number % every == 0):
            row["test"] = f"{accuracy(average, test_images, test_labels):.4f}"
        rows.append(row)
        save(
            last,
            {
                "config": config.to_dict(),
                "classes": classes,
                "schedule": {
                    "epochs": arguments.epochs,
                    "cooldown": arguments.cooldown,
                },
                "epoch": number,
                "elapsed": clock.elapsed(),
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizers": [o.state_dict() for o in optimizers],
                "log": rows,
            },
        )
        write_log(arguments.output / "log.csv", rows)
        print(" ".join(f"{k} {v}" for k, v in row.items()), flush=True)


if __name__ == "__main__":
    main()
