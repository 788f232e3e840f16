//! Generates the model's source into `OUT_DIR`.

use tadpool_compiler::build_script::Model;

fn main() {
    // Plain Rust kernels, so that the example runs on the host too.
    Model::new("../../../models/poolformer-cifar10/model.toml").generate();
}
