//! Reads an ELF file: segments, functions, lines of source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::architecture::Architecture;
use super::machine::{self, Machine};
use super::refusal::refusal;
use addr2line::gimli::{self, Dwarf, EndianSlice, RunTimeEndian, SectionId};
use object::read::elf::{ElfFile32, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind, elf};
use tadpool_boards::{Board, Runner};
use tadpool_cycles::pipeline::Core;

/// Names that an error suggests.
const SUGGESTED: usize = 5;

/// A program that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is none.
    #[error("`{}` is not a linked program for a Cortex-M: {problem}", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// The reason, in words.
        problem: String,
    },
    /// It has instructions that a core lacks.
    #[error(
        "`{}` was compiled for {program}, and a {core} executes {has}: name the {wanted} that it \
         is for", path.display()
    )]
    Architecture {
        /// The file.
        path: PathBuf,
        /// The architecture that it was compiled for.
        program: Architecture,
        /// The core that was named, itself or by a board.
        core: String,
        /// The architecture of the core.
        has: Architecture,
        /// The kind of name that was given, a core or a board.
        wanted: &'static str,
    },
    /// It was linked for memory that an emulated board does not have.
    #[error(
        "`{}` was linked for memory that board `{board}` lacks: it has {segments}, and there is \
         {memory}; link it for these, or name the board that it is for", path.display()
    )]
    Memory {
        /// The file.
        path: PathBuf,
        /// Name of the board.
        board: String,
        /// The segments of the program that lie elsewhere.
        segments: String,
        /// The memory that the board has.
        memory: String,
    },
    /// It has no function of a name.
    #[error(
        "`{}` has no function `{name}`{hint}", path.display(),
        hint = suggestion(similar)
    )]
    NoFunction {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// Names that contain it.
        similar: Vec<String>,
    },
    /// It has several.
    #[error(
        "`{}` has several functions `{name}`: {names}; give one of these, or an address",
        path.display(), names = names.join(", ")
    )]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// Their symbols.
        names: Vec<String>,
    },
}

fn suggestion(similar: &[String]) -> String {
    match similar.is_empty() {
        true => "; does it have symbols?".to_owned(),
        false => format!("; there is {}", similar.join(", ")),
    }
}

/// Bytes that are loaded, and where they are when the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its first address when the program runs.
    pub address: u32,
    /// Where it is loaded.
    pub load_address: u32,
    /// Its bytes when the program runs.
    pub bytes: u32,
    /// Those that are loaded.
    pub file_bytes: u32,
    /// Whether it may be executed.
    pub is_code: bool,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its symbol.
    pub symbol: String,
    /// Its name in the source, without what the compiler adds.
    pub name: String,
    /// Its first address.
    pub address: u32,
    /// Its bytes; those to the next symbol if it does not say.
    pub bytes: u32,
}

/// A linked program.
#[derive(Debug)]
pub struct Program<'a> {
    path: PathBuf,
    file: ElfFile32<'a, Endianness>,
    segments: Vec<Segment>,
    functions: BTreeMap<u32, Function>,
    architecture: Option<Architecture>,
}

/// Lines of source by address.
pub struct Lines<'a>(addr2line::Context<EndianSlice<'a, RunTimeEndian>>);

