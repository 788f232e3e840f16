//! The machine code of an image: proof that it cannot panic, uses no floating point and no
//! heap, and a bound for the stack that it needs.
//!
//! The linked image is read, not the source: from the processor's entries on, every way
//! through the code is followed, with what is known of registers and stack. A jump whose
//! place cannot be told, or an instruction that is not known, fails the audit; so the result
//! holds for what the compiler made of the firmware, kernels and the generated crate. See
//! `SOUNDNESS.md` for what is proved and what is assumed.

mod code;
mod value;
mod verdict;
mod walk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tadpool_compiler::output::OutputError;

use self::code::{Code, Function};
use self::walk::{Summary, Walk};
use super::elf::ElfError;

pub(super) use self::verdict::of_file;

/// The function of the firmware that runs an inference.
const INFERENCE: &str = "tadpool_link::run::inference";
/// The function of the firmware that sets up the board, once, before the first request.
const START_UP: &str = "tadpool_firmware::boards::init";
/// Where the processor's entries are in the table of them.
const RESET: usize = 1;
const NMI: usize = 2;
const HARD_FAULT: usize = 3;
/// Bytes that the processor saves on the stack when it takes an exception, with those that
/// align it.
const EXCEPTION_BYTES: u32 = 8 * 4 + 4;
/// The same where vectors or floats are in use: their registers, of which a secure core may
/// save all, status and predicates.
const LONG_EXCEPTION_BYTES: u32 = EXCEPTION_BYTES + 32 * 4 + 2 * 4;

/// The findings for the code of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Names of the functions that can be reached, sorted.
    pub functions: Vec<String>,
    /// Chains of calls that end in a panic or an instruction that traps, one for each
    /// function where they end.
    pub panics: Vec<String>,
    /// The same for those that only the set-up of the board can reach.
    pub start_up_panics: Vec<String>,
    /// Functions that use floating point, in hardware or software, but for those that only
    /// the set-up of the board can reach.
    pub floats: Vec<String>,
    /// Functions of the heap.
    pub heap: Vec<String>,
    /// Why code cannot be followed, or its stack has no bound. If there is anything, the
    /// rest is not all.
    pub unknown: Vec<String>,
    /// The stacks.
    pub stacks: Vec<StackBound>,
    /// Most bytes of stack of an inference, if one can be told from the rest.
    pub inference_stack_bytes: Option<u32>,
}

/// The bound of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackBound {
    /// Its name.
    pub name: String,
    /// Most bytes of what runs on it.
    pub bytes: u32,
    /// Most bytes of the exceptions that may come on top: one interrupt, NMI and HardFault.
    pub exception_bytes: u32,
    /// Bytes that it has; none if the image does not say.
    pub reserved_bytes: Option<u32>,
}

/// A promise that an image does not keep.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The verdict cannot be kept.
    #[error(transparent)]
    Write(#[from] OutputError),
    /// The image cannot be read.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// Something is reachable that must not be.
    #[error("the code of `{}` can reach {what}: {}; please report it", image.display(), names.join(", "))]
    Reachable {
        /// The image.
        image: std::path::PathBuf,
        /// The kind of the function.
        what: &'static str,
        /// Where it is.
        names: Vec<String>,
    },
    /// Code cannot be followed.
    #[error(
        "the code of `{}` cannot be followed: {}; please report it",
        image.display(),
        problems.join("; ")
    )]
    Unknown {
        /// The image.
        image: std::path::PathBuf,
        /// Where, and why.
        problems: Vec<String>,
    },
    /// The stack is too small.
    #[error(
        "the code of `{}` can need {needed} bytes of {stack}, which has {reserved}; raise \
         layout.stack_bytes in a copy of the board's file",
        image.display()
    )]
    Stack {
        /// The image.
        image: std::path::PathBuf,
        /// Name of the stack.
        stack: String,
        /// The bound.
        needed: u32,
        /// Bytes that it has.
        reserved: u32,
    },
    /// An inference takes more stack than the board's file allows.
    #[error(
        "an inference needs {needed} bytes of stack, board `{board}` allows it {allowed}; raise \
         budget.inference_stack_bytes"
    )]
    Inference {
        /// The bound.
        needed: u32,
        /// Name of the board.
        board: String,
        /// The value in the board's file.
        allowed: u32,
    },
}

