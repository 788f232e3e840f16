"""Write tiny networks with QuantizeLinear and DequantizeLinear, as exporters do.

Example:
  python rounded_fixtures.py --output ../../tests/fixtures/onnx

For every NAME.onnx that an importer must take there are NAME.input.f32 and
NAME.logits.f32, one image (NCHW) and the logits that ONNX Runtime computes for it
without its optimizer, so that nothing is fused. Those whose name begins with
`refuse` must be refused.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper, version_converter
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))

from export import export_torchscript, randomise
from fixtures import strip
from metaformer import Config, MetaFormer
from quantized import Exportable, Map, Quantized, store_integers

TINY = {"dims": (4, 8), "depths": (1, 1), "classes": 5, "mlp_ratio": 2}
SHAPE = (1, 3, 12, 12)


def trained(mixer, bits):
    """A network that rounds as tadpool's kernels do, with calibrated ranges."""
    torch.manual_seed(bits)
    model = MetaFormer(Config(mixer=mixer, **TINY))
    randomise(model, bits)
    model = Quantized(model.eval(), bits)
    generator = torch.Generator().manual_seed(1)
    model.calibrate(
        torch.rand(8, *SHAPE[1:], generator=generator) - 0.5 for _ in range(4)
    )
    return Exportable(model.eval())


class Rounding(nn.Module):
    """A layer whose weights and output are rounded, all else left as it is."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.map = layer, Map()
        weight = layer.weight.detach()
        if weight.dim() > 1:
            self.register_buffer("sizes", weight.flatten(1).abs().amax(1) / 127)

    def forward(self, x):
        if isinstance(self.layer, nn.GroupNorm):
            return self.map(self.layer(x))
        zeros = torch.zeros(len(self.sizes), dtype=torch.int32)
        weight = torch.fake_quantize_per_channel_affine(
            self.layer.weight, self.sizes, zeros, 0, -128, 127
        )
        bias = self.layer.bias
        if isinstance(self.layer, nn.Linear):
            return nn.functional.linear(x, weight, bias)
        layer = self.layer
        y = nn.functional.conv2d(x, weight, bias, layer.stride, layer.padding)
        return self.map(y)


def usual():
    """What general tools make: pairs around every layer, norms and scales kept."""
    torch.manual_seed(5)
    model = MetaFormer(Config(mixer="pool", **TINY))
    randomise(model, 5)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Conv2d, nn.Linear, nn.GroupNorm)):
                setattr(parent, name, Rounding(child))
    maps = [module for module in model.modules() if isinstance(module, Map)]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in maps:
            module.observing = True
        model(torch.rand(8, *SHAPE[1:], generator=generator) - 0.5)
        for module in maps:
            module.observing = False
    return model.eval()


def exported(model, integers, opset=17):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        with torch.no_grad():
            export_torchscript(model, SHAPE, path, opset)
        if integers:
            store_integers(path)
        proto = onnx.load(str(path))
    strip(proto)
    return proto


def with_clips(proto):
    """Whole numbers clipped to a narrow range between the nodes of a pair."""
    graph = proto.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    nodes, count = [], 0
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            source, count = node.input[0], count + 1
            if source in tensors:
                limit = int(np.abs(numpy_helper.to_array(tensors[source])).max())
                bounds = (-127, 127) if limit > 7 else (-7, 7)
            else:
                bounds = (-128, 127)
            names = [f"clip_{count}_{side}" for side in ("low", "high")]
            for name, bound in zip(names, bounds):
                value = np.array(bound, np.int8)
                graph.initializer.append(numpy_helper.from_array(value, name))
            output = f"clip_{count}_output"
            nodes.append(
                helper.make_node("Clip", [source, *names], [output], f"clip_{count}")
            )
            node.input[0] = output
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return proto


def with_int4(proto):
    """Weights that fit four bits stored in four."""
    proto = version_converter.convert_version(proto, 21)
    graph = proto.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in tensors:
            continue
        weight = numpy_helper.to_array(tensors[node.input[0]])
        if np.abs(weight).max() > 7:
            continue
        packed = helper.make_tensor(
            node.input[0], TensorProto.INT4, weight.shape, weight.flatten().tolist()
        )
        tensors[node.input[0]].CopyFrom(packed)
        zero = f"{node.input[0]}_zero"
        count = weight.shape[0]
        graph.initializer.append(
            helper.make_tensor(zero, TensorProto.INT4, [count], [0] * count)
        )
        node.input[2] = zero
    return proto


def first(proto, op):
    """The first node of that kind that is not about weights."""
    tensors = {tensor.name for tensor in proto.graph.initializer}
    nodes = [n for n in proto.graph.node if n.op_type == op]
    return next(node for node in nodes if node.input[0] not in tensors)


def scale_per_channel(proto):
    """A feature map with a scale for every channel."""
    scales = numpy_helper.from_array(np.full(4, 0.02, np.float32), "map_scales")
    zeros = numpy_helper.from_array(np.zeros(4, np.int8), "map_zeros")
    proto.graph.initializer.extend([scales, zeros])
    for op in ("QuantizeLinear", "DequantizeLinear"):
        node = first(proto, op)
        del node.input[1:]
        node.input.extend(["map_scales", "map_zeros"])
    return proto


def other_scale(proto):
    """A pair whose nodes have different scales."""
    scale = numpy_helper.from_array(np.array(0.5, np.float32), "other_scale")
    proto.graph.initializer.append(scale)
    first(proto, "DequantizeLinear").input[1] = "other_scale"
    return proto


def write(name, proto, folder):
    data = proto.SerializeToString()
    (folder / f"{name}.onnx").write_bytes(data)
    print(f"{name}: {len(data)} bytes")
    if name.startswith("refuse"):
        return
    onnx.checker.check_model(proto, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(
        data, options, providers=["CPUExecutionProvider"]
    )
    # Pixels, as the integer network takes them, less a mean of a half.
    generator = torch.Generator().manual_seed(7)
    pixels = torch.randint(256, SHAPE, generator=generator)
    image = (pixels.float() / 255 - 0.5).numpy()
    (logits,) = session.run(None, {"image": image})
    image.astype("<f4").tofile(folder / f"{name}.input.f32")
    logits.astype("<f4").tofile(folder / f"{name}.logits.f32")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    def integers():
        return exported(trained("pool", 4), integers=True)

    networks = {
        "rounded_float_weights": exported(trained("pool", 8), integers=False),
        "rounded_integers": integers(),
        "rounded_identity": exported(trained("identity", 4), integers=True),
        "rounded_clips": with_clips(integers()),
        "rounded_int4": with_int4(integers()),
        "rounded_usual": exported(usual(), integers=True),
        "refuse_rounded_per_channel": scale_per_channel(integers()),
        "refuse_rounded_other_scale": other_scale(integers()),
    }
    for name, proto in networks.items():
        write(name, proto, arguments.output)


if __name__ == "__main__":
    main()
