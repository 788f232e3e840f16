//! The host-side compiler.
