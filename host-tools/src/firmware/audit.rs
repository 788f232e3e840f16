//! Proof, from the machine code, that an image cannot panic, uses neither floating point
//! nor a heap, and has a stack that is large enough.
//!
//! The linked image is audited, not the source: starting where the processor starts, and
//! at every handler of an exception or interrupt, every path through the code is
//! followed. So the result holds for what the compiler made of the firmware, the kernels
//! and the generated crate. What is assumed besides is in `SOUNDNESS.md`.

mod image;
mod state;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use image::Image;
pub use image::MalformedElf;
pub use walk::Obstacle;
use walk::{Summary, walk};

/// Parts of the names of functions that panics go to.
const PANICS: [&str; 3] = [
    "rust_begin_unwind",
    "core::panicking::",
    "core::option::unwrap_failed",
];

/// How the names of the functions begin that are an inference of the firmware's.
const INFERENCE: [&str; 2] = [
    "tadpool_firmware::run::infer_observed",
    "tadpool_firmware::mlperf::infer",
];

/// Bytes that the processor saves when a handler is entered, with what it adds to align
/// them: eight words, and 18 more if floats or vectors were used.
const SAVED_BYTES: u32 = 36;
const SAVED_BYTES_WITH_FLOATS: u32 = 108;

/// Most calls inside of each other; more than any firmware has.
const MOST_CALLS: usize = 256;

/// Most names of a chain of calls that a text has.
const MOST_NAMES: usize = 24;

/// Most instructions that are looked at in all, each as often as something new is known
/// before it. A real image needs about a hundredth.
const MOST_STEPS: usize = 10_000_000;

/// The numbers of the vectors that are not of the same priority as all others.
const RESET: usize = 1;
const NMI: usize = 2;
const HARD_FAULT: usize = 3;

/// What an image can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Names of the functions that can be reached, sorted.
    pub functions: Vec<String>,
    /// Chains of calls that end in a panic or a trap, one for each place.
    pub panics: Vec<String>,
    /// Functions that use floating point, in hardware or software.
    pub floats: Vec<String>,
    /// Functions of the heap.
    pub heap: Vec<String>,
    /// What could not be followed, and where; none in an image that is proved.
    pub obstacles: Vec<String>,
    /// Stacks of their own that are too small: what changes to them, bytes that are
    /// needed, and bytes that there are.
    pub small_stacks: Vec<(String, u32, u32)>,
    /// Most bytes of stack, or why there is no bound. Of a whole image these are the
    /// program's, and those of the handlers that can interrupt it and each other.
    pub stack_bytes: Result<u32, String>,
    /// The same for an inference alone, if the image has one.
    pub inference_stack_bytes: Option<u32>,
    /// Bytes of the stack that the image reserves; zero if it says nothing.
    pub reserved_stack_bytes: u32,
}

/// A promise that an image does not keep.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be audited.
    #[error("`{}` {source}; build it again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: MalformedElf,
    },
    /// Something can be reached that must not be.
    #[error("the image has {what}: {}", names.join(", "))]
    Reachable {
        /// What it is.
        what: &'static str,
        /// Where it is.
        names: Vec<String>,
    },
    /// The code cannot be followed.
    #[error("the image cannot be audited: {}", .0.join(", "))]
    Obstacles(Vec<String>),
    /// There is no bound for the stack.
    #[error("the stack has no bound: {0}")]
    Unbounded(String),
    /// The stack is too small.
    #[error(
        "board `{board}` reserves {reserved} bytes of stack and the image needs up to {needed}; \
         raise layout.stack_bytes"
    )]
    Stack {
        /// Name of the board.
        board: String,
        /// The bound.
        needed: u32,
        /// What the image has.
        reserved: u32,
    },
    /// A handler's own stack is too small.
    #[error("`{name}` has {reserved} bytes of stack of its own and needs up to {needed}")]
    OwnStack {
        /// The handler.
        name: String,
        /// The bound.
        needed: u32,
        /// What there is.
        reserved: u32,
    },
    /// An inference takes more of the stack than the board allows it.
    #[error(
        "an inference needs {needed} bytes of stack, board `{board}` allows it {allowed}; raise \
         budget.inference_stack_bytes"
    )]
    Inference {
        /// The bound.
        needed: u32,
        /// Name of the board.
        board: String,
        /// What the board's file says.
        allowed: u32,
    },
}

