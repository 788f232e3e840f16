//! Sizes of an image in a board's memory, read from its ELF file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, SymbolKind, elf};

/// The section with the model's hash, which takes no memory of the board.
const MODEL_HASH: &str = ".tadpool.model_hash";
/// The section with weights and tables that are read where they lie.
pub(crate) const WEIGHTS: &str = ".weights";
/// The section with weights that are copied to RAM at start.
pub(crate) const COPIED_WEIGHTS: &str = ".copied_weights";

/// The bytes that an image takes of a board's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Vector table and machine code.
    pub code_bytes: u64,
    /// Constants that are not the model's: messages, tables.
    pub constants_bytes: u64,
    /// The model's statics: weights, biases, multipliers, tables.
    pub weights_bytes: u64,
    /// Those of them that are copied at start; in flash and again in RAM.
    pub copied_weights_bytes: u64,
    /// Initial values of variables; in flash and again in RAM.
    pub data_bytes: u64,
    /// Variables that start as zero, the arena among them.
    pub zeroed_bytes: u64,
    /// The stack, whether used or not.
    pub stack_bytes: u64,
    /// The sections that these figures are sums of, by address.
    pub sections: Vec<Section>,
}

/// A section that takes memory of the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name, such as `.text`.
    pub name: String,
    /// Where it lies when the program runs.
    pub address: u64,
    /// Its length in bytes.
    pub size: u64,
}

/// The functions of an image, by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Functions(BTreeMap<u64, (u64, String)>);

/// An image that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is no image that can be used: {problem}", path.display())]
pub struct ElfError {
    path: PathBuf,
    problem: String,
}

impl ElfError {
    /// `problem` is what is wrong with the image at `path`.
    pub fn new(path: &Path, problem: impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

impl Sizes {
    /// The bytes that must fit the flash, and the memory for weights where that is
    /// another.
    pub fn flash_bytes(&self) -> u64 {
        let parts = [
            self.code_bytes,
            self.constants_bytes,
            self.weights_bytes,
            self.data_bytes,
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// Variables and copied weights, without the stack.
    pub fn static_ram_bytes(&self) -> u64 {
        self.data_bytes
            .saturating_add(self.zeroed_bytes)
            .saturating_add(self.copied_weights_bytes)
    }

    /// The bytes that must fit the RAM.
    pub fn ram_bytes(&self) -> u64 {
        self.static_ram_bytes().saturating_add(self.stack_bytes)
    }
}

/// The sizes of the image in `bytes`, read from the file at `path`.
///
/// # Errors
/// An [`ElfError`] if it is not such an image.
pub fn sizes(path: &Path, bytes: &[u8]) -> Result<Sizes, ElfError> {
    let file = object::File::parse(bytes).map_err(|error| ElfError::new(path, error))?;
    let symbol = |name: &str| {
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
        let missing = || ElfError::new(path, format!("it has no symbol `{name}`"));
        symbol.map(|symbol| symbol.address()).ok_or_else(missing)
    };
    let stack_bytes = symbol("_stack_start")?.saturating_sub(symbol("_stack_end")?);
    let mut sizes = Sizes {
        stack_bytes,
        ..Sizes::default()
    };
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else {
            continue;
        };
        let is_allocated = sh_flags & u64::from(elf::SHF_ALLOC) != 0;
        let (name, size) = (section.name().unwrap_or_default(), section.size());
        if !is_allocated || size == 0 {
            continue;
        }
        let figure = match (name, section.kind()) {
            (WEIGHTS, _) => &mut sizes.weights_bytes,
            (COPIED_WEIGHTS, _) => &mut sizes.copied_weights_bytes,
            (_, SectionKind::UninitializedData) => &mut sizes.zeroed_bytes,
            (_, SectionKind::Text) | (".vector_table", _) => &mut sizes.code_bytes,
            (_, SectionKind::Data) => &mut sizes.data_bytes,
            _ => &mut sizes.constants_bytes,
        };
        *figure = figure.saturating_add(size);
        let name = name.to_owned();
        sizes.sections.push(Section {
            name,
            address: section.address(),
            size,
        });
    }
    sizes.weights_bytes = sizes
        .weights_bytes
        .saturating_add(sizes.copied_weights_bytes);
    sizes.sections.sort_by_key(|section| section.address);
    Ok(sizes)
}

/// Hash of the model that the image in `bytes`, from the file at `path`, holds.
///
/// # Errors
/// An [`ElfError`] if it says none.
pub fn model_hash(path: &Path, bytes: &[u8]) -> Result<u32, ElfError> {
    let file = object::File::parse(bytes).map_err(|error| ElfError::new(path, error))?;
    let missing = || ElfError::new(path, "it does not say which model it holds");
    let section = file.section_by_name(MODEL_HASH).ok_or_else(missing)?;
    let data = section.data().map_err(|error| ElfError::new(path, error))?;
    let bytes = data.try_into().map_err(|_| missing())?;
    Ok(u32::from_le_bytes(bytes))
}

impl Functions {
    /// The functions of the image in `bytes`, from the file at `path`.
    ///
    /// # Errors
    /// An [`ElfError`] if it is none.
    pub fn of(path: &Path, bytes: &[u8]) -> Result<Self, ElfError> {
        let file = object::File::parse(bytes).map_err(|error| ElfError::new(path, error))?;
        let function = |symbol: object::Symbol<'_, '_>| {
            let name = symbol.name().ok()?;
            let is_function = symbol.kind() == SymbolKind::Text && symbol.size() > 0;
            // The lowest bit of a function's address says that it is Thumb code.
            let address = symbol.address() & !1;
            let name = format!("{:#}", rustc_demangle::demangle(name));
            is_function.then_some((address, (symbol.size(), name)))
        };
        Ok(Self(file.symbols().filter_map(function).collect()))
    }

    /// Name of the function that has code at `address`.
    pub fn at(&self, address: u32) -> Option<String> {
        let address = u64::from(address);
        let (start, (size, name)) = self.0.range(..=address).next_back()?;
        (address - start < *size).then(|| name.clone())
    }
}
