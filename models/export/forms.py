"""Measure which forms of a network are imported, exporter by exporter.

Example:
  python forms.py --tadpool ../../target/debug/tadpool

Every form is a small network for 32x32 pixels with random parameters, written in
PyTorch, in which one part is as someone writes it. Each exporter writes it, ONNX
Runtime runs what was written, and `tadpool check` says whether it is imported and how
clean the steps are in eight bits. The table goes to `forms.tsv`, and from there
into RESULTS.md.
"""

import argparse
import contextlib
import io
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from fixtures import strip
from form_parts import (
    FORMS,
    SHAPE,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))

from export import difference, randomise

CIFAR10 = Path(__file__).resolve().parent.parent / "cifar10"
EXPORTERS = [
    ("TorchScript", 13),
    ("TorchScript", 17),
    ("dynamo", 21),
]

DESCRIPTION = """\
name = "form"
onnx = "model.onnx"

[input]
height = 32
width = 32
channels = "rgb"
mean = {mean}
std = {std}

[data]
labels = {labels}
calibration = "../calibration"
evaluation = "../evaluation"

[quantization]
stream = "int8"
"""


def export(model, exporter, opset, path, shape=SHAPE):
    image = torch.zeros(shape, dtype=torch.float32)
    if exporter == "dynamo":
        torch.onnx.export(
            model,
            (image,),
            str(path),
            dynamo=True,
            opset_version=opset,
            input_names=["image"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
    else:
        torch.onnx.export(
            model,
            (image,),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=["image"],
            output_names=["logits"],
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    proto = onnx.load(str(path))
    strip(proto)
    path.write_bytes(proto.SerializeToString())


def pictures(folder):
    """Three of each class for calibration, and three others to measure on."""
    for name in ("calibration", "evaluation"):
        for label in sorted((CIFAR10 / name).iterdir()):
            (folder / name / label.name).mkdir(parents=True)
            for picture in sorted(label.iterdir())[:3]:
                shutil.copy(picture, folder / name / label.name)


def describe(folder, form):
    """Write `model.toml` of a network in a folder beside those of the pictures."""
    labels = sorted(entry.name for entry in (CIFAR10 / "evaluation").iterdir())
    mean, std = (0.0, 1.0) if form.normalises else (0.5, 0.25)
    text = DESCRIPTION.format(mean=[mean] * 3, std=[std] * 3, labels=json.dumps(labels))
    (folder / "model.toml").write_text(text)


def measure(form, seed, exporter, opset, work, tadpool):
    """One line of the table: how the file was taken, and its decibels."""
    torch.manual_seed(seed)
    model = form.make()
    randomise(model, seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    model.eval()
    if form.trains:
        model.train()
    with tempfile.TemporaryDirectory(dir=work) as temporary:
        folder = Path(temporary)
        path = folder / "model.onnx"
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                export(model, exporter, opset, path)
        except (RuntimeError, TypeError, ValueError) as error:
            return ["not exported", "", "", type(error).__name__]
        if not form.trains and not difference(path, model, SHAPE) < 1e-3:
            return ["not exported", "", "", "differs from PyTorch"]
        describe(folder, form)
        command = [tadpool, "check", folder / "model.toml", "--json"]
        command += ["--hybrid-images", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            text = json.loads(done.stdout or done.stderr).get("error", "")
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            what = lines[-1] if lines else "no reason"
            return ["refused", "", "", what.replace(str(folder), ".")]
        report = json.loads(done.stdout)
        steps = [step["sqnr_db"] for step in report["steps"]]
        steps = [decibels for decibels in steps if decibels is not None]
        return ["imported", f"{min(steps):.1f}", f"{steps[-1]:.1f}", ""]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tadpool", required=True, help="the command `tadpool`")
    parser.add_argument("--only", help="only forms with this in their name")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("forms.tsv")
    )
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    lines = [
        "# Written by models/export/forms.py: signal to noise of the worst step and of the",
        "# logits in dB, with int8 streams, on 30 pictures of models/cifar10/evaluation.",
        "part\tform\tby design\texporter\topset\tresult\tworst step\tlogits\twhy",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        pictures(work)
        for seed, form in enumerate(FORMS, start=1):
            if arguments.only and arguments.only not in form.name:
                continue
            for exporter, opset in EXPORTERS:
                row = measure(form, seed, exporter, opset, work, arguments.tadpool)
                expected = "refused" if form.refused else "imported"
                fields = [form.part, form.name, expected, exporter, str(opset), *row]
                lines.append("\t".join(fields))
                print("  ".join(fields), flush=True)
    arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
