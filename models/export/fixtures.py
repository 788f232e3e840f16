"""Write tiny networks in the forms in which ONNX exporters write them.

Example:
  python fixtures.py --output ../../tests/fixtures/onnx

Every network has random, non-trivial parameters. Each file is compared with
PyTorch in ONNX Runtime before it is written. For NAME.onnx there are also
NAME.input.f32 and NAME.logits.f32, one image (NCHW) and its logits as plain
little-endian floats. `manifest.toml` lists them, and the networks that an
importer must refuse, with the reason.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))

from export import export_torchscript, randomise
from metaformer import Config, MetaFormer

SMALL = {"dims": (8, 12, 16), "depths": (1, 1, 2), "classes": 5}
TINY = {"dims": (4, 8), "depths": (1, 1), "classes": 5, "mlp_ratio": 2}


# Other ways to write the same layer.


class NormByHand(nn.GroupNorm):
    """GroupNorm of one group from means, as ReduceMean/Sub/Pow/Sqrt/Div."""

    def forward(self, x):
        centred = x - x.mean((1, 2, 3), keepdim=True)
        variance = centred.pow(2).mean((1, 2, 3), keepdim=True)
        scaled = centred / torch.sqrt(variance + self.eps)
        return scaled * self.weight[:, None, None] + self.bias[:, None, None]


class GeluByHand(nn.Module):
    def forward(self, x):
        return 0.5 * x * (1 + torch.erf(x * 0.5**0.5))


class MatMulHead(nn.Linear):
    def forward(self, x):
        return x @ self.weight.t() + self.bias


class ConvHead(nn.Module):
    """Global pooling and a 1x1 convolution, then flatten."""

    def __init__(self, dim, classes):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv2d(dim, classes, 1)

    def forward(self, x):
        return self.conv(self.pool(x)).flatten(1)


class PoolHead(nn.Module):
    """Global pooling, flatten, and a linear layer."""

    def __init__(self, dim, classes):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(dim, classes)

    def forward(self, x):
        return self.linear(self.pool(x).flatten(1))


class SpatialHeadNetwork(MetaFormer):
    """A network whose head takes the feature map instead of its mean."""

    def forward(self, x):
        for embedding, stage in zip(self.embeddings, self.stages):
            x = stage(embedding(x))
        return self.head(self.norm(x))


class ScaleByChannel(nn.Module):
    """A block with layer scales of shape [C, 1, 1] as right factors."""

    def __init__(self, block):
        super().__init__()
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.token_mixer, self.mlp = block.token_mixer, block.mlp
        self.layer_scale_1 = nn.Parameter(block.layer_scale_1[:, None, None].detach())
        self.layer_scale_2 = nn.Parameter(block.layer_scale_2[:, None, None].detach())

    def forward(self, x):
        x = self.token_mixer(self.norm1(x)) * self.layer_scale_1 + x
        return self.mlp(self.norm2(x)) * self.layer_scale_2 + x


def replace(model, kind, make):
    """Replace every module of exactly that kind by make(module)."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is kind:
                setattr(parent, name, make(child))


def hand_norm(model):
    replace(model, nn.GroupNorm, lambda m: NormByHand(1, m.num_channels))


def hand_gelu(model):
    replace(model, nn.GELU, lambda m: GeluByHand())


def channel_scale(model):
    for stage in model.stages:
        for index, block in enumerate(stage):
            stage[index] = ScaleByChannel(block)


def matmul_head(model):
    model.head = MatMulHead(model.head.in_features, model.head.out_features)


def conv_head(model):
    model.__class__ = SpatialHeadNetwork
    model.head = ConvHead(model.head.in_features, model.head.out_features)


def pool_head(model):
    model.__class__ = SpatialHeadNetwork
    model.head = PoolHead(model.head.in_features, model.head.out_features)


# Networks that are not MetaFormers of the supported kind.


class MaxPooling(nn.Module):
    def forward(self, x):
        return nn.functional.max_pool2d(x, 3, 1, 1) - x