/// Audits the whole image in `bytes`, from the file at `path`: from the reset on, with all
/// handlers of its vector table.
///
/// # Errors
/// [`AuditError::Malformed`] if it is no such image.
pub fn audit(path: &Path, bytes: &[u8]) -> Result<Audit, AuditError> {
    (|| {
        let image = Image::new(bytes)?;
        let vectors = image.vectors()?;
        let roots: Vec<u32> = roots(&vectors).into_iter().collect();
        let mut auditor = Auditor::new(&image);
        let mut audit = auditor.audit(&roots);
        audit.reserved_stack_bytes = reserved(&image, &vectors);
        audit.stack_bytes = auditor.whole_stack(&vectors);
        audit.inference_stack_bytes = auditor.inference();
        Ok(audit)
    })()
    .map_err(|source| malformed(path, source))
}

/// Audits an image's inference alone, for images whose other code is not free of what an
/// audit refuses.
///
/// # Errors
/// [`AuditError::Malformed`] if it is no such image.
pub fn audit_inference(path: &Path, bytes: &[u8]) -> Result<Audit, AuditError> {
    (|| {
        let image = Image::new(bytes)?;
        let vectors = image.vectors()?;
        let is_inference = |function: &&u32| is_inference(&image.name(**function));
        let functions = image.functions.keys().filter(is_inference);
        let roots: Vec<u32> = functions.copied().collect();
        if roots.is_empty() {
            return Err(MalformedElf::Symbol(INFERENCE[0].to_owned()));
        }
        let mut audit = Auditor::new(&image).audit(&roots);
        audit.reserved_stack_bytes = reserved(&image, &vectors);
        audit.inference_stack_bytes = audit.stack_bytes.clone().ok();
        Ok(audit)
    })()
    .map_err(|source| malformed(path, source))
}

/// Audits what can be reached from the functions whose symbols are `roots`, each by
/// itself, in any image.
///
/// # Errors
/// [`AuditError::Malformed`] if it is none, or has no such function.
pub fn audit_from(path: &Path, bytes: &[u8], roots: &[&str]) -> Result<Audit, AuditError> {
    (|| {
        let image = Image::new(bytes)?;
        let find = |&root: &&str| {
            let mut functions = image.functions.iter();
            let found = functions.find(|(_, function)| function.name == root);
            let address = found.map(|(&address, _)| address);
            address.ok_or_else(|| MalformedElf::Symbol(root.to_owned()))
        };
        let roots = roots.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        Ok(Auditor::new(&image).audit(&roots))
    })()
    .map_err(|source| malformed(path, source))
}

fn malformed(path: &Path, source: MalformedElf) -> AuditError {
    AuditError::Malformed {
        path: path.to_owned(),
        source,
    }
}

/// Bytes of the stack that the processor starts with.
fn reserved(image: &Image<'_>, vectors: &[u32]) -> u32 {
    let top = vectors.first().and_then(|&top| image.stack_below(top));
    top.unwrap_or(0)
}

impl Audit {
    /// Fails unless all promises are kept, on `board` as for the stack.
    ///
    /// # Errors
    /// The [`AuditError`] of the first one that is not.
    pub fn check(&self, board: &crate::boards::Board) -> Result<(), AuditError> {
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
        if !self.obstacles.is_empty() {
            return Err(AuditError::Obstacles(self.obstacles.clone()));
        }
        let needed = self.stack_bytes.clone().map_err(AuditError::Unbounded)?;
        let reserved = self.reserved_stack_bytes;
        if needed > reserved {
            return Err(AuditError::Stack {
                board: board.name.clone(),
                needed,
                reserved,
            });
        }
        if let Some((name, needed, reserved)) = self.small_stacks.first().cloned() {
            return Err(AuditError::OwnStack {
                name,
                needed,
                reserved,
            });
        }
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

fn is_inference(name: &str) -> bool {
    INFERENCE
        .iter()
        .any(|inference| name.starts_with(inference))
}

/// The functions that the processor enters by itself.
fn roots(vectors: &[u32]) -> BTreeSet<u32> {
    let handlers = vectors.iter().skip(RESET);
    handlers
        .filter(|&&handler| handler != 0)
        .map(|handler| handler & !1)
        .collect()
}

struct Auditor<'a> {
    image: &'a Image<'a>,
    /// None while a function is being walked.
    summaries: BTreeMap<u32, Option<Summary>>,
    bounds: BTreeMap<u32, Option<Result<u32, String>>>,
    /// One that calls it, for each function that can be reached.
    callers: BTreeMap<u32, u32>,
    /// Calls inside of each other at the moment.
    depth: usize,
    steps_left: usize,
}

impl<'a> Auditor<'a> {
    fn new(image: &'a Image<'a>) -> Self {
        Self {
            image,
            summaries: BTreeMap::new(),
            bounds: BTreeMap::new(),
            callers: BTreeMap::new(),
            depth: 0,
            steps_left: MOST_STEPS,
        }
    }

