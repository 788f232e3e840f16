//! Tests across stages: a file a stage, all in one program, so that the libraries are
//! linked once.

mod accuracy;
mod attention;
mod check;
mod codegen;
mod depthwise_mixer;
mod doors;
mod embeddings;
mod emulator;
mod errors;
mod family;
mod forms;
mod generated;
mod import;
mod methods;
mod mixers;
mod outputs;
mod pictures;
mod precision;
mod qdq;
mod quantize;
mod schedule;
mod support;
mod widen;