def batch_norm(model):
    def make(module):
        norm = nn.BatchNorm2d(module.num_channels)
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        return norm

    replace(model, nn.GroupNorm, make)


def sigmoid(model):
    replace(model, nn.GELU, lambda m: nn.Sigmoid())


def two_groups(model):
    replace(model, nn.GroupNorm, lambda m: nn.GroupNorm(2, m.num_channels))


def dilated(model):
    old = model.embeddings[1]
    model.embeddings[1] = nn.Conv2d(
        old.in_channels, old.out_channels, 3, stride=2, padding=2, dilation=2
    )


def max_pool(model):
    for block in [block for stage in model.stages for block in stage]:
        block.token_mixer = MaxPooling()


def padded_pool(model):
    for block in [block for stage in model.stages for block in stage]:
        block.token_mixer.pool.count_include_pad = True


# Networks of the family in forms that the papers do not have.


class RmsNorm(nn.Module):
    """Over the channels of each token, without a mean."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        root = torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-5)
        return x * root * self.weight[:, None, None]


class Positions(nn.Module):
    """A learned position embedding behind a patch embedding."""

    def __init__(self, embedding, size):
        super().__init__()
        self.embedding = embedding
        self.positions = nn.Parameter(torch.zeros(1, embedding.out_channels, *size))

    def forward(self, x):
        return self.embedding(x) + self.positions


def rms_norm(model):
    replace(model, nn.GroupNorm, lambda m: RmsNorm(m.num_channels))


def positions(model):
    model.embeddings[0] = Positions(model.embeddings[0], (8, 8))


def wide_pool(model):
    windows = (5, 7)
    blocks = [block for stage in model.stages for block in stage]
    for block, window in zip(blocks, windows):
        pool = nn.AvgPool2d(window, 1, window // 2, count_include_pad=False)
        block.token_mixer.pool = pool


class PoolAlone(nn.Module):
    """The mean of the neighbours, with nothing subtracted."""

    def __init__(self, window, counts):
        super().__init__()
        padding = window // 2
        self.pool = nn.AvgPool2d(window, 1, padding, count_include_pad=counts)

    def forward(self, x):
        return self.pool(x)


def pool_alone(*pools):
    """A window and whether padding counts, for each block."""

    def change(model):
        blocks = [block for stage in model.stages for block in stage]
        for block, (window, counts) in zip(blocks, pools):
            block.token_mixer = PoolAlone(window, counts)

    return change


def unfolded(model):
    """BatchNorm behind every linear layer of the channel MLPs."""
    for block in [block for stage in model.stages for block in stage]:
        for name in ("fc1", "fc2"):
            linear = getattr(block.mlp, name)
            norm = nn.BatchNorm2d(linear.out_channels)
            nn.init.uniform_(norm.running_mean, -0.5, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            setattr(block.mlp, name, nn.Sequential(linear, norm))


def stem_of(*layers):
    """A stem of several layers in the place of the patch embedding."""

    def change(model):
        channels = model.embeddings[0].out_channels
        made = [make(channels) for make in layers]
        model.embeddings[0] = nn.Sequential(nn.Conv2d(3, channels, 3, 1, 1), *made)

    return change


def pools_between(model):
    old = model.embeddings[1]
    model.embeddings[1] = nn.Sequential(
        nn.MaxPool2d(3, 2, 1), nn.Conv2d(old.in_channels, old.out_channels, 1)
    )


# Other ways to write the same graph.


def constants_as_nodes(model):
    """Move every initializer into a Constant node."""
    nodes = [
        helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in model.graph.initializer
    ]
    nodes.extend(model.graph.node)
    del model.graph.initializer[:]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def constants_as_initializers(model):
    """Move every Constant node with a tensor into an initializer."""
    kept = []
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = onnx.TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            model.graph.initializer.append(tensor)
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def floats_as_lists(model):
    """Store float initializers as float_data instead of raw bytes."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.HasField("raw_data"):
            values = np.frombuffer(tensor.raw_data, "<f4")
            tensor.ClearField("raw_data")
            tensor.float_data.extend(values.tolist())


