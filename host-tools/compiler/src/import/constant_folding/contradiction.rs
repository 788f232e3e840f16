//! Why a node has no result: its arguments contradict each other, or it would be too large.

/// A contradiction of one node. Sizes are of its inputs, in the file's order of axes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The texts say what the fields are.
pub enum Contradiction {
    #[error("{0:?} are no sizes")]
    NoSizes(Vec<i64>),
    #[error("a constant of sizes {0:?} is too large")]
    LargeConstant(Vec<usize>),
    #[error("its result of sizes {0:?} is too large")]
    LargeResult(Option<Vec<usize>>),
    #[error("its result would have {0} axes")]
    Rank(usize),
    #[error("axis {axis} does not exist, its input has {rank} axes")]
    Axis { axis: i64, rank: usize },
    #[error("axes {0:?} repeat")]
    RepeatedAxes(Vec<i64>),
    #[error("axis {axis} has size {size} and cannot be dropped")]
    WideAxis { axis: usize, size: usize },
    #[error("perm {order:?} is no order of {rank} axes")]
    Order { order: Vec<usize>, rank: usize },
    #[error("sizes {a:?} and {b:?} do not fit together")]
    Broadcast { a: Vec<usize>, b: Vec<usize> },
    #[error("its inputs do not fit together")]
    Concat,
    #[error("matrices of sizes {a:?} and {b:?} cannot be multiplied")]
    Product { a: Vec<usize>, b: Vec<usize> },
    #[error("sizes {input:?} cannot become {target:?}")]
    Reshape { input: Vec<usize>, target: Vec<i64> },
    #[error("`{equation}` does not fit sizes {a:?} and {b:?}")]
    Equation {
        equation: String,
        a: Vec<usize>,
        b: Vec<usize>,
    },
    #[error("{count} parts of sizes {parts:?} are not axis {axis} of sizes {input:?}")]
    Split {
        count: usize,
        parts: Vec<usize>,
        axis: usize,
        input: Vec<usize>,
    },
    #[error("it slices {0} axes")]
    SlicedAxes(usize),
    #[error("starts and axes differ in length")]
    SliceLengths,
    #[error("starts {starts:?} and ends {ends:?} do not fit")]
    Slice { starts: Vec<i64>, ends: Vec<i64> },
    #[error("a step of 0 leads nowhere")]
    NoStep,
    #[error("pads {pads:?} do not fit {rank} axes")]
    Pads { pads: Vec<i64>, rank: usize },
    #[error("{size} elements cannot lose {before} and {after}")]
    Cropped {
        size: usize,
        before: i64,
        after: i64,
    },
    #[error("queries {queries:?} and values {values:?} do not fit together")]
    Attention {
        queries: Vec<usize>,
        values: Vec<usize>,
    },
    #[error("its numbers of heads are not known")]
    Heads,
    #[error("its integer arithmetic overflows")]
    Overflow,
    #[error("it has no kernel_shape")]
    NoKernel,
    #[error("a window of sizes {0:?} is impossible")]
    Kernel(Vec<usize>),
    #[error("{name} {values:?} do not fit {axes} axes")]
    WindowList {
        name: &'static str,
        values: Vec<i64>,
        axes: usize,
    },
    #[error("auto_pad `{0}` does not exist")]
    AutoPad(String),
    #[error("a window of sizes {kernel_shape:?} does not fit sizes {input:?}")]
    WindowRank {
        kernel_shape: Vec<usize>,
        input: Vec<usize>,
    },
    #[error("a window of {reach} does not fit {padded} values")]
    WindowReach { reach: usize, padded: usize },
    #[error(
        "weights of sizes {weight:?} in {groups} groups do not fit an input of sizes {input:?}"
    )]
    Weights {
        weight: Vec<usize>,
        groups: i64,
        input: Vec<usize>,
    },
    #[error("windows of sizes {window:?} at {places:?} places are too large")]
    LargeWindows {
        window: Vec<usize>,
        places: Vec<usize>,
    },
    #[error("its scale is no float")]
    ScaleType,
    #[error(
        "it has scales of sizes {sizes:?} for blocks of {block} values; one a tensor or one a \
         channel is supported"
    )]
    Blocks { sizes: Vec<usize>, block: i64 },
    #[error("its scale is {0}, a scale is positive")]
    Scale(f32),
    #[error("its zero point is no whole number")]
    ZeroPointType,
    #[error("the type of its whole numbers is not known")]
    CodeType,
    #[error("it has {scales} scales and {zero_points} zero points")]
    ZeroPoints { scales: usize, zero_points: usize },
    #[error("it has {scales} scales for axis {axis} of sizes {sizes:?}")]
    Scales {
        scales: usize,
        axis: usize,
        sizes: Vec<usize>,
    },
}
