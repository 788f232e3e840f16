"""Quantize a model folder's network with ONNX Runtime, for the time that it takes.

    python onnxruntime_static.py s12

Static int8 quantization in QDQ form, by minima and maxima of the same calibration
pictures that tadpool reads. Prints the time; what it writes is thrown away.
"""

import argparse
import resource
import tempfile
import time
import tomllib
from pathlib import Path

import numpy as np
from onnxruntime import quantization
from onnxruntime.quantization import shape_inference
from PIL import Image


class Pictures(quantization.CalibrationDataReader):
    """The calibration pictures, one at a time."""

    def __init__(self, folder, description):
        self.files = iter(sorted((folder / "calibration").glob("*.png")))
        self.mean, self.std = (
            np.array(description["input"][name], np.float32).reshape(1, 3, 1, 1)
            for name in ("mean", "std")
        )

    def get_next(self):
        file = next(self.files, None)
        if file is None:
            return None
        pixels = np.asarray(Image.open(file).convert("RGB"), np.float32) / 255
        planes = pixels.transpose(2, 0, 1)[None]
        return {"pixels": (planes - self.mean) / self.std}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="that of full_size.py")
    folder = parser.parse_args().folder
    description = tomllib.loads((folder / "model.toml").read_text())
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        prepared = Path(temporary) / "prepared.onnx"
        shape_inference.quant_pre_process(str(folder / "model.onnx"), str(prepared))
        quantization.quantize_static(
            str(prepared),
            str(Path(temporary) / "quantized.onnx"),
            Pictures(folder, description),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{time.monotonic() - start:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of the "
        f"processor, {usage.ru_maxrss / 1024:.0f} MiB"
    )


if __name__ == "__main__":
    main()