impl std::fmt::Debug for Lines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl<'a> Program<'a> {
    /// Reads the file at `path`, whose content is `bytes`.
    ///
    /// # Errors
    /// [`ProgramError::NotElf`].
    pub fn read(path: &Path, bytes: &'a [u8]) -> Result<Self, ProgramError> {
        let refused = |problem: String| ProgramError::NotElf {
            path: path.to_owned(),
            problem,
        };
        if let Some(problem) = refusal(bytes) {
            return Err(refused(problem));
        }
        let file = ElfFile32::<Endianness>::parse(bytes);
        let damaged = |error| refused(format!("it is cut off or damaged: {error}"));
        let file = file.map_err(damaged)?;
        let endian = file.endian();
        let segments = file.elf_program_headers().iter();
        let segments = segments.filter(|it| it.p_type(endian) == elf::PT_LOAD);
        let segments: Vec<Segment> = segments
            .map(|header| Segment {
                address: header.p_vaddr(endian),
                load_address: header.p_paddr(endian),
                bytes: header.p_memsz(endian),
                file_bytes: header.p_filesz(endian),
                is_code: header.p_flags(endian) & elf::PF_X != 0,
            })
            .filter(|segment| segment.bytes > 0)
            .collect();
        if !segments.iter().any(|segment| segment.file_bytes > 0) {
            return Err(refused("it has nothing to load".into()));
        }
        let functions = functions(&file);
        let architecture = architecture(&file);
        let architecture = architecture.map_err(|cores| refused(format!("it is for {cores}")))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            segments,
            functions,
            architecture,
        })
    }

    /// The architecture that it was compiled for, if it says so.
    pub fn architecture(&self) -> Option<Architecture> {
        self.architecture
    }

    /// Whether a core executes the instructions that it was compiled to.
    ///
    /// # Errors
    /// [`ProgramError::Architecture`] if not.
    pub fn check_core(&self, core: Core) -> Result<(), ProgramError> {
        self.check_architecture(core.name(), Architecture::of_core(core), "core")
    }

    /// Whether `board` executes them and, if it is emulated, has the memory that they and their
    /// data are linked for.
    ///
    /// # Errors
    /// [`ProgramError::Architecture`] or [`ProgramError::Memory`] if not.
    pub fn check_board(&self, board: &Board) -> Result<(), ProgramError> {
        if let Some(has) = Architecture::of_board(board) {
            self.check_architecture(&board.core, has, "board")?;
        }
        let machine = match &board.runner {
            Runner::Qemu(qemu) => Machine::named(&qemu.machine),
            Runner::Probe(_) => None,
        };
        let Some(machine) = machine else {
            return Ok(());
        };
        let segments = self.segments.iter().copied();
        let elsewhere: Vec<Segment> = segments.filter(|it| !machine.holds(&[*it])).collect();
        match elsewhere.is_empty() {
            true => Ok(()),
            false => Err(ProgramError::Memory {
                path: self.path.clone(),
                board: board.name.clone(),
                segments: machine::shown(&elsewhere),
                memory: machine.places(),
            }),
        }
    }

    fn check_architecture(
        &self,
        core: &str,
        has: Architecture,
        wanted: &'static str,
    ) -> Result<(), ProgramError> {
        match self.architecture.filter(|it| *it > has) {
            None => Ok(()),
            Some(program) => Err(ProgramError::Architecture {
                path: self.path.clone(),
                program,
                core: core.to_owned(),
                has,
                wanted,
            }),
        }
    }

    /// Whether it has a symbol of this name.
    pub fn has_symbol(&self, name: &str) -> bool {
        self.file.symbols().any(|symbol| symbol.name() == Ok(name))
    }

    /// The segments that are loaded.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Its sections in memory, by name: first address and bytes.
    pub fn section(&self, name: &str) -> Option<(u32, u32)> {
        let section = self.file.section_by_name(name)?;
        Some((section.address() as u32, section.size() as u32))
    }

    /// The function of a name: its symbol, its name in the source or the end of that, or an
    /// address in hexadecimal with `0x` before it.
    ///
    /// # Errors
    /// A [`ProgramError`] if there is none or are several.
    pub fn function(&self, name: &str) -> Result<u32, ProgramError> {
        let digits = name.strip_prefix("0x");
        if let Some(Ok(address)) = digits.map(|digits| u32::from_str_radix(digits, 16)) {
            return Ok(address & !1);
        }
        let all = || self.functions.values();
        if let Some(function) = all().find(|function| function.symbol == name) {
            return Ok(function.address);
        }
        let tail = format!("::{name}");
        let is_named = |it: &&Function| it.name == name || it.name.ends_with(&tail);
        let named: Vec<_> = all().filter(is_named).collect();
        match named[..] {
            [function] => Ok(function.address),
            [] => Err(ProgramError::NoFunction {
                path: self.path.clone(),
                name: name.to_owned(),
                similar: all()
                    .map(|function| function.name.clone())
                    .filter(|other| !name.is_empty() && other.contains(name))
                    .take(SUGGESTED)
                    .collect(),
            }),
            _ => Err(ProgramError::Ambiguous {
                path: self.path.clone(),
                name: name.to_owned(),
                names: named
                    .iter()
                    .map(|it| it.symbol.clone())
                    .take(SUGGESTED)
                    .collect(),
            }),
        }
    }

    /// The function that an address is in.
    pub fn function_at(&self, address: u32) -> Option<&Function> {
        let (_, function) = self.functions.range(..=address).next_back()?;
        (address - function.address < function.bytes).then_some(function)
    }

    /// All functions, by address.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values()
    }

    /// Lines of source, if the file has them.
    pub fn lines(&self) -> Option<Lines<'_>> {
        let load = |id: SectionId| -> Result<_, gimli::Error> {
            let section = self.file.section_by_name(id.name());
            // Compressed ones are left out.
            let data = section.and_then(|section| section.uncompressed_data().ok());
            let data = match data {
                Some(std::borrow::Cow::Borrowed(data)) => data,
                _ => &[],
            };
            Ok(EndianSlice::new(data, RunTimeEndian::Little))
        };
        let dwarf = Dwarf::load(load).ok()?;
        Some(Lines(addr2line::Context::from_dwarf(dwarf).ok()?))
    }
}

