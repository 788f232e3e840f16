//! The host-side compiler.

pub mod plan_csv;
pub mod plan_svg;
