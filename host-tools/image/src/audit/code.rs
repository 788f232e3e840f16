//! The machine code of an image, as its file tells of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, SymbolKind, elf};
use tadpool_cycles::decode;

use super::value::Table;
use crate::elf::ElfError;

/// The section with the addresses that the processor starts at.
const VECTORS: &str = ".vector_table";
/// Pairs of words: a jump of assembly to a place that it computes, and one of the places.
const JUMPS: &str = ".tadpool.jumps";

/// `mov r8, r8` and `nop`, which assemblers fill gaps in code with.
const FILLING: [u16; 2] = [0x46c0, 0xbf00];

/// An image's code and constants, by address.
pub(super) struct Code<'a> {
    regions: Vec<Region<'a>>,
    functions: BTreeMap<u32, Function>,
    /// Ends of variables, by their starts, with their names.
    variables: BTreeMap<u32, (u32, String)>,
    /// Where instructions begin, and where data does.
    marks: BTreeMap<u32, bool>,
    /// Constants between instructions: those that are loaded by their place, and where tables
    /// begin.
    constants: BTreeSet<u32>,
    /// The targets that assembly declares for its own jumps.
    jumps: BTreeMap<u32, BTreeSet<u32>>,
    /// The table of the processor's entries, the initial stack pointer first; empty if the
    /// image has none.
    pub(super) vectors: Vec<u32>,
    /// Where the linker put the stack: its end, and its start above that.
    pub(super) stack: Option<(u32, u32)>,
}

/// A section.
struct Region<'a> {
    start: u32,
    bytes: &'a [u8],
    is_code: bool,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) start: u32,
    /// Exclusive.
    pub(super) end: u32,
    /// Its symbols.
    pub(super) symbols: Vec<String>,
}

impl Function {
    /// Its symbol as it reads in the source.
    pub(super) fn name(&self) -> String {
        let symbol = self.symbols.first().map_or("?", String::as_str);
        format!("{:#}", rustc_demangle::demangle(symbol))
    }
}

