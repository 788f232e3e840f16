"""Folders of images as tensors, and the random changes made while training.

A data set is a folder with one folder per class, and images of one size:

    train/airplane/0000.jpg
    train/automobile/0000.jpg

The classes are numbered in the alphabetical order of their folders.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import pad

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm"}


def load_folder(folder, every=1):
    """Images as uint8 [N, 3, H, W], class numbers [N], and the class names.

    `every` keeps only each n-th image of a class, for quick trials.
    """
    folder = Path(folder)
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir())
    if len(classes) < 2:
        raise SystemExit(f"{folder} does not have one folder per class")
    images, labels = [], []
    for label, name in enumerate(classes):
        files = sorted(
            p for p in (folder / name).iterdir() if p.suffix.lower() in SUFFIXES
        )
        for file in files[::every]:
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("RGB"))
            if images and pixels.shape != images[0].shape:
                raise SystemExit(f"{file} has another size than the images before it")
            images.append(pixels)
            labels.append(label)
    tensor = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return tensor, torch.tensor(labels), classes


def normalise(images):
    """uint8 images to the numbers the network expects."""
    mean = torch.tensor(MEAN).view(1, 3, 1, 1) * 255
    std = torch.tensor(STD).view(1, 3, 1, 1) * 255
    return ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)


def split(labels, held_out, seed):
    """Indices for training and for validation, the same share of every class."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    count = held_out // (int(labels.max()) + 1)
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        chosen[order[labels[order] == label][:count]] = True
    return torch.nonzero(~chosen).flatten(), torch.nonzero(chosen).flatten()


@torch.no_grad()
def accuracy(model, images, labels, batch=250):
    correct = 0
    for start in range(0, len(labels), batch):
        logits = model(normalise(images[start : start + batch]))
        correct += int((logits.argmax(1) == labels[start : start + batch]).sum())
    return correct / len(labels)


def save(path, content):
    """Write beside and rename, so that an interruption never spoils the file."""
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    temporary.replace(path)


class Augmenter:
    """Batches of one epoch: shifted, mirrored, and with a hole cut out."""

    def __init__(self, images, labels, batch, shift=4, hole=0, seed=0):
        self.labels = labels
        self.batch = batch
        self.hole = hole
        self.seed = seed
        self.size = tuple(images.shape[2:])
        self.padded = pad(images.float(), (shift,) * 4, mode="reflect").byte()

    def __len__(self):
        return len(self.labels) // self.batch

    def epoch(self, number, size=None):
        """Yield the batches of an epoch; they depend on nothing but its number.

        `size` (height, width) cuts out smaller images than the original ones.
        """
        total = len(self.labels)
        height, width = size or self.size
        # All windows of that size, as a view: [N, C, y, x, height, width].
        windows = self.padded.unfold(2, height, 1).unfold(3, width, 1)
        fixed = torch.Generator().manual_seed(self.seed)
        side = torch.randint(2, (total,), generator=fixed)
        generator = torch.Generator().manual_seed(self.seed + 1 + number)
        order = torch.randperm(total, generator=generator)
        for step in range(len(self)):
            index = order[step * self.batch : (step + 1) * self.batch]
            count = (len(index),)
            y = torch.randint(windows.shape[2], count, generator=generator)
            x = torch.randint(windows.shape[3], count, generator=generator)
            images = windows[index, :, y, x]
            # Every image is mirrored in every other epoch.
            mirrored = ((side[index] + number) % 2).bool().view(-1, 1, 1, 1)
            images = normalise(torch.where(mirrored, images.flip(3), images))
            if self.hole:
                self.cut(images, generator)
            yield images, self.labels[index]

    def cut(self, images, generator):
        """Set a square of every image to the mean; it may reach over the border."""
        count, _, height, width = images.shape
        y = torch.randint(height, (count, 1), generator=generator)
        x = torch.randint(width, (count, 1), generator=generator)
        low, high = self.hole // 2, (self.hole + 1) // 2
        rows, columns = torch.arange(height), torch.arange(width)
        inside_y = (rows >= y - low) & (rows < y + high)
        inside_x = (columns >= x - low) & (columns < x + high)
        inside = inside_y[:, None, :, None] & inside_x[:, None, None, :]
        images.masked_fill_(inside, 0.0)
