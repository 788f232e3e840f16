//! A file a step, with one skeleton: the struct of its constants, the scratch that it
//! needs, what it checks, `run`, and private helpers.

pub mod attention;
pub mod channel_mlp;
pub mod head;
pub mod identity;
pub mod normed_mlp;
pub mod normed_pooling;
pub mod patch_embedding;
pub mod pointwise;
pub mod pooling;
pub mod pushed_rows;
pub mod random_mixing;
mod row_mlp;
pub mod scaled_pooling;
pub mod sep_conv;
pub mod wide_head;
