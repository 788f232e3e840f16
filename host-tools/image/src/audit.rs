//! The code that an inference can reach: proof that it cannot panic, uses no floating
//! point and no heap, and a bound for the stack that it needs.
//!
//! The linked image is looked through, not the source: starting at one
//! function, every call in the machine code is followed. So the result holds
//! for what the compiler made of the kernels and the generated crate, with the
//! flags of the firmware.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

use super::elf::ElfError;
use super::thumb::{self, Effect};
use super::{Build, FirmwareError, build_program};

/// The program that holds nothing but an inference.
const PROGRAM: &str = "inference-only";
/// Where the inference begins in it.
const ROOT: &str = "tadpool_inference";

/// How the functions of the kernels' assembly begin. What they go to by its
/// address lies within them, which compiled code does not promise.
const OWN_ASSEMBLY: &str = "tadpool_dsp_";

/// Most calls within one another that are followed.
const MAX_DEPTH: usize = 1000;

/// The code that can be reached from a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Names of the functions, sorted.
    pub functions: Vec<String>,
    /// Chains of calls that end in a panic, one for each function that panics.
    pub panics: Vec<String>,
    /// Functions that use floating point, in hardware or software.
    pub floats: Vec<String>,
    /// Functions of the heap.
    pub heap: Vec<String>,
    /// Most bytes of stack, without those of an interrupt; or why there is no
    /// bound.
    pub stack_bytes: Result<u32, String>,
}

/// A promise that an image does not keep.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The image cannot be built.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The image cannot be read.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// Something is reachable that must not be.
    #[error("the inference path has {what}: {}", names.join(", "))]
    Reachable {
        /// The kind of the function.
        what: &'static str,
        /// Where it is.
        names: Vec<String>,
    },
    /// There is no bound for the stack.
    #[error("the stack of the inference path has no bound: {0}")]
    Unbounded(String),
    /// The stack is too small.
    #[error(
        "an inference needs {needed} bytes of stack, board `{board}` allows it {allowed}; raise \
         budget.inference_stack_bytes"
    )]
    Stack {
        /// The bound.
        needed: u32,
        /// Name of the board.
        board: String,
        /// The value in the board's file.
        allowed: u32,
    },
}

/// The properties that decide the machine code of a model's inference: boards that agree in them
/// need one audit.
pub fn code(board: &tadpool_boards::Board) -> (String, &'static str) {
    (board.target.clone(), board.kernels.name())
}

/// Builds the inference alone for a board and looks through it.
///
/// # Errors
/// An [`AuditError`] if it cannot be built or read.
pub fn inference(build: &Build<'_>) -> Result<Audit, AuditError> {
    let (path, bytes) = build_program(build, PROGRAM)?;
    Ok(audit(&path, &bytes, ROOT)?)
}

/// Everything that can be reached from the function whose symbol is `root`, in
/// the image in `bytes`, from the file at `path`.
///
/// # Errors
/// An [`ElfError`] if it is not such an image.
pub fn audit(path: &Path, bytes: &[u8], root: &str) -> Result<Audit, ElfError> {
    let functions = functions(path, bytes)?;
    let find =
        |(address, function): (&u64, &Function)| (function.symbol == root).then_some(*address);
    let root = functions
        .iter()
        .find_map(find)
        .ok_or_else(|| ElfError::new(path, format!("it has no function `{root}`")))?;
    let callers = reach(&functions, root);
    let reached = || callers.keys().filter_map(|address| functions.get(address));
    let names = |is: fn(&Function) -> bool| -> Vec<String> {
        reached()
            .filter(|function| is(function))
            .map(|function| function.name.clone())
            .collect()
    };
    let panics = callers
        .keys()
        .filter(|address| functions.get(address).is_some_and(panics));
    let mut audit = Audit {
        functions: names(|_| true),
        panics: panics
            .map(|&address| chain(&functions, &callers, address))
            .collect(),
        floats: names(|function| function.has_float || is_soft_float(&function.symbol)),
        heap: names(|function| function.symbol.contains("__rust_alloc")),
        stack_bytes: stack_bytes(&functions, root, 0, &mut BTreeMap::new()),
    };
    audit.functions.sort();
    Ok(audit)
}

impl Audit {
    /// Fails unless the promises are kept, on `board` as for the stack.
    ///
    /// # Errors
    /// The [`AuditError`] of the first one that is not.
    pub fn check(&self, board: &tadpool_boards::Board) -> Result<(), AuditError> {
        let promises = [
            ("panics", &self.panics),
            ("floating point", &self.floats),
            ("the heap", &self.heap),
        ];
        for (what, names) in promises {
            if !names.is_empty() {
                return Err(AuditError::Reachable {
                    what,
                    names: names.clone(),
                });
            }
        }
        let needed = self.stack_bytes.clone().map_err(AuditError::Unbounded)?;
        match board.budget.inference_stack_bytes {
            Some(allowed) if needed > allowed => Err(AuditError::Stack {
                needed,
                board: board.name.clone(),
                allowed,
            }),
            _ => Ok(()),
        }
    }
}

