"""Write flat grey pictures of 32x32 pixels, from dark to bright.

Example:
  python flat_grey.py --output flat
  tadpool check ../poolformer-cifar10/model.toml --data flat

They are the worst that can be shown to a network with GroupNorm: the map behind a norm
has hardly any deviation.
"""

import argparse
from pathlib import Path

from PIL import Image


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    folder = parser.parse_args().output / "cat"
    folder.mkdir(parents=True, exist_ok=True)
    for grey in range(8, 256, 16):
        picture = Image.new("RGB", (32, 32), (grey, grey, grey))
        picture.save(folder / f"{grey:03}.png")


if __name__ == "__main__":
    main()
