//! The memories of a board while something is executed: what each access waits for.

use super::cache::Lines;
use super::{Cache, MemoryError, MemoryMap, Port};

/// The number of an address in none of the regions.
pub(crate) const NO_REGION: usize = usize::MAX;

/// Parts of a cycle in which waits are counted; whole cycles are given out.
const PARTS: f64 = 1000.0;

/// All memories and caches.
#[derive(Debug)]
pub(crate) struct Memories {
    regions: Vec<Region>,
    caches: Vec<Lines>,
    /// The region of the access before.
    last: usize,
    /// Parts of a cycle that are not given out yet.
    parts: u64,
}

#[derive(Debug)]
struct Region {
    start: u32,
    /// The last address.
    end: u32,
    code: Reached,
    data: Reached,
    /// Whether code or data of it was accessed.
    is_used: bool,
}

/// A port, with what it is doing. Waits are in parts of a cycle.
#[derive(Debug)]
struct Reached {
    is_free: bool,
    cache: Option<usize>,
    /// Log2 of the bytes of a line or a read; none if nothing is kept.
    shift: Option<u32>,
    miss: u64,
    busy: u64,
    hit: u64,
    is_prefetched: bool,
    load: u64,
    store: u64,
    /// Where further banks begin, and which one was accessed last.
    banks: Vec<u32>,
    switch: u64,
    bank: usize,
    /// The line that was come to last, and when.
    line: u32,
    at: u64,
    /// Until when, in parts of a cycle, the memory is busy.
    busy_until: u64,
}

impl Memories {
    pub(crate) fn new(map: &MemoryMap) -> Result<Self, MemoryError> {
        map.check()?;
        let caches: Vec<Lines> = map.caches.iter().map(Lines::new).collect();
        let region = |region: &super::Region| Region {
            start: region.start,
            end: region.start.wrapping_add(region.bytes.wrapping_sub(1)),
            code: Reached::new(&region.code, region.start, &map.caches),
            data: Reached::new(&region.data, region.start, &map.caches),
            is_used: false,
        };
        let regions = map.regions.iter().filter(|region| region.bytes > 0);
        Ok(Self {
            regions: regions.map(region).collect(),
            caches,
            last: NO_REGION,
            parts: 0,
        })
    }

    /// The number of an address's region, or [`NO_REGION`].
    pub(crate) fn region(&mut self, address: u32) -> usize {
        let is_in = |region: &Region| region.start <= address && address <= region.end;
        if !self.regions.get(self.last).is_some_and(is_in) {
            let found = self.regions.iter().position(is_in);
            self.last = found.unwrap_or(NO_REGION);
        }
        self.last
    }

    /// Whether an address's region was accessed.
    pub(crate) fn is_used(&mut self, address: u32) -> bool {
        let region = self.region(address);
        self.regions
            .get(region)
            .is_some_and(|region| region.is_used)
    }

    /// Whether data of a region is read through a cache.
    pub(crate) fn is_cached(&self, region: usize) -> bool {
        let region = self.regions.get(region);
        region.is_some_and(|region| region.data.cache.is_some())
    }

    /// Cycles that the fetch of the code at an address waits. Its line is looked for only if
    /// it is another one than the fetch before had.
    pub(crate) fn fetch(&mut self, region: usize, address: u32, now: u64) -> u64 {
        let Some(region) = self.regions.get_mut(region) else {
            return 0;
        };
        region.is_used = true;
        let wait = region.code.fetch(&mut self.caches, address, now);
        self.whole(wait)
    }

    /// Cycles that a load waits.
    pub(crate) fn load(&mut self, region: usize, address: u32, bytes: u32, now: u64) -> u64 {
        let Some(region) = self.regions.get_mut(region) else {
            return 0;
        };
        region.is_used = true;
        let wait = region.data.load(&mut self.caches, address, bytes, now);
        self.whole(wait)
    }

    /// Cycles that a store waits.
    pub(crate) fn store(&mut self, region: usize, address: u32, bytes: u32) -> u64 {
        let Some(region) = self.regions.get_mut(region) else {
            return 0;
        };
        region.is_used = true;
        let wait = region.data.store(&mut self.caches, address, bytes);
        self.whole(wait)
    }

