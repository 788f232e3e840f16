//! The only unsafe code: views of arena bytes as wider or signed integers.

pub(crate) mod cast;
