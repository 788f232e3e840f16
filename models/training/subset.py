"""Choose a fixed number of images of every class and copy them unchanged.

Example, the two folders beside the trained networks:
  python subset.py /tmp/cifar10/train ../cifar10/calibration --each 20
  python subset.py /tmp/cifar10/test ../cifar10/evaluation --each 100

The images are drawn at random with the seed given; files keep their names.
"""

import argparse
import random
import shutil
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder with one folder per class")
    parser.add_argument("target", type=Path, help="folder to create")
    parser.add_argument("--each", type=int, default=20, help="images of every class")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice")
    arguments = parser.parse_args()

    chooser = random.Random(arguments.seed)
    for folder in sorted(p for p in arguments.source.iterdir() if p.is_dir()):
        files = sorted(p for p in folder.iterdir() if p.is_file())
        if len(files) < arguments.each:
            raise SystemExit(f"{folder} has only {len(files)} images")
        target = arguments.target / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(chooser.sample(files, arguments.each)):
            shutil.copyfile(file, target / file.name)


if __name__ == "__main__":
    main()
