//! Why there is no plan.

use alloc::string::String;
use core::fmt;

use crate::checker::Violation;
use crate::problem::{MAX_BUFFERS, MAX_BYTES, MAX_RELATIONS};

/// Why a problem has no plan, or none was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// More buffers than [`MAX_BUFFERS`].
    TooManyBuffers {
        /// How many there are.
        count: usize,
    },
    /// More relations than [`MAX_RELATIONS`].
    TooManyRelations {
        /// How many there are.
        count: usize,
    },
    /// There are buffers, but no region to place them in.
    NoRegion,
    /// A buffer's live range ends at the moment at which it starts.
    EmptyLiveRange {
        /// The buffer's name.
        buffer: String,
        /// That moment.
        moment: u32,
    },
    /// A buffer's live range ends before it starts.
    InvertedLiveRange {
        /// The buffer's name.
        buffer: String,
        /// The start of the range.
        start: u32,
        /// The end of the range.
        end: u32,
    },
    /// A size, alignment or fixed offset above [`MAX_BYTES`].
    TooLarge {
        /// The buffer's name.
        buffer: String,
        /// Which number: `size`, `alignment` or `fixed offset`.
        field: &'static str,
        /// The number.
        bytes: u64,
    },
    /// An alignment that is not a power of two.
    BadAlignment {
        /// The buffer's name.
        buffer: String,
        /// The alignment.
        alignment: u64,
    },
    /// A fixed offset that is not a multiple of the alignment.
    MisalignedFixedOffset {
        /// The buffer's name.
        buffer: String,
        /// The fixed offset.
        offset: u64,
        /// The alignment.
        alignment: u64,
    },
    /// A buffer names a region that does not exist.
    UnknownRegion {
        /// The buffer's name.
        buffer: String,
        /// The region's index.
        region: u32,
    },
    /// A relation names a buffer that does not exist.
    UnknownBuffer {
        /// The relation's index.
        relation: usize,
        /// The buffer's index.
        buffer: u32,
    },
    /// A relation between a buffer and itself.
    SelfRelation {
        /// The relation's index.
        relation: usize,
        /// The buffer's name.
        buffer: String,
    },
    /// A buffer is larger than every region that it may be placed in.
    BufferTooLarge {
        /// The buffer's name.
        buffer: String,
        /// The end of the buffer if it was placed as low as possible.
        bytes: u64,
        /// The capacity of the largest region that it may be placed in.
        capacity: u64,
    },
    /// Relations, fixed offsets and alignments contradict each other at this buffer.
    Contradiction {
        /// The buffer's name.
        buffer: String,
    },
    /// No plan exists: the lower bound is above the capacity.
    CapacityExceeded {
        /// The region's name.
        region: String,
        /// The fewest bytes that any plan needs.
        lower_bound: u64,
        /// The region's capacity.
        capacity: u64,
    },
    /// No plan exists: the exact search has tried everything.
    Infeasible {
        /// The steps that it took.
        steps: u64,
    },
    /// The budget ended before a plan was found that fits; there may be one.
    NoPlanFound {
        /// The name of a region that overflows in the best attempt.
        region: String,
        /// The bytes that the best attempt needs of it.
        height: u64,
        /// The region's capacity.
        capacity: u64,
        /// The steps that were taken.
        steps: u64,
    },
    /// The plan that was found breaks a rule: a defect of this crate, never of the problem.
    WrongPlan {
        /// The rule.
        violation: Violation,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyBuffers { count } => {
                write!(f, "{count} buffers, at most {MAX_BUFFERS} can be planned")
            }
            Self::TooManyRelations { count } => {
                write!(
                    f,
                    "{count} relations, at most {MAX_RELATIONS} can be planned"
                )
            }
            Self::NoRegion => write!(f, "there are buffers but no region to place them in"),
            Self::EmptyLiveRange { buffer, moment } => {
                write!(
                    f,
                    "buffer `{buffer}` has the empty live range [{moment}, {moment})"
                )
            }
            Self::InvertedLiveRange { buffer, start, end } => {
                write!(
                    f,
                    "buffer `{buffer}` has the inverted live range [{start}, {end})"
                )
            }
            Self::TooLarge {
                buffer,
                field,
                bytes,
            } => {
                write!(
                    f,
                    "buffer `{buffer}` has {field} {bytes}, the limit is {MAX_BYTES}"
                )
            }
            Self::BadAlignment { buffer, alignment } => {
                write!(
                    f,
                    "buffer `{buffer}` has alignment {alignment}, which is no power of two"
                )
            }
            Self::MisalignedFixedOffset {
                buffer,
                offset,
                alignment,
            } => write!(
                f,
                "buffer `{buffer}` has the fixed offset {offset}, no multiple of its alignment {alignment}"
            ),
            Self::UnknownRegion { buffer, region } => {
                write!(
                    f,
                    "buffer `{buffer}` names region {region}, which does not exist"
                )
            }
            Self::UnknownBuffer { relation, buffer } => {
                write!(
                    f,
                    "relation {relation} names buffer {buffer}, which does not exist"
                )
            }
            Self::SelfRelation { relation, buffer } => {
                write!(
                    f,
                    "relation {relation} is between buffer `{buffer}` and itself"
                )
            }
            Self::BufferTooLarge {
                buffer,
                bytes,
                capacity,
            } => write!(
                f,
                "buffer `{buffer}` needs {bytes} bytes, the largest region it may use has {capacity}"
            ),
            Self::Contradiction { buffer } => write!(
                f,
                "relations, fixed offsets and alignments contradict each other at buffer `{buffer}`"
            ),
            Self::CapacityExceeded {
                region,
                lower_bound,
                capacity,
            } => {
                write!(
                    f,
                    "any plan needs {lower_bound} bytes, region `{region}` has {capacity}"
                )
            }
            Self::Infeasible { steps } => {
                write!(f, "no plan fits the regions (proved in {steps} steps)")
            }
            Self::NoPlanFound {
                region,
                height,
                capacity,
                steps,
            } => write!(
                f,
                "no plan found in {steps} steps: the best one needs {height} bytes, region `{region}` has {capacity}"
            ),
            Self::WrongPlan { violation } => write!(
                f,
                "the planner made a wrong plan ({violation}), which is a defect of the planner; please report this problem"
            ),
        }
    }
}

impl core::error::Error for PlanError {}
