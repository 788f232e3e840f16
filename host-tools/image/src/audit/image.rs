//! A linked image, as far as an audit reads it: code, constants and symbols.

use std::collections::BTreeMap;

use object::{
    Architecture, Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, SymbolSection, elf,
};

/// An image that cannot be audited because the file is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedElf {
    /// The file's structure is broken.
    #[error("is no ELF file that can be read: {0}")]
    Unreadable(String),
    /// It is for something else.
    #[error("is not for a 32-bit little-endian Arm processor")]
    OtherProcessor,
    /// A section does not fit the address space, or has other bytes than it says.
    #[error("section `{0}` lies outside the memory or the file")]
    Outside(String),
    /// Two sections take the same memory.
    #[error("sections `{0}` and `{1}` overlap")]
    Overlap(String, String),
    /// A symbol is missing or lies where it must not.
    #[error("symbol `{0}` is missing or is not where it should be")]
    Symbol(String),
    /// There is no vector table, or it is not one.
    #[error("it has no vector table")]
    NoVectors,
}

#[derive(Debug)]
struct Section<'a> {
    name: String,
    start: u32,
    /// One more than the last address.
    end: u64,
    bytes: &'a [u8],
    is_code: bool,
    is_constant: bool,
}

/// A symbol of code or data.
#[derive(Debug, Clone)]
pub(super) struct Symbol {
    pub(super) name: String,
    pub(super) size: u32,
}

/// The image.
#[derive(Debug)]
pub(super) struct Image<'a> {
    /// In the order of addresses.
    sections: Vec<Section<'a>>,
    /// Functions by address.
    pub(super) functions: BTreeMap<u32, Symbol>,
    /// Variables by address.
    objects: BTreeMap<u32, Symbol>,
    /// All other symbols, by name.
    labels: BTreeMap<String, u32>,
    /// Where instructions (true) and data (false) begin.
    marks: BTreeMap<u32, bool>,
}