@dataclass
class Fixture:
    name: str
    description: str
    mixer: str = "pool"
    exporter: str = "torchscript"
    opset: int = 17
    size: tuple = (16, 16)
    config: dict = field(default_factory=lambda: SMALL)
    modules: tuple = ()  # changes of the PyTorch modules
    graph: tuple = ()  # changes of the written graph
    dynamic: bool = False  # symbolic batch dimension
    options: dict = field(default_factory=dict)  # of the exporter
    reason: str = ""  # why it must be refused; empty when supported
    kind: str = ""  # "form": supported, without what its framework computes


SUPPORTED = [
    Fixture("pool_script17", "three stages, GroupNorm as InstanceNormalization"),
    Fixture(
        "identity_script17",
        "three stages, GroupNorm as InstanceNormalization",
        mixer="identity",
    ),
    Fixture(
        "pool_script13",
        "two stages, MLP ratio 2, ReduceMean with axes as attribute",
        opset=13,
        config=TINY,
    ),
    Fixture(
        "identity_script13_gray",
        "one input channel, symbolic batch dimension, not square",
        mixer="identity",
        opset=13,
        size=(12, 20),
        config=dict(TINY, in_channels=1),
        dynamic=True,
    ),
    Fixture(
        "pool_script17_odd",
        "15x13 input, so that the last window of a stride is cut",
        size=(15, 13),
        config=dict(SMALL, depths=(1, 1, 1)),
    ),
    Fixture("pool_dynamo18", "dynamo exporter", exporter="dynamo", opset=18),
    Fixture(
        "identity_dynamo18_batch",
        "dynamo exporter with a symbolic batch dimension, two stages",
        mixer="identity",
        exporter="dynamo",
        opset=18,
        config=TINY,
        dynamic=True,
    ),
    Fixture(
        "pool_dynamo21",
        "dynamo exporter, Gelu operator, GroupNormalization where it is written",
        exporter="dynamo",
        opset=21,
    ),
    Fixture(
        "identity_dynamo21",
        "dynamo exporter, 15x13 input, head of GlobalAveragePool or mean and flatten",
        mixer="identity",
        exporter="dynamo",
        opset=21,
        size=(15, 13),
        config=TINY,
        modules=(pool_head,),
    ),
    Fixture(
        "pool_hand_norm",
        "GroupNorm as ReduceMean/Sub/Pow/Sqrt/Div, layer scale [C,1,1] as right "
        "factor, residual as right summand, head as MatMul and Add, GELU as "
        "0.5 x (1 + erf(x sqrt(0.5)))",
        modules=(hand_norm, channel_scale, matmul_head, hand_gelu),
    ),
    Fixture(
        "identity_hand_norm13",
        "GroupNorm from means at operator set 13, head as MatMul and Add",
        mixer="identity",
        opset=13,
        config=TINY,
        modules=(hand_norm, matmul_head),
    ),
    Fixture(
        "pool_stem7_conv_head",
        "stem of kernel 7, stride 4, padding 2; head as global pooling and 1x1 "
        "convolution",
        size=(32, 32),
        config=dict(TINY, stem=(7, 4, 2)),
        modules=(conv_head,),
    ),
    Fixture(
        "identity_constant_nodes",
        "every parameter in a Constant node, no initializers",
        mixer="identity",
        config=TINY,
        graph=(constants_as_nodes,),
    ),
    Fixture(
        "pool_initializers",
        "no Constant nodes, floats in float_data, initializers listed as inputs",
        config=TINY,
        graph=(constants_as_initializers, floats_as_lists),
        options={"keep_initializers_as_inputs": True},
    ),
    Fixture(
        "pool_unfolded",
        "exported without constant folding, layer scales through Unsqueeze, MLP "
        "ratio 4",
        config=dict(TINY, mlp_ratio=4),
        modules=(pool_head,),
        options={"do_constant_folding": False},
    ),
]