impl<'a> Code<'a> {
    /// That of the image in `bytes`, from the file at `path`.
    pub(super) fn of(path: &Path, bytes: &'a [u8]) -> Result<Self, ElfError> {
        let wrong = |error: object::Error| ElfError::new(path, error);
        let far = || ElfError::new(path, "it has addresses beyond 32 bits");
        let address = |value: u64| u32::try_from(value).map_err(|_| far());
        let file = object::File::parse(bytes).map_err(wrong)?;
        let mut code = Self {
            regions: Vec::new(),
            functions: BTreeMap::new(),
            variables: BTreeMap::new(),
            marks: BTreeMap::new(),
            constants: BTreeSet::new(),
            jumps: BTreeMap::new(),
            vectors: Vec::new(),
            stack: None,
        };
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else {
                continue;
            };
            let has = |flag: u32| sh_flags & u64::from(flag) != 0;
            if section.name() == Ok(JUMPS) {
                let words = words(section.data().map_err(wrong)?);
                for [from, to] in words.as_chunks().0 {
                    code.jumps.entry(from & !1).or_default().insert(to & !1);
                }
            }
            if !has(elf::SHF_ALLOC) {
                continue;
            }
            let is_code = section.kind() == SectionKind::Text;
            let data = section.data().map_err(wrong)?;
            if section.name() == Ok(VECTORS) {
                code.vectors = words(data);
            }
            let start = address(section.address())?;
            let end = address(
                section
                    .address()
                    .checked_add(section.size())
                    .ok_or_else(far)?,
            )?;
            if is_code {
                let of_section = file
                    .symbols()
                    .filter(|symbol| symbol.section_index() == Some(section.index()));
                code.add_functions(path, of_section, start..end)?;
            }
            // What may be written has no value that is known beforehand.
            if (is_code || !has(elf::SHF_WRITE)) && !data.is_empty() {
                code.regions.push(Region {
                    start,
                    bytes: data,
                    is_code,
                });
            }
        }
        for symbol in file.symbols().filter(|symbol| symbol.size() > 0) {
            if symbol.kind() == SymbolKind::Data {
                let (start, size) = (address(symbol.address())?, address(symbol.size())?);
                let name = symbol.name().unwrap_or_default().to_owned();
                code.variables
                    .insert(start, (start.checked_add(size).ok_or_else(far)?, name));
            }
        }
        let place = |name: &str| {
            let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name))?;
            u32::try_from(symbol.address()).ok()
        };
        code.stack = place("_stack_end").zip(place("_stack_start"));
        code.constants = code.find_constants();
        Ok(code)
    }

    /// The constants that instructions refer to by their distance.
    fn find_constants(&self) -> BTreeSet<u32> {
        let mut constants = BTreeSet::new();
        for region in self.regions.iter().filter(|region| region.is_code) {
            let mut at = region.start;
            while region.has(at) {
                let Some(code) = self.instruction(at) else {
                    at = at.saturating_add(2);
                    continue;
                };
                if let Ok(instruction) = decode::decode(code) {
                    let offset = match (instruction.value, instruction.memory) {
                        (decode::Value::Address(offset), _) => Some(offset),
                        (_, Some(memory)) if memory.base == Some(15) => memory.offset,
                        _ => None,
                    };
                    let pc = at.wrapping_add(4) & !3;
                    constants.extend(offset.map(|offset| pc.wrapping_add_signed(offset)));
                }
                at = at.saturating_add(code.bytes());
            }
        }
        constants
    }

    fn add_functions<'s>(
        &mut self,
        path: &Path,
        symbols: impl Iterator<Item = object::Symbol<'s, 's>>,
        section: std::ops::Range<u32>,
    ) -> Result<(), ElfError> {
        let mut spans: BTreeMap<u32, (u32, Vec<String>)> = BTreeMap::new();
        for symbol in symbols {
            let name = symbol.name().unwrap_or_default();
            let far = || ElfError::new(path, format!("`{name}` lies outside its section"));
            let start = u32::try_from(symbol.address()).map_err(|_| far())?;
            if name.starts_with("$t") || name.starts_with("$d") {
                self.marks.insert(start, name.starts_with("$t"));
            } else if symbol.kind() == SymbolKind::Text {
                let size = u32::try_from(symbol.size()).map_err(|_| far())?;
                let span = spans.entry(start & !1).or_default();
                span.0 = span.0.max(size);
                span.1.push(name.to_owned());
            }
        }
        for (&start, (size, symbols)) in &spans {
            // Assembly may leave the size out: up to the next function.
            let next = spans
                .range((Bound::Excluded(start), Bound::Unbounded))
                .next()
                .map_or(section.end, |(&next, _)| next.min(section.end));
            let end = match size {
                0 => Some(next),
                size => start.checked_add(*size),
            };
            let end =
                end.filter(|&end| section.start <= start && start <= end && end <= section.end);
            let end = end.ok_or_else(|| {
                let name = symbols.first().map_or("?", String::as_str);
                ElfError::new(path, format!("`{name}` lies outside its section"))
            })?;
            let symbols = symbols.clone();
            self.functions.insert(
                start,
                Function {
                    start,
                    end,
                    symbols,
                },
            );
        }
        Ok(())
    }

    /// All functions.
    pub(super) fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values()
    }

    /// The function that has code at `address`.
    pub(super) fn holder(&self, address: u32) -> Option<&Function> {
        let (_, function) = self.functions.range(..=address).next_back()?;
        (address < function.end).then_some(function)
    }

    /// Name of the function that has code at `address`, or the address.
    pub(super) fn name(&self, address: u32) -> String {
        match self.holder(address) {
            Some(function) => function.name(),
            None => format!("{address:#x}"),
        }
    }

    /// The instruction at `address`; none where there is no code.
    pub(super) fn instruction(&self, address: u32) -> Option<decode::Code> {
        let is_code = self
            .marks
            .range(..=address)
            .next_back()
            .is_none_or(|(_, is_code)| *is_code);
        let region = self
            .regions
            .iter()
            .find(|region| region.is_code && region.has(address))?;
        if !is_code || !address.is_multiple_of(2) {
            return None;
        }
        let half = |at: u32| region.chunk(at).map(|bytes| u16::from_le_bytes(*bytes));
        decode::Code::of(half(address)?, half(address + 2))
    }

    /// The word of constant memory at `address`.
    pub(super) fn word(&self, address: u32) -> Option<u32> {
        let bytes = self.region(address)?.chunk(address)?;
        Some(u32::from_le_bytes(*bytes))
    }

    /// Where a jump by a table goes; none if there is no such table.
    ///
    /// The table is as long as the data there, up to another constant, but for what fills it
    /// up to a halfword or a word: a zero, an instruction without effect.
    pub(super) fn table(&self, table: Table) -> Option<BTreeSet<u32>> {
        let Table {
            start,
            entry_bytes,
            origin,
        } = table;
        let (_, is_code) = self.marks.range(..=start).next_back()?;
        if *is_code {
            return None;
        }
        let region = self.region(start)?;
        let next = self
            .marks
            .range((Bound::Excluded(start), Bound::Unbounded))
            .find(|(_, is_code)| **is_code);
        let constant = self
            .constants
            .range((Bound::Excluded(start), Bound::Unbounded))
            .next();
        let mut end = (*next?.0).min(constant.copied().unwrap_or(u32::MAX));
        let half = |at: u32| region.chunk(at).map(|bytes| u16::from_le_bytes(*bytes));
        let before = end.checked_sub(2).filter(|&before| before > start);
        if before
            .and_then(half)
            .is_some_and(|half| FILLING.contains(&half))
        {
            end -= 2;
        }
        let mut targets = BTreeSet::new();
        for at in (start..end).step_by(entry_bytes.into()) {
            let entry: u32 = match entry_bytes {
                1 => region.chunk::<1>(at)?[0].into(),
                _ => half(at)?.into(),
            };
            if entry_bytes != 1 || entry != 0 || at + 1 != end {
                targets.insert(origin.checked_add(2 * entry)?);
            }
        }
        Some(targets)
    }

    /// Where a jump goes that lands on one of the branches which begin at `table`, one behind
    /// the other and each of two halfwords; none if there are none.
    pub(super) fn branches(&self, table: u32) -> Option<BTreeSet<u32>> {
        let mut targets = BTreeSet::new();
        let mut at = table;
        while let Some(code) = self.instruction(at)
            && let Ok(instruction) = decode::decode(code)
            && let decode::Flow::Jump {
                offset,
                is_conditional: false,
            } = instruction.flow
            && instruction.is_wide
        {
            targets.insert(at.wrapping_add(4).wrapping_add_signed(offset));
            at = at.wrapping_add(4);
        }
        (!targets.is_empty()).then_some(targets)
    }

    /// The places that assembly says its jump at `address` may go to, as far as they are in
    /// the image.
    pub(super) fn jumps(&self, address: u32) -> Option<impl Iterator<Item = u32> + '_> {
        let targets = self.jumps.get(&address)?;
        // The linker leaves the address of what it left out at the beginning.
        Some(
            targets
                .iter()
                .copied()
                .filter(|&to| self.holder(to).is_some()),
        )
    }

    /// The variable with the byte below `end`, as where it begins and its name.
    pub(super) fn variable_below(&self, end: u32) -> Option<(u32, &str)> {
        let (&start, (last, name)) = self.variables.range(..end).next_back()?;
        (end <= *last).then_some((start, name))
    }

    fn region(&self, address: u32) -> Option<&Region<'a>> {
        self.regions.iter().find(|region| region.has(address))
    }
}

impl Region<'_> {
    fn has(&self, address: u32) -> bool {
        let place = address.checked_sub(self.start);
        place.is_some_and(|place| (place as usize) < self.bytes.len())
    }

    fn chunk<const BYTES: usize>(&self, address: u32) -> Option<&[u8; BYTES]> {
        let place = address.checked_sub(self.start)? as usize;
        self.bytes.get(place..)?.first_chunk()
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}
