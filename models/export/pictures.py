"""Writes tests/fixtures/pictures: small pictures of many kinds, and how Pillow reads them.

Beside NAME lie NAME.rgb and NAME.gray: the pixels that `exif_transpose` and `convert` give.
`cifar10.txt` has the FNV-1a of the pixels of all pictures in models/cifar10/evaluation, class
by class and in the order of their names. Needs Pillow and NumPy; run it from anywhere.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests/fixtures/pictures"
WIDTH, HEIGHT = 19, 14
# Room for a picture that is larger as a JPEG than as pixels.
ImageFile.MAXBLOCK = 1 << 20


def scene(seed):
    """Smooth colours with noise, different in every corner."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    smooth = np.asarray(
        Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    )
    noisy = smooth.astype(int) + rng.integers(-20, 21, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def png16(path, pixels):
    """A PNG of 16 bits, which Pillow does not write in colour."""
    height, width, channels = pixels.shape
    colour = {1: 0, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        crc = struct.pack(">I", zlib.crc32(name + body))
        data += struct.pack(">I", len(body)) + name + body + crc
    path.write_bytes(data)


def read_by_pillow(path):
    image = ImageOps.exif_transpose(Image.open(path))
    path.with_name(path.name + ".rgb").write_bytes(image.convert("RGB").tobytes())
    path.with_name(path.name + ".gray").write_bytes(image.convert("L").tobytes())


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for index, name in enumerate(["444", "422", "420"]):
        scene(index).save(
            FOLDER / f"{name}.jpg", quality=60 + 15 * index, subsampling=index
        )
    scene(3).save(FOLDER / "progressive.jpg", quality=80, progressive=True)
    scene(4).convert("L").save(FOLDER / "gray.jpg", quality=90)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        scene(10 + orientation).save(
            FOLDER / f"orientation{orientation}.jpg", quality=85, exif=exif
        )
    exif = Image.Exif()
    exif[0x0112] = 6
    scene(20).save(FOLDER / "orientation6.png", exif=exif)

    alpha = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    palette = scene(21).quantize(24)
    palette.save(FOLDER / "palette.png")
    palette.save(
        FOLDER / "palette-transparent.png", transparency=bytes(range(0, 240, 10))
    )
    colours = scene(22)
    colours.putalpha(alpha)
    colours.save(FOLDER / "alpha.png")
    Image.merge("LA", (scene(23).convert("L"), alpha)).save(FOLDER / "gray-alpha.png")
    scene(24).convert("L").save(FOLDER / "gray.png")
    scene(25).convert("1").save(FOLDER / "bits.png")
    scene(26).save(FOLDER / "plain.bmp")
    scene(27).save(FOLDER / "plain.ppm")
    for path in sorted(FOLDER.iterdir()):
        read_by_pillow(path)

    # Pillow cuts 16 bits off in one mode and down in another; these are rounded.
    rng = np.random.default_rng(30)
    for name, channels in [("rgb16.png", 3), ("gray16.png", 1), ("rgba16.png", 4)]:
        pixels = rng.integers(0, 65536, (HEIGHT, WIDTH, channels))
        png16(FOLDER / name, pixels)
        eight = ((pixels + 128) // 257).astype(np.uint8)
        image = Image.fromarray(eight[..., 0] if channels == 1 else eight[..., :3])
        (FOLDER / f"{name}.rgb").write_bytes(image.convert("RGB").tobytes())
        (FOLDER / f"{name}.gray").write_bytes(image.convert("L").tobytes())
    # Refused, so without pixels.
    scene(31).convert("CMYK").save(FOLDER / "print.jpg", quality=85)

    digest = 0x811C9DC5
    for path in sorted((ROOT / "models/cifar10/evaluation").glob("*/*.jpg")):
        for byte in Image.open(path).convert("RGB").tobytes():
            digest = (digest ^ byte) * 0x01000193 & 0xFFFFFFFF
    (FOLDER / "cifar10.txt").write_text(f"{digest:08x}\n")


if __name__ == "__main__":
    main()
