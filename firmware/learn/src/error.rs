//! What can be wrong.

use core::fmt;

/// Why there is no learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupError {
    /// The network's head reads nothing.
    NoFeatures,
    /// There is no room for a class.
    NoClasses,
    /// There is room for more classes than are counted.
    TooManyClasses {
        /// So many.
        given: usize,
        /// The most.
        most: usize,
    },
    /// A slice of the memory has another length than the others need.
    Memory {
        /// The field of the memory.
        field: &'static str,
        /// Its length.
        given: usize,
        /// The length that it needs.
        needed: usize,
    },
    /// The trained head has more classes than there is room for.
    TrainedClasses {
        /// Its classes.
        trained: usize,
        /// The room.
        most: usize,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoFeatures => f.write_str("the network's head reads no features"),
            Self::NoClasses => f.write_str("the memory has no room for a class"),
            Self::TooManyClasses { given, most } => {
                write!(
                    f,
                    "the memory has {given} classes, a learner at most {most}"
                )
            }
            Self::Memory {
                field,
                given,
                needed,
            } => write!(f, "the memory's `{field}` has {given} values, not {needed}"),
            Self::TrainedClasses { trained, most } => write!(
                f,
                "the trained head has {trained} classes, the memory room for {most}"
            ),
        }
    }
}

impl core::error::Error for SetupError {}

/// Why an image is not learned or classified. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnError {
    /// Another number of features than the learner's.
    Features {
        /// So many.
        given: usize,
        /// The learner's.
        needed: usize,
    },
    /// There is no such class.
    Class {
        /// Its number.
        given: usize,
        /// How many there are.
        classes: usize,
    },
    /// There is no room for another class.
    Full {
        /// How many there are.
        classes: usize,
    },
}

impl fmt::Display for LearnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Features { given, needed } => {
                write!(f, "{given} features are given, the learner has {needed}")
            }
            Self::Class { given, classes } => {
                write!(f, "there is no class {given}, only {classes} classes")
            }
            Self::Full { classes } => {
                write!(f, "there is no room for more than {classes} classes")
            }
        }
    }
}

impl core::error::Error for LearnError {}

/// Why a flash has no two slots in the place that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotsError {
    /// The flash reads or writes units in which a block of the format does not end.
    Unit {
        /// Bytes of a unit.
        bytes: usize,
        /// Bytes of a block.
        block: usize,
    },
    /// A slot's begin or length is no multiple of what is erased at a time.
    Erase {
        /// Bytes that are erased at a time.
        bytes: usize,
    },
    /// A slot is too small.
    Size {
        /// Bytes of a slot.
        given: u32,
        /// Bytes that it needs.
        needed: usize,
    },
    /// The slots end behind the flash.
    Capacity {
        /// Bytes of the flash.
        bytes: usize,
    },
}

impl fmt::Display for SlotsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unit { bytes, block } => write!(
                f,
                "the flash reads or writes {bytes} bytes at a time, of which {block} are no multiple"
            ),
            Self::Erase { bytes } => {
                write!(
                    f,
                    "the slots are no multiples of the {bytes} bytes that are erased at a time"
                )
            }
            Self::Size { given, needed } => {
                write!(f, "a slot has {given} bytes and needs {needed}")
            }
            Self::Capacity { bytes } => write!(f, "the slots end behind the flash's {bytes} bytes"),
        }
    }
}

impl core::error::Error for SlotsError {}

/// Why a head is not saved. The one that was saved before is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveError<E> {
    /// The slots do not suit the flash.
    Slots(SlotsError),
    /// The flash failed.
    Flash(E),
    /// The flash holds other bytes than were written.
    NotWritten,
}

impl<E: fmt::Debug> fmt::Display for SaveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots(error) => error.fmt(f),
            Self::Flash(error) => write!(f, "the flash failed: {error:?}"),
            Self::NotWritten => f.write_str("the flash holds other bytes than were written"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for SaveError<E> {}

/// Why no head is loaded. The learner is as it was, unless it is said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadError<E> {
    /// The slots do not suit the flash.
    Slots(SlotsError),
    /// The flash failed.
    Flash(E),
    /// Nothing was saved, or both slots are damaged.
    Nothing,
    /// The saved head is for another network.
    OtherNetwork {
        /// What tells that network apart.
        saved: u32,
    },
    /// The saved head has another number of features, or more classes than there is room for.
    OtherSize {
        /// Its features.
        features: u32,
        /// Its classes.
        classes: u32,
    },
    /// The flash gave other bytes the second time that it was read. The learner has no classes
    /// any more.
    Unsteady,
}

impl<E: fmt::Debug> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots(error) => error.fmt(f),
            Self::Flash(error) => write!(f, "the flash failed: {error:?}"),
            Self::Nothing => f.write_str("no slot holds a head"),
            Self::OtherNetwork { saved } => {
                write!(f, "the saved head is for the network {saved:#010x}")
            }
            Self::OtherSize { features, classes } => write!(
                f,
                "the saved head has {features} features and {classes} classes"
            ),
            Self::Unsteady => f.write_str("the flash gave other bytes the second time"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for LoadError<E> {}

impl<E> From<SlotsError> for SaveError<E> {
    fn from(error: SlotsError) -> Self {
        Self::Slots(error)
    }
}

impl<E> From<SlotsError> for LoadError<E> {
    fn from(error: SlotsError) -> Self {
        Self::Slots(error)
    }
}