/// A function of the image.
#[derive(Debug, Default)]
struct Function {
    symbol: String,
    /// The symbol as it reads in the source.
    name: String,
    /// Addresses of the functions that it calls or goes to.
    calls: BTreeSet<u64>,
    /// Most bytes of its own on the stack.
    frame_bytes: u32,
    has_indirect_calls: bool,
    has_unknown_frame: bool,
    has_float: bool,
}

/// The functions of the image, by address.
fn functions(path: &Path, bytes: &[u8]) -> Result<BTreeMap<u64, Function>, ElfError> {
    let file = object::File::parse(bytes).map_err(|error| ElfError::new(path, error))?;
    let mut functions = BTreeMap::new();
    let mut ends = BTreeMap::new();
    for section in file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
    {
        let code = section.data().map_err(|error| ElfError::new(path, error))?;
        let first = section.address();
        let end = first
            .checked_add(code.len() as u64)
            .ok_or_else(|| ElfError::new(path, "a section lies beyond all addresses"))?;
        // `$t` and `$d` tell where instructions and data begin.
        let mut marks = BTreeMap::new();
        let mut spans = BTreeMap::new();
        for symbol in file
            .symbols()
            .filter(|s| s.section_index() == Some(section.index()))
        {
            let name = symbol.name().unwrap_or_default();
            if name.starts_with("$t") || name.starts_with("$d") {
                marks.insert(symbol.address(), name.starts_with("$t"));
            } else if symbol.kind() == SymbolKind::Text {
                spans.insert(symbol.address() & !1, (symbol.size(), name));
            }
        }
        for (&start, &(size, symbol)) in &spans {
            // Assembly may leave the size out: up to the next function.
            let next = spans
                .range((Bound::Excluded(start), Bound::Unbounded))
                .next()
                .map_or(end, |(&next, _)| next.min(end));
            let outside = || ElfError::new(path, format!("`{symbol}` lies outside its section"));
            let size = match size {
                0 => next.checked_sub(start).ok_or_else(outside)?,
                size => size,
            };
            let place = start
                .checked_sub(first)
                .and_then(|place| usize::try_from(place).ok());
            let body = place
                .and_then(|place| code.get(place..))
                .and_then(|code| code.get(..usize::try_from(size).ok()?))
                .ok_or_else(outside)?;
            functions.insert(start, function(symbol, start, body, &marks));
            ends.insert(start, start + size);
        }
    }
    // A jump into the midst of a function counts as one to its start.
    let holder = |address: u64| {
        let (&start, &end) = ends.range(..=address).next_back()?;
        (address < end).then_some(start)
    };
    for function in functions.values_mut() {
        let calls = std::mem::take(&mut function.calls);
        function.calls = calls
            .into_iter()
            .map(|to| holder(to).unwrap_or(to))
            .collect();
    }
    Ok(functions)
}

fn function(symbol: &str, start: u64, code: &[u8], marks: &BTreeMap<u64, bool>) -> Function {
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    let mut function = Function {
        symbol: symbol.to_owned(),
        name,
        ..Function::default()
    };
    let halfword = |at: u64| {
        let bytes = code.get(at as usize..)?.first_chunk()?;
        Some(u16::from_le_bytes(*bytes))
    };
    let end = start + code.len() as u64;
    let mut address = start;
    while let Some(first) = halfword(address - start) {
        let is_code = marks
            .range(..=address)
            .next_back()
            .is_none_or(|(_, is_code)| *is_code);
        if !is_code {
            address += 2;
            continue;
        }
        let second = halfword(address + 2 - start).unwrap_or(0);
        let (effect, length) = thumb::decode(address, first, second);
        match effect {
            Effect::None => {}
            // Armv6-M has no other branch that reaches as far: compilers use it
            // to jump where the return address is saved.
            Effect::Call(target) if (start + 1..end).contains(&target) => {}
            Effect::Call(target) => drop(function.calls.insert(target)),
            Effect::Jump(target) if (start..end).contains(&target) => {}
            Effect::Jump(target) => drop(function.calls.insert(target)),
            Effect::IndirectJump if symbol.starts_with(OWN_ASSEMBLY) => {}
            Effect::IndirectCall | Effect::IndirectJump => function.has_indirect_calls = true,
            // Each branch may push; their sum is never less than what one does.
            Effect::Push(bytes) => {
                function.frame_bytes = function.frame_bytes.saturating_add(bytes);
            }
            Effect::UnknownPush => function.has_unknown_frame = true,
            Effect::Float => function.has_float = true,
        }
        address += length;
    }
    function
}

