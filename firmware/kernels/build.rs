//! Checks that the chosen kernels can run on the target, and tells `arch` what
//! rustc has no `cfg` for.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(tadpool_armv6m, tadpool_armv8m)");
    let target = env::var("TARGET").unwrap_or_default();
    let chosen = |feature| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let armv8m = target.starts_with("thumbv8m.main") || target.starts_with("thumbv8.1m.main");
    if armv8m {
        println!("cargo::rustc-cfg=tadpool_armv8m");
    }
    if target.starts_with("thumbv6m") {
        println!("cargo::rustc-cfg=tadpool_armv6m");
    }
    if !target.starts_with("thumb") {
        return;
    }
    if chosen("DSP") && !armv8m && !target.starts_with("thumbv7em") {
        println!("cargo::error=kernels `dsp` need Armv7E-M or Armv8-M Mainline, not {target}");
    }
    if chosen("DSP_M7") && !target.starts_with("thumbv7em") {
        println!("cargo::error=kernels `dsp-m7` need Armv7E-M, not {target}");
    }
    if chosen("DSP") && chosen("HELIUM") {
        println!("cargo::error=kernels `dsp` and `helium` exclude each other");
    }
    if chosen("HELIUM") && !armv8m {
        println!("cargo::error=kernels `helium` need Armv8.1-M Mainline, not {target}");
    }
}
