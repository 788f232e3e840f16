//! Checks that the chosen kernels can run on the target, and tells `arch` which core's
//! it takes.

use std::env;

/// The values of `cfg(tadpool_core)`, the rooms of `arch`: for the host, and for the cores.
const CORES: &str = r#""host", "portable", "armv6m", "armv7m", "dsp", "helium""#;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(tadpool_core, values({CORES}))");
    println!("cargo::rustc-check-cfg=cfg(tadpool_armv8m)");
    println!("cargo::rustc-check-cfg=cfg(tadpool_x86)");
    let target = env::var("TARGET").unwrap_or_default();
    let chosen = |feature| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let armv8m = target.starts_with("thumbv8m.main") || target.starts_with("thumbv8.1m.main");
    let core = if !target.starts_with("thumb") {
        "host"
    } else if chosen("HELIUM") {
        "helium"
    } else if chosen("DSP") {
        "dsp"
    } else if target.starts_with("thumbv6m") {
        "armv6m"
    } else if target.starts_with("thumbv7") || armv8m {
        "armv7m"
    } else {
        "portable"
    };
    println!("cargo::rustc-cfg=tadpool_core=\"{core}\"");
    if core == "host" {
        if target.starts_with("x86_64") && chosen("STD") {
            println!("cargo::rustc-cfg=tadpool_x86");
        }
        return;
    }
    if armv8m {
        println!("cargo::rustc-cfg=tadpool_armv8m");
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
