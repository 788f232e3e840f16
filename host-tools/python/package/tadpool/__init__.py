"""Puts MetaFormer vision models on Arm Cortex-M microcontrollers.

From a trained network to a microcontroller, each step an object that does not change:

>>> import tadpool as tp
>>> model = tp.load("model.onnx")
>>> quant = model.quantize(calibration=images)   # uint8, NHWC
>>> report = quant.check("evaluation")           # a folder of class folders
>>> scores = quant.predict(batch)                # the firmware's own kernels
>>> image = quant.compile(board="nucleo-l4r5zi", budget=tp.Budget(ram="32K", ms=100))
>>> record = image.run(pictures)                 # emulator or debug probe

Whatever is refused is an exception below `TadpoolError` that says what to do about it; what is
odd but works is a `TadpoolWarning`. Nothing is printed but progress, where somebody may see it.
"""

from tadpool._errors import (
    BoardError,
    BudgetError,
    BuildError,
    ImageError,
    MissingFileError,
    ModelError,
    Problem,
    QuantizationError,
    RecordFileError,
    TadpoolError,
    TadpoolWarning,
    UnsupportedModelError,
)
from tadpool._image import Budget, Image
from tadpool._model import Model, load
from tadpool._quantized import Quantized
from tadpool._records import Comparison, Record, compare
from tadpool._reports import CheckReport, CompileReport
from tadpool._tadpool import __version__, boards

__all__ = [
    "BoardError",
    "Budget",
    "BudgetError",
    "BuildError",
    "CheckReport",
    "Comparison",
    "CompileReport",
    "Image",
    "ImageError",
    "MissingFileError",
    "Model",
    "ModelError",
    "Problem",
    "QuantizationError",
    "Quantized",
    "Record",
    "RecordFileError",
    "TadpoolError",
    "TadpoolWarning",
    "UnsupportedModelError",
    "__version__",
    "boards",
    "compare",
    "load",
]
