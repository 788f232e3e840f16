//! The constants of a step, field by field, for the host.
//!
//! A code generator writes any step without knowing it: [`Fields::visit`] names every
//! field of a struct with what it holds, and [`Described`] tells which function runs
//! the step.
//!
//! ```
//! use tadpool_kernels::norm::Norm;
//! use tadpool_kernels::visit::{Field, Fields, Visitor};
//!
//! /// Writes integers as the source of a struct.
//! #[derive(Default)]
//! struct Source(String);
//!
//! impl Visitor for Source {
//!     fn field(&mut self, name: &'static str, field: Field<'_>) {
//!         if let Field::Integer(value) = field {
//!             self.0 += &format!("{name}: {value}, ");
//!         }
//!     }
//! }
//!
//! let norm = Norm { elements: 64, epsilon: 1000, about: None };
//! let mut source = Source::default();
//! norm.visit(&mut source);
//! assert_eq!(source.0, "elements: 64, epsilon: 1000, ");
//! ```

use crate::arena::{Buffer, Fault};
use crate::layout::{Layout, Rows};
use crate::network::TrainedHead;
use crate::norm::Stats;
use crate::steps::Step;
use crate::stream::{Int8, Int16};
use crate::weights::Weights;

/// The contents of a field.
#[derive(Debug, Clone, Copy)]
pub enum Field<'a> {
    /// A place in the arena.
    Buffer(Buffer),
    /// An integer of any type.
    Integer(i128),
    /// Dimensions.
    Sizes(&'a [usize]),
    /// One of an enum's variants, none of which has fields.
    Variant(Variant),
    /// A list, which may be empty where a step can do without.
    I8s(&'a [i8]),
    /// A list, written behind those of the next field that has any: bits that are
    /// rounded away before what the next field stands for.
    U8s(&'a [u8]),
    /// A list, which may be empty where a step can do without.
    I32s(&'a [i32]),
    /// A matrix.
    Matrix(Matrix<'a>),
    /// A struct whose lists are named as the step's own.
    Part(&'a dyn Fields),
    /// A struct whose lists are named after this field.
    Layer(&'a dyn Fields),
    /// A part that a step may do without.
    Option(Option<&'a dyn AsField>),
}

/// A variant of an enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The module that the enum is in.
    pub module: &'static str,
    /// The enum.
    pub ty: &'static str,
    /// The variant.
    pub name: &'static str,
}

/// A matrix of a step.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// Its weights.
    pub weights: Weights<'a>,
    /// Its rows.
    pub outputs: usize,
    /// How they are packed.
    pub packing: Packing,
}

/// How a matrix is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// In the layout of the step.
    Step,
    /// In [`Layout::Rows`], whatever the step's.
    Rows,
}

impl Matrix<'_> {
    /// Its columns, if it is row-major with a byte a weight.
    pub fn inputs(&self) -> usize {
        self.weights.bytes().len() / self.outputs.max(1)
    }
}

/// A struct of constants.
pub trait Fields: core::fmt::Debug {
    /// The module of this crate that the struct is in.
    fn module(&self) -> &'static str;

    /// The name of its type.
    fn name(&self) -> &'static str;

    /// Shows every field once, in the order in which generated source has them.
    fn visit(&self, visitor: &mut dyn Visitor);
}

/// Sees every field of a struct.
pub trait Visitor {
    /// Called for each field.
    fn field(&mut self, name: &'static str, field: Field<'_>);
}

/// A value that can be a field.
pub trait AsField: core::fmt::Debug {
    /// Its contents.
    fn field(&self) -> Field<'_>;
}

macro_rules! as_field {
    ($($type:ty: |$value:ident| $field:expr;)*) => {$(
        impl AsField for $type {
            fn field(&self) -> Field<'_> {
                let $value = self;
                $field
            }
        }
    )*};
}

as_field! {
    Buffer: |value| Field::Buffer(*value);
    usize: |value| Field::Integer(*value as i128);
    i32: |value| Field::Integer((*value).into());
    u8: |value| Field::Integer((*value).into());
    i8: |value| Field::Integer((*value).into());
    u32: |value| Field::Integer((*value).into());
    u64: |value| Field::Integer((*value).into());
    &[i8]: |value| Field::I8s(value);
    &[i8; 256]: |value| Field::I8s(*value);
    &[u8]: |value| Field::U8s(value);
    &[i32]: |value| Field::I32s(value);
    &[i32; 257]: |value| Field::I32s(*value);
}

impl<const N: usize> AsField for [usize; N] {
    fn field(&self) -> Field<'_> {
        Field::Sizes(self)
    }
}

impl<T: AsField> AsField for Option<T> {
    fn field(&self) -> Field<'_> {
        Field::Option(self.as_ref().map(|value| value as _))
    }
}