    /// Walks all functions that can be reached.
    fn reach(&mut self, roots: &[u32]) {
        let mut waiting: Vec<u32> = Vec::new();
        for &root in roots {
            self.callers.entry(root).or_insert_with(|| {
                waiting.push(root);
                root
            });
        }
        while let Some(function) = waiting.pop() {
            self.summarize(function);
            for callee in self.callees(function) {
                self.callers.entry(callee).or_insert_with(|| {
                    waiting.push(callee);
                    function
                });
            }
        }
    }

    /// Walks a function, and before it those that it calls; whether it can return. What
    /// calls itself is taken to return.
    fn summarize(&mut self, function: u32) -> bool {
        if let Some(known) = self.summaries.get(&function) {
            return known.as_ref().is_none_or(|summary| summary.returns);
        }
        if self.depth == MOST_CALLS {
            return true;
        }
        self.depth += 1;
        self.summaries.insert(function, None);
        let image = self.image;
        let mut steps_left = self.steps_left;
        let summary = walk(
            image,
            function,
            &mut steps_left,
            &mut |callee, steps_left| {
                self.steps_left = *steps_left;
                let returns = self.summarize(callee);
                *steps_left = self.steps_left;
                returns
            },
        );
        self.steps_left = steps_left;
        self.depth -= 1;
        let returns = summary.returns;
        self.summaries.insert(function, Some(summary));
        returns
    }

    fn summary(&self, function: u32) -> Option<&Summary> {
        self.summaries.get(&function)?.as_ref()
    }

    fn callees(&self, function: u32) -> Vec<u32> {
        let summary = self.summary(function);
        let own = summary.iter().flat_map(|summary| summary.calls.keys());
        let other = summary.iter().filter_map(|summary| summary.other.as_ref());
        own.chain(other.flat_map(|other| other.calls.keys()))
            .copied()
            .collect()
    }

    /// What can be reached from some functions, and their stack.
    fn audit(&mut self, roots: &[u32]) -> Audit {
        self.reach(roots);
        let roots: Vec<_> = roots.iter().map(|&root| (root, 0)).collect();
        let mut functions = BTreeSet::new();
        let (mut panics, mut floats, mut heap) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut obstacles = BTreeSet::new();
        for (&address, summary) in &self.summaries {
            let Some(summary) = summary else { continue };
            let parts = summary.parts.iter().chain([&address]);
            for &part in parts {
                let name = self.image.name(part);
                let symbol = self
                    .image
                    .functions
                    .get(&part)
                    .map_or("", |function| &function.name);
                if PANICS.iter().any(|panic| name.contains(panic)) {
                    panics.insert(self.chain(address));
                }
                if is_soft_float(symbol) {
                    floats.insert(name.clone());
                }
                if symbol.contains("__rust_alloc") {
                    heap.insert(name.clone());
                }
                functions.insert(name);
            }
            if summary.has_float {
                floats.insert(self.image.name(address));
            }
            for obstacle in &summary.obstacles {
                let chain = self.chain(address);
                match obstacle {
                    Obstacle::Trap(_) => panics.insert(format!("{chain} ({obstacle})")),
                    _ => obstacles.insert(format!("{chain}: {obstacle}")),
                };
            }
        }
        let small_stacks = self.small_stacks();
        let list = |set: BTreeSet<String>| set.into_iter().collect();
        Audit {
            functions: list(functions),
            panics: list(panics),
            floats: list(floats),
            heap: list(heap),
            obstacles: list(obstacles),
            small_stacks,
            stack_bytes: self.deepest(0, &roots),
            inference_stack_bytes: None,
            reserved_stack_bytes: 0,
        }
    }