OTHERS = [
    Fixture(
        "batch_norm",
        "BatchNorm instead of GroupNorm",
        config=TINY,
        modules=(batch_norm,),
        kind="form",
        # Otherwise the exporter folds the norm into a convolution or drops it.
        options={"do_constant_folding": False},
    ),
    Fixture(
        "sigmoid",
        "Sigmoid instead of GELU",
        config=TINY,
        modules=(sigmoid,),
        kind="form",
    ),
    Fixture(
        "refuse_dilated",
        "downsampling with dilation 2",
        config=TINY,
        modules=(dilated,),
        reason="convolution with dilation 2",
    ),
    Fixture(
        "refuse_max_pool",
        "MaxPool in the token mixer",
        config=TINY,
        modules=(max_pool,),
        reason="MaxPool is not the token mixer of a PoolFormer",
    ),
    Fixture(
        "padded_pool",
        "token mixer counts the padding (count_include_pad=1)",
        config=TINY,
        modules=(padded_pool,),
        kind="form",
    ),
    Fixture(
        "rms_norm",
        "RMSNorm of each token instead of GroupNorm",
        config=TINY,
        modules=(rms_norm,),
        kind="form",
    ),
    Fixture(
        "position_embedding",
        "a learned position embedding behind the stem",
        config=TINY,
        modules=(positions,),
        kind="form",
    ),
    Fixture(
        "wide_pool",
        "token mixers of 5x5 and 7x7 that count no padding",
        config=TINY,
        modules=(wide_pool,),
        kind="form",
    ),
    Fixture(
        "stem_silu_depthwise",
        "stem of a convolution, SiLU, a depthwise convolution of stride 2, SiLU, 1x1",
        config=TINY,
        modules=(
            stem_of(
                lambda channels: nn.SiLU(),
                lambda channels: nn.Conv2d(
                    channels, channels, 3, 2, 1, groups=channels
                ),
                lambda channels: nn.SiLU(),
                lambda channels: nn.Conv2d(channels, channels, 1),
            ),
        ),
        kind="form",
    ),
    Fixture(
        "stem_max_pool",
        "stem of a convolution, ReLU, a max pool; a max pool and 1x1 between stages",
        exporter="dynamo",
        opset=18,
        config=TINY,
        modules=(
            stem_of(lambda channels: nn.ReLU(), lambda channels: nn.MaxPool2d(3, 2, 1)),
            pools_between,
        ),
        kind="form",
    ),
    Fixture(
        "stem_average_pool",
        "stem of a convolution, GELU, an average pool that counts no padding",
        config=TINY,
        modules=(
            stem_of(
                lambda channels: nn.GELU(),
                lambda channels: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
            ),
        ),
        kind="form",
    ),
    Fixture(
        "refuse_two_groups",
        "GroupNorm with two groups",
        config=TINY,
        modules=(two_groups,),
        reason="GroupNorm with 2 groups, only 1 is supported",
    ),
    Fixture(
        "pool_alone_script17",
        "token mixers of a pool with nothing subtracted, 3x3 and 7x7",
        config=TINY,
        modules=(pool_alone((3, False), (7, False)),),
        kind="form",
    ),
    Fixture(
        "pool_alone_dynamo21",
        "token mixers of a pool with nothing subtracted, 5x5 and one that counts padding",
        exporter="dynamo",
        opset=21,
        config=TINY,
        modules=(pool_alone((5, False), (3, True)),),
        kind="form",
    ),
    Fixture(
        "unfolded_script17",
        "BatchNorm behind linear layers that the exporter did not fold, GELU written out",
        config=TINY,
        modules=(unfolded,),
        options={"training": torch.onnx.TrainingMode.PRESERVE},
        kind="form",
    ),
]


def strip(model):
    """Remove what exporters note about the machine and the source code."""

    def clean(graph):
        graph.doc_string = ""
        del graph.metadata_props[:]
        for item in [
            *graph.node,
            *graph.initializer,
            *graph.input,
            *graph.output,
            *graph.value_info,
        ]:
            item.doc_string = ""
            del item.metadata_props[:]

    clean(model.graph)
    model.doc_string = ""
    del model.metadata_props[:]
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]


