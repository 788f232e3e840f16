//! Which functions can be reached, what is wrong with them, and how deep the stack gets.

use std::collections::{BTreeMap, BTreeSet};

use super::Audit;
use super::image::Image;
use super::walk::{Obstacle, Summary, walk};

/// Parts of the names of functions that panics go to.
const PANICS: [&str; 3] = [
    "rust_begin_unwind",
    "core::panicking::",
    "core::option::unwrap_failed",
];

/// How the names of the functions begin that are an inference of the firmware's.
pub(super) const INFERENCE: [&str; 2] = [
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

/// The start-up of a board.
const STARTUP: &str = "tadpool_firmware::boards::init";

/// Where the start-up of the board is, if it is a function of its own.
pub(super) fn startup(image: &Image<'_>) -> Vec<u32> {
    let functions = image.functions.keys().copied();
    functions
        .filter(|&function| image.name(function).starts_with(STARTUP))
        .collect()
}

pub(super) fn is_inference(name: &str) -> bool {
    INFERENCE
        .iter()
        .any(|inference| name.starts_with(inference))
}

/// The functions that the processor enters by itself.
pub(super) fn roots(vectors: &[u32]) -> BTreeSet<u32> {
    let handlers = vectors.iter().skip(RESET);
    handlers
        .filter(|&&handler| handler != 0)
        .map(|handler| handler & !1)
        .collect()
}

pub(super) struct Auditor<'a> {
    image: &'a Image<'a>,
    /// None while a function is being walked.
    summaries: BTreeMap<u32, Option<Summary>>,
    bounds: BTreeMap<u32, Option<Result<u32, String>>>,
    /// One that calls it, for each function that can be reached.
    callers: BTreeMap<u32, u32>,
    /// Calls inside of each other at the moment.
    depth: usize,
    steps_left: usize,
    /// Functions that are not looked into.
    assumed: &'a [u32],
}

impl<'a> Auditor<'a> {
    pub(super) fn new(image: &'a Image<'a>, assumed: &'a [u32]) -> Self {
        Self {
            image,
            summaries: BTreeMap::new(),
            bounds: BTreeMap::new(),
            callers: BTreeMap::new(),
            depth: 0,
            steps_left: MOST_STEPS,
            assumed,
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
        if self.assumed.contains(&function) {
            let summary = Summary {
                returns: true,
                ..Summary::default()
            };
            self.summaries.insert(function, Some(summary));
            return true;
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
    pub(super) fn audit(&mut self, roots: &[u32]) -> Audit {
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
            assumed: self
                .assumed
                .iter()
                .map(|&function| self.image.name(function))
                .collect(),
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
    pub(super) fn whole_stack(&mut self, vectors: &[u32]) -> Result<u32, String> {
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
    pub(super) fn inference(&mut self) -> Option<u32> {
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