    fn whole(&mut self, wait: u64) -> u64 {
        self.parts += wait;
        let whole = self.parts / PARTS as u64;
        self.parts %= PARTS as u64;
        whole
    }
}

impl Reached {
    fn new(port: &Port, start: u32, caches: &[Cache]) -> Self {
        let parts = |cycles: f64| (cycles * PARTS).round() as u64;
        let named = |name: &String| caches.iter().position(|cache| cache.name == *name);
        let cache = port.cache.as_ref().and_then(named);
        let line_bytes = cache.map_or(port.read_bytes, |cache| caches[cache].line_bytes);
        Self {
            is_free: [port.miss_cycles, port.load_cycles, port.store_cycles] == [0.0; 3],
            cache,
            shift: (line_bytes > 0).then(|| line_bytes.trailing_zeros()),
            miss: parts(port.miss_cycles),
            busy: parts(port.busy_cycles),
            hit: parts(port.hit_cycles),
            is_prefetched: port.prefetch,
            load: parts(port.load_cycles),
            store: parts(port.store_cycles),
            banks: port
                .banks
                .iter()
                .map(|at| start.saturating_add(*at))
                .collect(),
            switch: parts(port.switch_cycles),
            bank: 0,
            line: u32::MAX,
            at: 0,
            busy_until: 0,
        }
    }

    fn fetch(&mut self, caches: &mut [Lines], address: u32, now: u64) -> u64 {
        match self.shift {
            _ if self.is_free && self.cache.is_none() => 0,
            None => self.miss,
            Some(shift) if address >> shift == self.line => 0,
            Some(shift) => self.read(caches, address >> shift, now),
        }
    }

    fn load(&mut self, caches: &mut [Lines], address: u32, bytes: u32, now: u64) -> u64 {
        let switch = self.switch(address);
        let Some(shift) = self.shift else {
            return switch + self.load + self.miss;
        };
        let last = address.wrapping_add(bytes.saturating_sub(1)) >> shift;
        let mut wait = switch + self.load;
        let mut line = address >> shift;
        loop {
            // What another port brought into the cache may have taken the line's place.
            if self.cache.is_some() || line != self.line {
                wait += self.read(caches, line, now);
            }
            if line == last {
                return wait;
            }
            line = line.wrapping_add(1) & (u32::MAX >> shift);
        }
    }

    fn store(&mut self, caches: &mut [Lines], address: u32, bytes: u32) -> u64 {
        let switch = self.switch(address);
        let (Some(cache), Some(shift)) = (self.cache, self.shift) else {
            return switch + self.store;
        };
        let cache = &mut caches[cache];
        let mut is_held = true;
        for line in address >> shift..=address.saturating_add(bytes.saturating_sub(1)) >> shift {
            if !cache.has(line) {
                is_held = cache.allocates_stores;
                if is_held {
                    cache.bring(line);
                }
            }
        }
        switch + if is_held { 0 } else { self.store }
    }

    /// Extra cycles of an access to another bank than the one before.
    fn switch(&mut self, address: u32) -> u64 {
        if self.switch == 0 {
            return 0;
        }
        let bank = self.banks.partition_point(|&start| start <= address);
        match std::mem::replace(&mut self.bank, bank) == bank {
            true => 0,
            false => self.switch,
        }
    }

    /// Cycles to wait for a line that is not the one before.
    fn read(&mut self, caches: &mut [Lines], line: u32, now: u64) -> u64 {
        let is_next = line == self.line.wrapping_add(1);
        let passed = now.saturating_sub(self.at);
        let is_held = match self.cache {
            Some(cache) if caches[cache].has(line) => true,
            Some(cache) => {
                caches[cache].bring(line);
                false
            }
            None => false,
        };
        let wait = match is_held {
            true if line == self.line => 0,
            true => self.hit,
            false if self.is_prefetched && is_next => {
                let passed = passed.saturating_mul(PARTS as u64);
                self.miss.saturating_sub(passed)
            }
            false => {
                let now = now.saturating_mul(PARTS as u64);
                let wait = self.miss + self.busy_until.saturating_sub(now);
                self.busy_until = now + wait + self.busy;
                wait
            }
        };
        if line != self.line {
            self.line = line;
            self.at = now + wait / PARTS as u64;
        }
        wait
    }
}