/// All that can run of the image in `bytes`, from the file at `path`: what begins at the
/// processor's entries, reset, faults and interrupts.
///
/// # Errors
/// An [`ElfError`] if it is no image with a table of these.
pub fn image(path: &Path, bytes: &[u8]) -> Result<Audit, ElfError> {
    let code = Code::of(path, bytes)?;
    let entry = |number: usize| code.vectors.get(number).copied().filter(|&at| at != 0);
    let Some(reset) = entry(RESET) else {
        return Err(ElfError::new(
            path,
            "it has no section `.vector_table` to begin at; name a function to begin at",
        ));
    };
    let mut walk = Walk::new(&code);
    let main = walk.follow(reset & !1);
    let mut bytes_of = |number: usize| entry(number).map(|at| walk.follow(at & !1).stack_bytes);
    let interrupts = (HARD_FAULT + 1..code.vectors.len()).filter_map(&mut bytes_of);
    let interrupts = interrupts.max();
    let faults = [NMI, HARD_FAULT].map(&mut bytes_of);
    let frame = match walk.uses_vectors {
        true => LONG_EXCEPTION_BYTES,
        false => EXCEPTION_BYTES,
    };
    let exceptions = [interrupts].into_iter().chain(faults).flatten();
    let exception_bytes = exceptions.fold(0, |sum: u32, bytes| {
        sum.saturating_add(frame.saturating_add(bytes))
    });
    let reserved = code.stack.map(|(end, start)| start.saturating_sub(end));
    // Start-up code that sets the stack's pointer, as after a start from RAM, begins it anew.
    let begun_anew = walk
        .other_stacks
        .iter()
        .filter(|other| begins(&code, other.start));
    let begun_anew = begun_anew.map(|other| other.needed_bytes).max();
    let stack = StackBound {
        name: "the stack".to_owned(),
        bytes: main.stack_bytes.max(begun_anew.unwrap_or(0)),
        exception_bytes,
        reserved_bytes: reserved,
    };
    if code.vectors.first().copied() != code.stack.map(|(_, start)| start) {
        walk.unknown
            .insert("the stack does not begin at `_stack_start`".to_owned());
    }
    Ok(report(&code, walk, stack))
}

/// All that can be reached from the function whose symbol is `root`, or whose name in the
/// source is.
///
/// # Errors
/// An [`ElfError`] if there is no such function.
pub fn function(path: &Path, bytes: &[u8], root: &str) -> Result<Audit, ElfError> {
    let code = Code::of(path, bytes)?;
    let is_root = |function: &&Function| {
        function.symbols.iter().any(|symbol| symbol == root) || function.name() == root
    };
    let missing = || ElfError::new(path, format!("it has no function `{root}`"));
    let root = code.functions().find(is_root).ok_or_else(missing)?;
    let mut walk = Walk::new(&code);
    let Summary { stack_bytes, .. } = walk.follow(root.start);
    let stack = StackBound {
        name: "the stack".to_owned(),
        bytes: stack_bytes,
        exception_bytes: 0,
        reserved_bytes: None,
    };
    Ok(report(&code, walk, stack))
}

fn report(code: &Code<'_>, mut walk: Walk<'_>, stack: StackBound) -> Audit {
    let named = |name: &'static str| {
        move |function: &&Function| {
            // A newer mangling adds the types that it is for.
            function.name().split("::<").next() == Some(name)
        }
    };
    let start_up = code.functions().find(named(START_UP));
    let inference = code
        .functions()
        .find(|function| named(INFERENCE)(function) && walk.calls.contains_key(&function.start))
        .map(|function| walk.follow(function.start).stack_bytes);
    let stacks = std::iter::once(stack).chain(other_stacks(code, &walk));
    let all = reach(&walk, None);
    let later = reach(&walk, start_up.map(|function| function.start));
    let names = |from: &BTreeMap<u32, u32>, is: &dyn Fn(&Function) -> bool| -> Vec<String> {
        let reached = from.keys().filter_map(|&address| code.holder(address));
        let names: BTreeSet<String> = reached
            .filter(|function| is(function))
            .map(Function::name)
            .collect();
        names.into_iter().collect()
    };
    let has = |function: &Function, is: fn(&str) -> bool| {
        function.symbols.iter().any(|symbol| is(symbol))
    };
    let is_panic =
        |address: u32| walk.traps.contains(&address) || code.holder(address).is_some_and(panics);
    // A panic by way of another one says no more.
    let panics = |from: &BTreeMap<u32, u32>, is_new: &dyn Fn(u32) -> bool| -> Vec<String> {
        let reached = from.iter().filter(|&(&address, &caller)| {
            is_panic(address) && (address == caller || !is_panic(caller)) && is_new(address)
        });
        reached
            .map(|(&address, _)| chain(code, from, address))
            .collect()
    };
    Audit {
        functions: names(&all, &|_| true),
        panics: panics(&later, &|_| true),
        start_up_panics: panics(&all, &|address| !later.contains_key(&address)),
        floats: names(&later, &|function| {
            walk.floats.contains(&function.start) || has(function, is_soft_float)
        }),
        heap: names(&all, &|function| {
            has(function, |symbol| symbol.contains("__rust_alloc"))
        }),
        unknown: walk.unknown.iter().cloned().collect(),
        stacks: stacks.collect(),
        inference_stack_bytes: inference,
    }
}

