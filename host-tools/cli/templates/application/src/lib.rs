//! Parts that the application and its tests share: the model, the log, what a panic does.
#![no_std]

use cortex_m as _; // has the critical section
@log@
/// The network, by the build script.
#[allow(dead_code)]
pub mod model {
    include!(concat!(env!("OUT_DIR"), "/model/model.rs"));
}

/// Pictures with the logits that the host gives for them.
pub mod golden {
    include!(concat!(env!("OUT_DIR"), "/model/golden.rs"));
}
@boot@
@end@