def export(fixture, model, shape, path):
    if fixture.exporter == "torchscript":
        options = dict(fixture.options)
        if fixture.dynamic:
            options["dynamic_axes"] = {"image": {0: "batch"}, "logits": {0: "batch"}}
        export_torchscript(model, shape, path, fixture.opset, **options)
        return
    options = dict(fixture.options)
    if fixture.dynamic:
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
        shape = (2, *shape[1:])  # a batch of 1 would be taken as fixed
    torch.onnx.export(
        model,
        (torch.zeros(shape),),
        str(path),
        dynamo=True,
        opset_version=fixture.opset,
        input_names=["image"],
        output_names=["logits"],
        external_data=False,
        verbose=False,
        **options,
    )


def build(fixture, seed):
    torch.manual_seed(seed)
    config = Config(mixer=fixture.mixer, **fixture.config)
    model = MetaFormer(config)
    for change in fixture.modules:
        change(model)
    randomise(model, seed)
    model.eval()
    return model, (1, config.in_channels, *fixture.size)


def write(fixture, seed, folder):
    """Export, check against PyTorch, write; returns (shape, operators)."""
    model, shape = build(fixture, seed)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.onnx"
        export(fixture, model, shape, path)
        proto = onnx.load(str(path))
    strip(proto)
    for change in fixture.graph:
        change(proto)
    onnx.checker.check_model(proto, full_check=True)
    versions = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    if versions != [fixture.opset]:
        raise SystemExit(f"{fixture.name}: operator set {versions}")

    data = proto.SerializeToString()
    image = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        expected = model(image).numpy()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": image.numpy()})
    error = float(np.abs(logits - expected).max())
    if logits.shape != expected.shape or not error < 1e-4:
        raise SystemExit(f"{fixture.name}: differs from PyTorch by {error:g}")

    (folder / f"{fixture.name}.onnx").write_bytes(data)
    if not fixture.reason and not fixture.kind:
        image.numpy().astype("<f4").tofile(folder / f"{fixture.name}.input.f32")
        expected.astype("<f4").tofile(folder / f"{fixture.name}.logits.f32")
    operators = sorted({node.op_type for node in proto.graph.node})
    print(f"{fixture.name}: {len(data)} bytes, difference {error:.1e}")
    return shape, operators


def entry(fixture, shape, operators):
    """One table of the manifest; JSON strings and lists are valid TOML."""
    config = Config(mixer=fixture.mixer, **fixture.config)
    values = {
        "file": f"{fixture.name}.onnx",
        "network": "poolformer" if fixture.mixer == "pool" else "identityformer",
        "exporter": fixture.exporter,
        "opset": fixture.opset,
        "description": fixture.description,
    }
    if fixture.reason:
        values["reason"] = fixture.reason
    values |= {
        "input_shape": list(shape),
        "symbolic_batch": fixture.dynamic,
        "dims": list(config.dims),
        "depths": list(config.depths),
        "mlp_ratio": config.mlp_ratio,
        "classes": config.classes,
        "stem": list(config.stem),
        "downsampling": list(config.down),
        "operators": operators,
    }
    if not fixture.reason and not fixture.kind:
        values["input"] = f"{fixture.name}.input.f32"
        values["logits"] = f"{fixture.name}.logits.f32"
    kind = fixture.kind or ("unsupported" if fixture.reason else "model")
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([f"[[{kind}]]", *lines, ""])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--only", help="write only this file, and leave the manifest as it is"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    tables = [
        (
            "# Written by models/export/fixtures.py.\n"
            "# stem and downsampling: kernel, stride, padding. Inputs and logits are\n"
            "# little-endian float32, in the order of the shape.\n"
        )
    ]
    for seed, fixture in enumerate([*SUPPORTED, *OTHERS], start=1):
        if arguments.only in (None, fixture.name):
            tables.append(entry(fixture, *write(fixture, seed, arguments.output)))
    if arguments.only is None:
        (arguments.output / "manifest.toml").write_text("\n".join(tables))


if __name__ == "__main__":
    main()
