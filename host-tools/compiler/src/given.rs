//! Input of a compilation: the model description and images.

pub mod model_toml;

pub mod images;