impl<'a> Image<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, MalformedElf> {
        let unreadable = |error: object::Error| MalformedElf::Unreadable(error.to_string());
        let file = object::File::parse(bytes).map_err(unreadable)?;
        if file.architecture() != Architecture::Arm || file.is_64() || !file.is_little_endian() {
            return Err(MalformedElf::OtherProcessor);
        }
        let mut image = Self {
            sections: Vec::new(),
            functions: BTreeMap::new(),
            objects: BTreeMap::new(),
            labels: BTreeMap::new(),
            marks: BTreeMap::new(),
        };
        for section in file.sections() {
            image.sections.extend(read_section(&section)?);
        }
        image.sections.sort_by_key(|section| section.start);
        for pair in image.sections.windows(2) {
            if let [low, high] = pair
                && u64::from(high.start) < low.end
            {
                return Err(MalformedElf::Overlap(low.name.clone(), high.name.clone()));
            }
        }
        for symbol in file.symbols() {
            let name = symbol.name().map_err(unreadable)?;
            image.add_symbol(name, &symbol)?;
        }
        Ok(image)
    }

    fn add_symbol(
        &mut self,
        name: &str,
        symbol: &object::Symbol<'_, '_>,
    ) -> Result<(), MalformedElf> {
        if symbol.is_undefined() || matches!(symbol.section(), SymbolSection::None) {
            return Ok(());
        }
        let wrong = || MalformedElf::Symbol(name.to_owned());
        let address = u32::try_from(symbol.address()).map_err(|_| wrong())?;
        let size = u32::try_from(symbol.size()).map_err(|_| wrong())?;
        let of = Symbol {
            name: name.to_owned(),
            size,
        };
        if name.starts_with("$t") || name.starts_with("$d") {
            self.marks.insert(address & !1, name.starts_with("$t"));
        } else if symbol.kind() == SymbolKind::Text && symbol.is_definition() {
            let start = address & !1;
            let section = self.section(start).ok_or_else(wrong)?;
            if u64::from(start) + u64::from(size) > section.end {
                return Err(wrong());
            }
            // Of several names the one with a size says more.
            let known = self.functions.entry(start).or_insert_with(|| of.clone());
            if known.size < size {
                *known = of;
            }
        } else if symbol.kind() == SymbolKind::Data {
            address.checked_add(size).ok_or_else(wrong)?;
            self.objects.insert(address, of);
        } else {
            self.labels.insert(of.name, address);
        }
        Ok(())
    }

    fn section(&self, address: u32) -> Option<&Section<'a>> {
        let after = self
            .sections
            .partition_point(|section| section.start <= address);
        let section = self.sections.get(after.checked_sub(1)?)?;
        (u64::from(address) < section.end).then_some(section)
    }

    fn bytes<const N: usize>(&self, address: u32, of: fn(&Section<'_>) -> bool) -> Option<[u8; N]> {
        let section = self.section(address).filter(|section| of(section))?;
        let at = (address - section.start) as usize;
        section.bytes.get(at..)?.first_chunk().copied()
    }

    /// A halfword of code, unless it is data between code.
    pub(super) fn halfword(&self, address: u32) -> Option<u16> {
        self.is_code(address).then_some(())?;
        let bytes = self.bytes(address, |section| section.is_code)?;
        Some(u16::from_le_bytes(bytes))
    }

    /// Whether instructions are here, not data.
    pub(super) fn is_code(&self, address: u32) -> bool {
        let Some(section) = self.section(address).filter(|section| section.is_code) else {
            return false;
        };
        let mark = self.marks.range(section.start..=address).next_back();
        address.is_multiple_of(2) && mark.is_none_or(|(_, &is_code)| is_code)
    }

    /// A word that never changes while the program runs.
    pub(super) fn constant(&self, address: u32) -> Option<u32> {
        let bytes = self.bytes(address, |section| section.is_constant)?;
        Some(u32::from_le_bytes(bytes))
    }

    /// The data between code from an address on.
    pub(super) fn data_from(&self, address: u32) -> &'a [u8] {
        let Some(section) = self.section(address).filter(|section| section.is_code) else {
            return &[];
        };
        let mark = self.marks.range(section.start..=address).next_back();
        if mark.is_none_or(|(_, &is_code)| is_code) {
            return &[];
        }
        let code = self
            .marks
            .range(address + 1..)
            .find(|(_, is_code)| **is_code);
        let function = self.functions.range(address + 1..).next();
        let ends = [code.map(|(&at, _)| at), function.map(|(&at, _)| at)];
        let ends = ends.into_iter().flatten().map(u64::from);
        let end = ends.fold(section.end, u64::min);
        let at = |address: u64| (address - u64::from(section.start)) as usize;
        section
            .bytes
            .get(at(address.into())..at(end))
            .unwrap_or(&[])
    }

    /// The function that has code at an address: its start.
    pub(super) fn function_at(&self, address: u32) -> Option<(u32, &Symbol)> {
        let (&start, symbol) = self.functions.range(..=address).next_back()?;
        Some((start, symbol))
    }

    /// What a function is called in the source.
    pub(super) fn name(&self, address: u32) -> String {
        match self.function_at(address) {
            Some((_, symbol)) => format!("{:#}", rustc_demangle::demangle(&symbol.name)),
            None => format!("{address:#x}"),
        }
    }

    /// The address of a symbol by its name.
    pub(super) fn label(&self, name: &str) -> Option<u32> {
        self.labels.get(name).copied()
    }

    /// How many bytes there are below an address that is the top of a stack: down to the
    /// start of the variable that ends there.
    pub(super) fn stack_below(&self, top: u32) -> Option<u32> {
        if self.label("_stack_start") == Some(top) {
            return top.checked_sub(self.label("_stack_end")?);
        }
        let (&start, object) = self.objects.range(..top).next_back()?;
        (start.checked_add(object.size)? >= top).then(|| top - start)
    }

    /// The words of the vector table.
    pub(super) fn vectors(&self) -> Result<Vec<u32>, MalformedElf> {
        let table = self
            .sections
            .iter()
            .find(|section| section.name == ".vector_table");
        let (words, _) = table.ok_or(MalformedElf::NoVectors)?.bytes.as_chunks();
        let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        // Initial stack pointer, reset, and the fixed exceptions.
        if words.len() < 16 {
            Err(MalformedElf::NoVectors)
        } else {
            Ok(words)
        }
    }
}

/// A section that takes memory.
fn read_section<'a>(
    section: &object::Section<'a, '_>,
) -> Result<Option<Section<'a>>, MalformedElf> {
    let SectionFlags::Elf { sh_flags } = section.flags() else {
        return Ok(None);
    };
    let has = |flag: u32| sh_flags & u64::from(flag) != 0;
    if !has(elf::SHF_ALLOC) || section.size() == 0 {
        return Ok(None);
    }
    let name = section.name().unwrap_or("?").to_owned();
    let start = u32::try_from(section.address());
    let end = section.address().checked_add(section.size());
    let (Ok(start), Some(end @ ..=0x1_0000_0000)) = (start, end) else {
        return Err(MalformedElf::Outside(name));
    };
    let bytes = section
        .data()
        .map_err(|_| MalformedElf::Outside(name.clone()))?;
    if !bytes.is_empty() && bytes.len() as u64 != section.size() {
        return Err(MalformedElf::Outside(name));
    }
    Ok(Some(Section {
        start,
        end,
        bytes,
        is_code: has(elf::SHF_EXECINSTR),
        is_constant: !has(elf::SHF_WRITE),
        name,
    }))
}
