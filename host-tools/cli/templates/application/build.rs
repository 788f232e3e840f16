//! Generates the model, and hands the linker its scripts.

fn main() {
    tadpool_build::Model::new(@model@)
        .kernels("@kernels@")
@arguments@        // Images of the calibration with the host's logits, for the test.
        .arg("--golden")
        .arg("@golden@")
        .generate();
    println!("cargo::rerun-if-changed=memory.x");
    println!(
        "cargo::rustc-link-search={}",
        std::env::var("CARGO_MANIFEST_DIR").unwrap()
    );
    println!("cargo::rustc-link-arg=--nmagic");
    println!("cargo::rustc-link-arg=-Tlink.x");
    println!("cargo::rustc-link-arg=-Tdefmt.x");
}
