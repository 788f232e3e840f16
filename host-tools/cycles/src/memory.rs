//! The memories of a board, as data: which address is served by what, and how long that
//! takes beyond a memory that answers at once.

mod cache;
mod state;

use serde::{Deserialize, Serialize};

pub(crate) use self::state::{Memories, NO_REGION};

/// The memories of a board.
///
/// An address in none of the regions is served at once, as registers of peripherals are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryMap {
    /// Whether estimates with it were compared with measurements; see
    /// [`Core::validated`](crate::pipeline::Core::validated).
    #[serde(default)]
    pub is_measured: bool,
    /// The caches that ports of the regions name.
    #[serde(default, rename = "cache", skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<Cache>,
    /// The regions, which do not overlap.
    #[serde(default, rename = "region", skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
}

/// A cache. A line that is brought in takes the place of the one of its set that was used
/// least recently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// By what ports name it.
    pub name: String,
    /// All that it holds; a multiple of `line_bytes * ways`.
    pub bytes: u32,
    /// Bytes that are brought in at once; a power of two from 4 to 1024.
    pub line_bytes: u32,
    /// Lines of a set. 0: one set has all lines.
    #[serde(default)]
    pub ways: u32,
    /// Whether a store brings its line in.
    #[serde(default)]
    pub allocates_stores: bool,
}

/// Addresses that one memory serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// The common name, such as `flash`.
    pub name: String,
    /// The first address.
    pub start: u32,
    /// How many bytes.
    pub bytes: u32,
    /// How instructions are fetched. By default at once.
    #[serde(default)]
    pub code: Port,
    /// How data is read and written. By default at once.
    #[serde(default)]
    pub data: Port,
}

/// How a memory is reached. By default it answers at once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Port {
    /// The cache before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
    /// Cycles that it takes to bring a line of the cache, or without one `read_bytes`.
    pub miss_cycles: f64,
    /// Cycles for which the rest of the line keeps the memory busy then, so that another one
    /// waits that is missed meanwhile.
    pub busy_cycles: f64,
    /// Cycles of the first read of another line, if the cache has it.
    pub hit_cycles: f64,
    /// Without a cache: bytes that a read brings and that are kept until another read. 0:
    /// every access is a read of its own, whatever its size.
    pub read_bytes: u32,
    /// Whether the line after the last one is read meanwhile, so that it takes
    /// `miss_cycles` less what passed since that one was come to.
    pub prefetch: bool,
    /// More cycles of every load, whether the cache has it or not.
    pub load_cycles: f64,
    /// Cycles of a store that no cache takes.
    pub store_cycles: f64,
    /// Where, in bytes from the region's start, further memories begin that are reached over
    /// ports of their own; in ascending order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub banks: Vec<u32>,
    /// More cycles of an access to another of them than the access before.
    pub switch_cycles: f64,
}

/// A [`MemoryMap`] that contradicts itself.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MemoryError {
    /// A cache that none of the map has.
    #[error("region `{region}` names the cache `{cache}`, which the memory map does not have")]
    NoCache {
        /// The region.
        region: String,
        /// The cache's name.
        cache: String,
    },
    /// A cache whose sizes do not fit together.
    #[error(
        "cache `{cache}` has {bytes} bytes in lines of {line_bytes} and {ways} ways: the line is \
         to be a power of two from 4 to 1024, the lines at most 65536, and the sets a power of two"
    )]
    Shape {
        /// The cache's name.
        cache: String,
        /// Its bytes.
        bytes: u32,
        /// Bytes of a line.
        line_bytes: u32,
        /// Lines of a set.
        ways: u32,
    },
    /// Two regions have an address in common, or one reaches beyond the last address.
    #[error("region `{region}` overlaps with another one of the memory map, or ends beyond 2^32")]
    Overlap {
        /// The region.
        region: String,
    },
    /// Cycles below zero, above 10 000, or no number; bytes of a read that are no power of two
    /// up to 1024; or banks that are not in ascending order.
    #[error(
        "region `{region}`: cycles are to be from 0 to 10000, `read_bytes` 0 or a power of two \
         from 4 to 1024, and `banks` in ascending order"
    )]
    Port {
        /// The region.
        region: String,
    },
}

impl MemoryMap {
    /// A board whose memories all answer at once.
    pub fn zero_wait() -> Self {
        Self::default()
    }

    /// Checks that the map can be used.
    ///
    /// # Errors
    /// [`MemoryError`] by the first thing that is wrong.
    pub fn check(&self) -> Result<(), MemoryError> {
        self.caches.iter().try_for_each(Cache::check)?;
        for (at, region) in self.regions.iter().enumerate() {
            region.code.check(region, &self.caches)?;
            region.data.check(region, &self.caches)?;
            let end = |region: &Region| u64::from(region.start) + u64::from(region.bytes);
            let meets = |other: &Region| {
                u64::from(region.start) < end(other) && u64::from(other.start) < end(region)
            };
            if end(region) > 1 << 32 || self.regions[..at].iter().any(meets) {
                let region = region.name.clone();
                return Err(MemoryError::Overlap { region });
            }
        }
        Ok(())
    }
}

impl Cache {
    fn check(&self) -> Result<(), MemoryError> {
        let line_fits = self.line_bytes.is_power_of_two() && (4..=1024).contains(&self.line_bytes);
        let fits = line_fits && {
            let lines = self.bytes / self.line_bytes;
            let ways = if self.ways == 0 { lines } else { self.ways };
            let whole = self.bytes.is_multiple_of(self.line_bytes) && (1..=65_536).contains(&lines);
            whole && lines.is_multiple_of(ways) && (lines / ways).is_power_of_two()
        };
        match fits {
            true => Ok(()),
            false => Err(MemoryError::Shape {
                cache: self.name.clone(),
                bytes: self.bytes,
                line_bytes: self.line_bytes,
                ways: self.ways,
            }),
        }
    }
}

impl Port {
    fn check(&self, region: &Region, caches: &[Cache]) -> Result<(), MemoryError> {
        if let Some(name) = &self.cache
            && !caches.iter().any(|cache| cache.name == *name)
        {
            return Err(MemoryError::NoCache {
                region: region.name.clone(),
                cache: name.clone(),
            });
        }
        let cycles = [
            self.miss_cycles,
            self.busy_cycles,
            self.hit_cycles,
            self.load_cycles,
            self.store_cycles,
            self.switch_cycles,
        ];
        let read_fits = matches!(self.read_bytes, 0 | 4..=1024)
            && (self.read_bytes == 0 || self.read_bytes.is_power_of_two());
        match read_fits
            && cycles
                .iter()
                .all(|cycles| (0.0..=10_000.0).contains(cycles))
        {
            true => Ok(()),
            false => Err(MemoryError::Port {
                region: region.name.clone(),
            }),
        }
    }
}
