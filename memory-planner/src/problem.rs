//! A problem: regions, buffers and relations between buffers.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// The most buffers that one problem may have: what can be planned and checked in a few
/// seconds and some hundred megabytes.
pub const MAX_BUFFERS: usize = 1 << 17;

/// The most relations that one problem may have, for the same reason.
pub const MAX_RELATIONS: usize = 1 << 12;

/// The largest size, alignment and fixed offset, in bytes (one tebibyte).
///
/// With [`MAX_BUFFERS`] it keeps every sum that a solver forms below `2^63`. A
/// region's capacity has no limit: the part above this sum is never used.
pub const MAX_BYTES: u64 = 1 << 40;

/// The index of a region in [`Problem::regions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(pub u32);

impl RegionId {
    /// The index as a `usize`.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The index of a buffer in [`Problem::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

impl BufferId {
    /// The index as a `usize`.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A placement problem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// The memory regions, the most wanted first: what fits there stays out of
    /// the later ones.
    pub regions: Vec<Region>,
    /// The buffers to place.
    pub buffers: Vec<Buffer>,
    /// Relations that are allowed or asked for between pairs of buffers.
    pub relations: Vec<Relation>,
}

impl Problem {
    /// A problem with one region and no buffers yet.
    pub fn with_capacity(capacity: u64) -> Self {
        Self {
            regions: alloc::vec![Region {
                name: String::from("arena"),
                capacity
            }],
            buffers: Vec::new(),
            relations: Vec::new(),
        }
    }

    /// Adds a region and returns its id.
    pub fn add_region(&mut self, region: Region) -> RegionId {
        self.regions.push(region);
        RegionId(u32::try_from(self.regions.len() - 1).unwrap_or(u32::MAX))
    }

    /// Adds a buffer and returns its id.
    pub fn add_buffer(&mut self, buffer: Buffer) -> BufferId {
        self.buffers.push(buffer);
        BufferId(u32::try_from(self.buffers.len() - 1).unwrap_or(u32::MAX))
    }
}

/// A block of memory in which buffers are placed.
///
/// Offsets count from its start, which must be aligned to the largest alignment
/// of any buffer in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// A name for messages.
    pub name: String,
    /// The number of bytes it holds.
    pub capacity: u64,
}

impl Region {
    /// The capacity, or if that is more than any plan can need, something smaller, so that
    /// sums do not overflow.
    pub(crate) fn usable(&self) -> u64 {
        self.capacity.min(1 << 58)
    }
}

/// A buffer to place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// A name for messages.
    pub name: String,
    /// The half-open live range: the first moment at which it holds data, and the
    /// first at which it no longer does.
    pub live: Range<u32>,
    /// Its size in bytes. A buffer of zero bytes is in nobody's way.
    pub size: u64,
    /// The offset is a multiple of this power of two.
    pub alignment: u64,
    /// The regions that it may be placed in; empty stands for any.
    pub regions: Vec<RegionId>,
    /// The only offset it may have, if that is given.
    pub fixed_offset: Option<u64>,
}

impl Buffer {
    /// A buffer that may go anywhere in any region.
    pub fn new(name: impl Into<String>, live: Range<u32>, size: u64) -> Self {
        Self {
            name: name.into(),
            live,
            size,
            alignment: 1,
            regions: Vec::new(),
            fixed_offset: None,
        }
    }

    /// The same buffer with an alignment.
    #[must_use]
    pub fn aligned(mut self, alignment: u64) -> Self {
        self.alignment = alignment;
        self
    }

    /// The same buffer, also allowed in `region` (the first call restricts it).
    #[must_use]
    pub fn in_region(mut self, region: RegionId) -> Self {
        self.regions.push(region);
        self
    }

    /// The same buffer at a fixed offset.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.fixed_offset = Some(offset);
        self
    }
}

/// Something that is allowed or asked for between two buffers.
///
/// Without a relation, two buffers that are live at the same time and in the same
/// region are disjoint. Several rules for one pair add up: satisfying any one
/// of them is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// While both are live, the two may also have exactly the same offset. Their
    /// sizes may differ.
    MayAlias {
        /// One buffer.
        a: BufferId,
        /// The other.
        b: BufferId,
    },
    /// While both are live, the two may also lie so that
    /// `lower.offset + lower.size <= upper.offset + bytes`.
    ///
    /// The end of `lower` covers at most the first `bytes` bytes of `upper`: what an
    /// operation needs that writes `lower` over the head of `upper` as it reads
    /// `upper` from its start. The other way round they must be disjoint.
    /// [`sliding_window_overlap`](crate::sliding_window_overlap) computes `bytes`.
    MayOverlap {
        /// The buffer at the lower address, the one that is written.
        lower: BufferId,
        /// The buffer at the higher address, the one that is read.
        upper: BufferId,
        /// How many bytes the end of `lower` may reach into `upper`.
        bytes: u64,
    },
    /// `second` begins where `first` ends, in the same region, live or not.
    Contiguous {
        /// The buffer at the lower address.
        first: BufferId,
        /// The buffer that follows it.
        second: BufferId,
    },
    /// The two are in different regions, live together or not.
    DifferentRegion {
        /// One buffer.
        a: BufferId,
        /// The other.
        b: BufferId,
    },
}

impl Relation {
    /// The two buffers, in the order of the fields.
    pub const fn buffers(&self) -> (BufferId, BufferId) {
        match *self {
            Self::MayAlias { a, b } | Self::DifferentRegion { a, b } => (a, b),
            Self::MayOverlap { lower, upper, .. } => (lower, upper),
            Self::Contiguous { first, second } => (first, second),
        }
    }
}