/// Every function that can be reached from `root`, with one that calls it.
fn reach(functions: &BTreeMap<u64, Function>, root: u64) -> BTreeMap<u64, u64> {
    let mut callers = BTreeMap::from([(root, root)]);
    let mut queue = VecDeque::from([root]);
    while let Some(address) = queue.pop_front() {
        for &callee in functions
            .get(&address)
            .iter()
            .flat_map(|function| &function.calls)
        {
            callers.entry(callee).or_insert_with(|| {
                queue.push_back(callee);
                address
            });
        }
    }
    callers
}

/// The calls that lead to the function at `address`.
fn chain(
    functions: &BTreeMap<u64, Function>,
    callers: &BTreeMap<u64, u64>,
    mut address: u64,
) -> String {
    let name = |address| {
        functions
            .get(&address)
            .map_or("?", |function| function.name.as_str())
    };
    let mut chain = name(address).to_owned();
    while let Some(&caller) = callers.get(&address).filter(|&&caller| caller != address) {
        chain = format!("{} -> {chain}", name(caller));
        address = caller;
    }
    chain
}

/// Whether a function is where panics go.
fn panics(function: &Function) -> bool {
    function.symbol.contains("rust_begin_unwind") || function.name.starts_with("core::panicking::")
}

/// Whether a symbol is one of the run-time library's for floating point: those
/// of Arm's run-time ABI, and those of LLVM's library.
fn is_soft_float(symbol: &str) -> bool {
    let of_arm = [
        "__aeabi_f",
        "__aeabi_d",
        "__aeabi_cf",
        "__aeabi_cd",
        "__aeabi_h2f",
    ];
    let to_float = ["__aeabi_i2f", "__aeabi_ui2f", "__aeabi_l2f", "__aeabi_ul2f"];
    let to_double = ["__aeabi_i2d", "__aeabi_ui2d", "__aeabi_l2d", "__aeabi_ul2d"];
    let of_llvm = [
        "sf2", "df2", "sf3", "df3", "sfsi", "sfdi", "dfsi", "dfdi", "sisf", "disf", "sidf", "didf",
    ];
    of_arm
        .iter()
        .chain(&to_float)
        .chain(&to_double)
        .any(|start| symbol.starts_with(start))
        && !symbol.starts_with("__aeabi_div0")
        || symbol.starts_with("__") && of_llvm.iter().any(|end| symbol.ends_with(end))
}

/// Most bytes of stack from `address` on, or why there is no bound. `known` has
/// the results so far, none for the `depth` functions that are being looked at.
fn stack_bytes(
    functions: &BTreeMap<u64, Function>,
    address: u64,
    depth: usize,
    known: &mut BTreeMap<u64, Option<u32>>,
) -> Result<u32, String> {
    let function = functions
        .get(&address)
        .ok_or_else(|| format!("there is no function at the called address {address:#x}"))?;
    let name = &function.name;
    match known.get(&address) {
        Some(Some(bytes)) => return Ok(*bytes),
        Some(None) => return Err(format!("`{name}` calls itself")),
        None => known.insert(address, None),
    };
    if function.has_indirect_calls {
        return Err(format!("`{name}` calls a function by its address"));
    }
    if function.has_unknown_frame {
        return Err(format!("`{name}` moves the stack pointer by a variable"));
    }
    if depth == MAX_DEPTH {
        return Err(format!("calls down to `{name}` are nested too deeply"));
    }
    let mut deepest = 0;
    for &callee in &function.calls {
        deepest = deepest.max(stack_bytes(functions, callee, depth + 1, known)?);
    }
    let bytes = function.frame_bytes.saturating_add(deepest);
    known.insert(address, Some(bytes));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `nop`, then a branch with link to itself or, as the second instruction at
    /// 0x102, to the start.
    fn calls_of(offset_bytes: i16) -> BTreeSet<u64> {
        let low = 0xf800 | (offset_bytes / 2) as u16 & 0x7ff;
        let code = [0xbf00, 0xf7ff, low].map(u16::to_le_bytes).concat();
        function("f", 0x100, &code, &BTreeMap::new()).calls
    }

    #[test]
    fn a_far_jump_is_no_call_of_oneself() {
        assert_eq!(calls_of(-4), BTreeSet::new(), "0x102");
        assert_eq!(calls_of(-6), BTreeSet::from([0x100]));
        assert_eq!(calls_of(-8), BTreeSet::from([0xfe]));
    }
}
