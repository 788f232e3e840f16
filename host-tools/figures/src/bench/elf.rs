//! Reads the parts of a 32-bit little-endian ELF file that the benchmark needs.

use anyhow::{Context, Result};

const EXECUTABLE: usize = 4;
const SYMBOLS: usize = 2;
const FUNCTION: u8 = 2;

/// Bytes of the executable sections.
pub(super) fn code_size(elf: &[u8]) -> Result<u64> {
    let sizes = sections(elf).context("not an ELF file")?;
    let code = sizes
        .iter()
        .filter(|section| section.flags & EXECUTABLE != 0);
    Ok(code.map(|section| section.size as u64).sum())
}

/// A function, by its mangled name.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) size_bytes: u64,
}

/// All functions.
pub(super) fn functions(elf: &[u8]) -> Result<Vec<Function>> {
    symbols(elf).context("not an ELF file with symbols")
}

struct Section {
    kind: usize,
    flags: usize,
    offset: usize,
    size: usize,
    /// The section of the names, if this one is of symbols.
    link: usize,
}

fn word(elf: &[u8], at: usize) -> Option<usize> {
    let bytes = elf.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes) as usize)
}

fn half(elf: &[u8], at: usize) -> Option<usize> {
    let bytes = elf.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(u16::from_le_bytes(bytes) as usize)
}

fn sections(elf: &[u8]) -> Option<Vec<Section>> {
    let (headers, size, count) = (word(elf, 0x20)?, half(elf, 0x2e)?, half(elf, 0x30)?);
    (0..count)
        .map(|section| {
            let header = headers + section * size;
            Some(Section {
                kind: word(elf, header + 4)?,
                flags: word(elf, header + 8)?,
                offset: word(elf, header + 16)?,
                size: word(elf, header + 20)?,
                link: word(elf, header + 24)?,
            })
        })
        .collect()
}

fn symbols(elf: &[u8]) -> Option<Vec<Function>> {
    let sections = sections(elf)?;
    let symbols = sections.iter().find(|section| section.kind == SYMBOLS)?;
    let names = elf.get(sections.get(symbols.link)?.offset..)?;
    let mut functions = Vec::new();
    for symbol in elf
        .get(symbols.offset..symbols.offset + symbols.size)?
        .chunks_exact(16)
    {
        if symbol[12] & 0xf == FUNCTION {
            let name = names.get(word(symbol, 0)?..)?;
            let name = name.split(|&byte| byte == 0).next()?;
            functions.push(Function {
                name: String::from_utf8_lossy(name).into_owned(),
                size_bytes: word(symbol, 8)? as u64,
            });
        }
    }
    Some(functions)
}