impl Lines<'_> {
    /// The file and the line that an address was compiled from.
    pub fn at(&self, address: u32) -> Option<(String, u32)> {
        let location = self.0.find_location(address.into()).ok()??;
        Some((location.file?.to_owned(), location.line?))
    }
}

fn architecture(file: &ElfFile32<'_, Endianness>) -> Result<Option<Architecture>, &'static str> {
    let endian = file.endian();
    let sections = file.elf_section_table();
    let mut all = sections.iter();
    let attributes = all.find(|it| it.sh_type(endian) == elf::SHT_ARM_ATTRIBUTES);
    match attributes.and_then(|it| it.attributes(endian, file.data()).ok()) {
        Some(attributes) => Architecture::of_attributes(&attributes),
        None => Ok(None),
    }
}

fn functions(file: &ElfFile32<'_, Endianness>) -> BTreeMap<u32, Function> {
    let mut functions = BTreeMap::new();
    for symbol in file.symbols() {
        let Ok(name) = symbol.name() else { continue };
        let is_label = symbol.kind() == SymbolKind::Label && symbol.is_global();
        // A symbol of assembly may have no type; `$t` and the like mark data and code.
        let is_plain = symbol.kind() == SymbolKind::Unknown && symbol.is_global();
        let is_function = symbol.kind() == SymbolKind::Text;
        if !(is_function || is_label || is_plain) || name.is_empty() || name.starts_with('$') {
            continue;
        }
        let address = symbol.address() as u32 & !1;
        let function = Function {
            symbol: name.to_owned(),
            name: format!("{:#}", rustc_demangle::demangle(name)),
            address,
            bytes: symbol.size() as u32,
        };
        let known: Option<&Function> = functions.get(&address);
        if is_function || known.is_none() {
            functions.insert(address, function);
        }
    }
    let starts: Vec<u32> = functions.keys().copied().collect();
    for (at, function) in functions.values_mut().enumerate() {
        if function.bytes == 0 {
            let next = starts.get(at + 1);
            function.bytes =
                next.map_or(u32::MAX - function.address, |next| next - function.address);
        }
    }
    functions
}
