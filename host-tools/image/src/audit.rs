//! Proof, from the machine code, that an image cannot panic, uses neither floating point
//! nor a heap, and has a stack that is large enough.
//!
//! The linked image is audited, not the source: starting where the processor starts, and
//! at every handler of an exception or interrupt, every path through the code is
//! followed. So the result holds for what the compiler made of the firmware, the kernels
//! and the generated crate. What is assumed besides is in `SOUNDNESS.md`.

mod calls;
mod image;
mod state;
mod walk;

use std::path::{Path, PathBuf};

use calls::{Auditor, INFERENCE, is_inference, roots, startup};
use image::Image;
pub use image::MalformedElf;

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
    /// Functions that were not looked into: the board's start-up, or none.
    pub assumed: Vec<String>,
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
/// handlers of its vector table. If that fails because of what the board's start-up does,
/// which some chips' crates write, all but the start-up is audited; [`Audit::assumed`] says
/// so.
///
/// # Errors
/// [`AuditError::Malformed`] if it is no such image.
pub fn audit(path: &Path, bytes: &[u8]) -> Result<Audit, AuditError> {
    (|| {
        let image = Image::new(bytes)?;
        let vectors = image.vectors()?;
        let whole = audit_but(&image, &vectors, &[]);
        if whole.is_proved() {
            return Ok(whole);
        }
        let rest = audit_but(&image, &vectors, &startup(&image));
        Ok(if rest.is_proved() { rest } else { whole })
    })()
    .map_err(|source| malformed(path, source))
}

/// Audits all but some functions.
fn audit_but(image: &Image<'_>, vectors: &[u32], assumed: &[u32]) -> Audit {
    let roots: Vec<u32> = roots(vectors).into_iter().collect();
    let mut auditor = Auditor::new(image, assumed);
    let mut audit = auditor.audit(&roots);
    audit.reserved_stack_bytes = reserved(image, vectors);
    audit.stack_bytes = auditor.whole_stack(vectors);
    audit.inference_stack_bytes = auditor.inference();
    audit
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
        let mut audit = Auditor::new(&image, &[]).audit(&roots);
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
        Ok(Auditor::new(&image, &[]).audit(&roots))
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
    /// Whether nothing was found that an image must not have. Whether its stack is large
    /// enough is another question.
    fn is_proved(&self) -> bool {
        let lists = [&self.panics, &self.floats, &self.heap, &self.obstacles];
        lists.into_iter().all(Vec::is_empty) && self.stack_bytes.is_ok()
    }

    /// Fails unless all promises are kept, on `board` as for the stack.
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

#[cfg(test)]
mod tests;
