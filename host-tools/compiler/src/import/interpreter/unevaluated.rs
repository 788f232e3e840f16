//! Why the interpreter has no result for a node.

use crate::import::constant_folding::Contradiction;

/// The reason why one node is not evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The texts say it.
pub enum Unevaluated {
    #[error("the operator is not evaluated as written")]
    Operator,
    #[error("only GELU in its exact form and the one by tanh are evaluated as written")]
    Gelu,
    #[error("its shape is not known")]
    Shape,
    #[error("an input is missing")]
    MissingInput,
    #[error("an input is not known")]
    UnknownInput,
    #[error("a factor is missing")]
    Factor,
    #[error("the product is not one with a matrix")]
    Product,
    #[error("the sizes of the matrices do not match")]
    MatrixSizes,
    #[error("it is no matrix")]
    Matrix,
    #[error("its integers' type is not known")]
    CodeType,
    #[error("it is no convolution over height and width")]
    Convolution,
    #[error("it is no pooling over height and width")]
    Pooling,
    #[error("windows that reach over the border are not evaluated")]
    Border,
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}