    /// The calls that lead to a function.
    fn chain(&self, mut function: u32) -> String {
        let mut chain = self.image.name(function);
        let mut seen = BTreeSet::from([function]);
        while let Some(&caller) = self
            .callers
            .get(&function)
            .filter(|&&caller| seen.insert(caller))
        {
            if seen.len() > MOST_NAMES {
                return format!("... -> {chain}");
            }
            chain = format!("{} -> {chain}", self.image.name(caller));
            function = caller;
        }
        chain
    }

    /// Most bytes of stack from a function on.
    fn bound(&mut self, function: u32) -> Result<u32, String> {
        match self.bounds.get(&function) {
            Some(Some(bound)) => return bound.clone(),
            Some(None) => return Err(format!("`{}` calls itself", self.image.name(function))),
            None => self.bounds.insert(function, None),
        };
        self.depth += 1;
        let bound = match self.depth > MOST_CALLS {
            true => Err("calls are nested too deeply".to_owned()),
            false => self.bound_of(function),
        };
        self.depth -= 1;
        self.bounds.insert(function, Some(bound.clone()));
        bound
    }

    fn bound_of(&mut self, function: u32) -> Result<u32, String> {
        let name = || format!("`{}`", self.image.name(function));
        let summary = self
            .summary(function)
            .ok_or_else(|| format!("{} calls itself", name()))?;
        let is_of_stack =
            |obstacle: &&Obstacle| !matches!(obstacle, Obstacle::Trap(_) | Obstacle::Priorities(_));
        if let Some(obstacle) = summary.obstacles.iter().find(is_of_stack) {
            return Err(format!("{}: {obstacle}", name()));
        }
        let own = summary.own_bytes;
        let calls: Vec<_> = summary
            .calls
            .iter()
            .map(|(&to, &depth)| (to, depth))
            .collect();
        self.deepest(own, &calls)
    }

    fn deepest(&mut self, own: u32, calls: &[(u32, u32)]) -> Result<u32, String> {
        let mut deepest = own;
        for &(callee, depth) in calls {
            deepest = deepest.max(depth.saturating_add(self.bound(callee)?));
        }
        Ok(deepest)
    }

    /// The program's stack, with those of all handlers that can be active with it: one of
    /// those that have the same priority, and the two that interrupt all others.
    fn whole_stack(&mut self, vectors: &[u32]) -> Result<u32, String> {
        let saved = match self
            .summaries
            .values()
            .flatten()
            .any(|summary| summary.has_vectors)
        {
            true => SAVED_BYTES_WITH_FLOATS,
            false => SAVED_BYTES,
        };
        let handler = |number: usize| vectors.get(number).map_or(0, |handler| handler & !1);
        let mut deepest = self.bound(handler(RESET))?;
        for number in [NMI, HARD_FAULT] {
            let bound = self.bound(handler(number))?;
            deepest = deepest.saturating_add(saved).saturating_add(bound);
        }
        let others: BTreeSet<u32> = roots(vectors.get(HARD_FAULT..).unwrap_or_default());
        let mut others_bound = 0;
        for other in others
            .into_iter()
            .filter(|&other| other != handler(HARD_FAULT))
        {
            others_bound = others_bound.max(self.bound(other)?.saturating_add(saved));
        }
        Ok(deepest.saturating_add(others_bound))
    }

    fn small_stacks(&mut self) -> Vec<(String, u32, u32)> {
        let others: Vec<_> = self
            .summaries
            .iter()
            .filter_map(|(&function, summary)| Some((function, summary.as_ref()?.other.clone()?)))
            .collect();
        let mut small = Vec::new();
        for (function, other) in others {
            let calls: Vec<_> = other
                .calls
                .iter()
                .map(|(&to, &depth)| (to, depth))
                .collect();
            let reserved = self.image.stack_below(other.top).unwrap_or(0);
            // Whatever has no bound is an obstacle somewhere else, or calls itself.
            let needed = self.deepest(other.own_bytes, &calls).unwrap_or(u32::MAX);
            if needed > reserved {
                small.push((self.image.name(function), needed, reserved));
            }
        }
        small
    }

    /// The bound of the inference, if there is one.
    fn inference(&mut self) -> Option<u32> {
        let of_inference = |function: &&u32| is_inference(&self.image.name(**function));
        let roots: Vec<u32> = self
            .summaries
            .keys()
            .filter(of_inference)
            .copied()
            .collect();
        let bounds = roots.into_iter().filter_map(|root| self.bound(root).ok());
        bounds.max()
    }
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