/// The type of a stream's values; the type parameters of the kernels as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// [`Int8`]; raw pixels too.
    Int8,
    /// [`Int16`].
    Int16,
}

impl Values {
    /// Bytes of a value.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Int8 => 1,
            Self::Int16 => 2,
        }
    }
}

/// How a step is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The stream that is read.
    pub input: Values,
    /// The stream that is written.
    pub output: Values,
    /// Whether it has to take weights of four bits.
    pub int4: bool,
}

/// A function that runs a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its path in this crate.
    pub path: &'static str,
    /// Its type parameters.
    pub parameters: &'static [Parameter],
}

/// A type parameter of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// The layout of the step.
    Layout,
    /// The stream that is read.
    Input,
    /// The stream that is written.
    Output,
}

/// A step's functions and layouts, for the host.
pub trait Described: Fields {
    /// Whether a kernel of `layout` takes the step, if it takes its matrices; `false` if
    /// the step has one kernel for all.
    fn takes(&self, layout: Layout, input: Values) -> bool;

    /// The function that runs it.
    fn function(&self, call: &Call) -> Function;

    /// The field that holds the buffer that is written.
    fn output_field(&self) -> &'static str {
        "map"
    }

    /// Whether it reads the sums of the map.
    fn reads_sums(&self) -> bool {
        !self.is_fixed()
    }

    /// Whether it takes the sums of no values in the place of the map's, since its norm has
    /// fixed statistics.
    fn is_fixed(&self) -> bool {
        false
    }

    /// The linear layer that ends it, if it writes logits.
    fn trained_head(&self) -> Option<TrainedHead<'_>> {
        None
    }

    /// In how many tokens or rows its `advance` counts; none if it is one piece. The path
    /// of that is the one of [`Described::function`] with `advance` for `run`.
    fn units(&self, input: Values) -> Option<usize> {
        let _ = input;
        None
    }
}

/// Any step.
pub trait AnyStep: Described {
    /// See [`Step::input`].
    fn input(&self) -> Buffer;

    /// See [`Step::output`].
    fn output(&self) -> Buffer;

    /// Runs the step with row-major weights; see [`Step::run`].
    ///
    /// # Errors
    /// A [`Fault`] if buffers and dimensions do not match.
    fn run(
        &self,
        input: Values,
        output: Values,
        stats: &Stats,
        arena: &mut [u8],
    ) -> Result<Stats, Fault>;
}

impl<T: Step + Described> AnyStep for T {
    fn input(&self) -> Buffer {
        Step::input(self)
    }

    fn output(&self) -> Buffer {
        Step::output(self)
    }

    fn run(
        &self,
        input: Values,
        output: Values,
        stats: &Stats,
        arena: &mut [u8],
    ) -> Result<Stats, Fault> {
        let stats = &match self.is_fixed() {
            true => Stats::default(),
            false => *stats,
        };
        match (input, output) {
            (Values::Int8, Values::Int8) => Step::run::<Rows, Int8, Int8>(self, stats, arena),
            (Values::Int8, Values::Int16) => Step::run::<Rows, Int8, Int16>(self, stats, arena),
            (Values::Int16, Values::Int8) => Step::run::<Rows, Int16, Int8>(self, stats, arena),
            (Values::Int16, Values::Int16) => Step::run::<Rows, Int16, Int16>(self, stats, arena),
        }
    }
}