/// Whether the stack that the processor starts with begins at `address`.
fn begins(code: &Code<'_>, address: u32) -> bool {
    code.stack.is_some_and(|(_, start)| start == address)
}

/// The stacks that handlers take for themselves.
fn other_stacks(code: &Code<'_>, walk: &Walk<'_>) -> Vec<StackBound> {
    let mut needed = BTreeMap::new();
    for other in walk
        .other_stacks
        .iter()
        .filter(|other| !begins(code, other.start))
    {
        let most: &mut u32 = needed.entry(other.start).or_default();
        *most = other.needed_bytes.max(*most);
    }
    let bound = |(start, bytes)| {
        let variable = code.variable_below(start);
        StackBound {
            name: variable.map_or_else(|| format!("{start:#x}"), |(_, name)| demangled(name)),
            bytes,
            exception_bytes: 0,
            reserved_bytes: Some(variable.map_or(0, |(end, _)| start - end)),
        }
    };
    needed.into_iter().map(bound).collect()
}

/// The functions that can be reached other than by `without`, each with one that calls it; a
/// root calls itself.
fn reach(walk: &Walk<'_>, without: Option<u32>) -> BTreeMap<u32, u32> {
    let mut callers: BTreeMap<u32, u32> = walk.roots.iter().map(|&root| (root, root)).collect();
    let mut queue: VecDeque<u32> = walk.roots.iter().copied().collect();
    while let Some(caller) = queue.pop_front() {
        for &callee in walk.calls.get(&caller).into_iter().flatten() {
            if Some(callee) != without && !callers.contains_key(&callee) {
                callers.insert(callee, caller);
                queue.push_back(callee);
            }
        }
    }
    callers
}

impl Audit {
    /// Fails unless the promises are kept, by the image at `path`.
    ///
    /// # Errors
    /// The [`AuditError`] of the first one that is not.
    pub fn check(&self, path: &Path) -> Result<(), AuditError> {
        let image = || path.to_owned();
        if !self.unknown.is_empty() {
            return Err(AuditError::Unknown {
                image: image(),
                problems: self.unknown.clone(),
            });
        }
        let promises = [
            ("a panic", &self.panics),
            ("floating point", &self.floats),
            ("the heap", &self.heap),
        ];
        for (what, names) in promises {
            if !names.is_empty() {
                return Err(AuditError::Reachable {
                    image: image(),
                    what,
                    names: names.clone(),
                });
            }
        }
        for stack in &self.stacks {
            let reserved = stack.reserved_bytes.unwrap_or(u32::MAX);
            if stack.needed_bytes() > reserved {
                return Err(AuditError::Stack {
                    image: image(),
                    stack: stack.name.clone(),
                    needed: stack.needed_bytes(),
                    reserved,
                });
            }
        }
        Ok(())
    }

    /// The same, and what `board`'s file allows an inference.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_on(&self, board: &tadpool_boards::Board, path: &Path) -> Result<(), AuditError> {
        self.check(path)?;
        match (
            board.budget.inference_stack_bytes,
            self.inference_stack_bytes,
        ) {
            (Some(allowed), Some(needed)) if needed > allowed => Err(AuditError::Inference {
                needed,
                board: board.name.clone(),
                allowed,
            }),
            _ => Ok(()),
        }
    }
}

impl StackBound {
    /// Most bytes that are in use at once.
    pub fn needed_bytes(&self) -> u32 {
        self.bytes.saturating_add(self.exception_bytes)
    }
}

/// The calls that lead to the function at `address`.
fn chain(code: &Code<'_>, callers: &BTreeMap<u32, u32>, mut address: u32) -> String {
    let mut chain = code.name(address);
    while let Some(&caller) = callers.get(&address).filter(|&&caller| caller != address) {
        chain = format!("{} -> {chain}", code.name(caller));
        address = caller;
    }
    chain
}

/// Whether a function is where panics go.
fn panics(function: &Function) -> bool {
    let is_panic = |symbol: &String| {
        symbol.contains("rust_begin_unwind") || demangled(symbol).starts_with("core::panicking::")
    };
    function.symbols.iter().any(is_panic)
}

fn demangled(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
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

#[cfg(test)]
mod tests;
