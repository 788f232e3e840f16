//! Generates the model's source into `OUT_DIR`.

use tadpool_compiler::KernelVariant;

fn main() {
    // Plain Rust kernels, so that the example runs on the host too.
    tadpool_compiler::build_script::generate(
        "../../../models/poolformer-cifar10/model.toml",
        KernelVariant::Portable,
    );
}
