//! Sizes of a model's images on many boards, without building each of them.
//!
//! The size of an image is the sum of its board's start-up code and of what the
//! model and the firmware take with the board's instructions and kernels. So one image for
//! each of those, and what the images of one and the same other model take of all boards,
//! give the rest:
//!
//! ```text
//! board with model = board with the other + (one of its like with model - with the other)
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use tadpool_boards::{Board, Runner};

use super::audit;
use super::elf::Sizes;
use super::{Build, FirmwareError, Interface, Limits, Model, build_limited, elf, kept};

/// The size of a model's image on a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// The sizes; without sections if they are derived.
    pub sizes: Sizes,
    /// Whether the sizes are a sum of those of other images. The linker's gaps between
    /// sections may differ by some bytes from it.
    pub is_derived: bool,
    /// The bound for the stack of the image, with exceptions; of one for the same core and
    /// kernels if the sizes are derived.
    pub needed_stack_bytes: u32,
}

/// Sizes on `boards` of images of the model that `model` gives for a board, in their order,
/// whether the boards have it or not. `done` is called for each.
///
/// # Errors
/// A [`FirmwareError`] of an image that cannot be built or read, or can do what it must not.
pub fn weigh_all<'a>(
    boards: &[Board],
    model: impl Fn(&Board) -> Model<'a> + Sync,
    done: impl Fn() + Sync,
) -> Result<Vec<Weight>, FirmwareError> {
    let mut alike: BTreeMap<_, BTreeMap<_, Vec<usize>>> = BTreeMap::new();
    for (index, board) in boards.iter().enumerate() {
        let of_target = alike.entry(board.target.clone()).or_default();
        let of_kernels: &mut Vec<usize> = of_target.entry(board.kernels.name()).or_default();
        of_kernels.push(index);
    }
    // Builds for one target take turns anyway.
    let weighed = alike.into_par_iter().map(|(_, of_target)| {
        let mut weights = Vec::new();
        for indices in of_target.into_values() {
            let alike: Vec<&Board> = indices.iter().map(|&index| &boards[index]).collect();
            weights.extend(indices.into_iter().zip(weigh_alike(&alike, &model, &done)?));
        }
        Ok(weights)
    });
    let weighed: Vec<Vec<(usize, Weight)>> = weighed.collect::<Result<_, FirmwareError>>()?;
    let mut weights: Vec<(usize, Weight)> = weighed.into_iter().flatten().collect();
    weights.sort_by_key(|(index, _)| *index);
    Ok(weights.into_iter().map(|(_, weight)| weight).collect())
}

/// The same, of boards that agree in target and kernels.
fn weigh_alike<'a>(
    boards: &[&Board],
    model: &impl Fn(&Board) -> Model<'a>,
    done: &impl Fn(),
) -> Result<Vec<Weight>, FirmwareError> {
    // One without a HAL is built in less time.
    let is_emulated = |board: &&&Board| matches!(board.runner, Runner::Qemu(_));
    let first = boards.iter().find(is_emulated).or(boards.first());
    let Some(&first) = first else {
        return Ok(Vec::new());
    };
    let of_model = |board| of(board, Some(model(board)));
    let (path, bytes) = build_limited(&of_model(first), Limits::None)?;
    let exact = elf::sizes(&path, &bytes)?;
    let stack = stack_of(&path, &bytes)?;
    let mut other = None;
    let mut weights = Vec::with_capacity(boards.len());
    for &board in boards {
        let known = match board == first {
            true => Some(exact.clone()),
            false => built(&of_model(board)),
        };
        let is_derived = known.is_none();
        let sizes = match known {
            Some(sizes) => sizes,
            None => {
                let of_first = match &other {
                    Some(sizes) => sizes,
                    None => other.insert(sizes(&of(first, None))?),
                };
                derived(&sizes(&of(board, None))?, &exact, of_first)
            }
        };
        weights.push(Weight {
            sizes,
            is_derived,
            needed_stack_bytes: stack,
        });
        done();
    }
    Ok(weights)
}

fn of<'a>(board: &'a Board, model: Option<Model<'a>>) -> Build<'a> {
    Build {
        board,
        model,
        interface: Interface::Requests,
    }
}

/// The bytes that an image takes, whether the board has them or not.
fn sizes(build: &Build<'_>) -> Result<Sizes, FirmwareError> {
    let (path, bytes) = build_limited(build, Limits::None)?;
    Ok(elf::sizes(&path, &bytes)?)
}

/// The bound for the stack of the image in `bytes`, from the file at `path`, whose code can
/// do nothing that it must not.
fn stack_of(path: &Path, bytes: &[u8]) -> Result<u32, FirmwareError> {
    let mut audit = audit::of_file(path, bytes)?;
    let stack = audit.stacks.first_mut();
    let needed = stack.map_or(0, |stack| {
        // Whether it is enough is yet to be told, of each board.
        stack.reserved_bytes = None;
        stack.needed_bytes()
    });
    audit.check(path)?;
    Ok(needed)
}

/// The same, if such an image was built before, within the board's limits or without.
fn built(build: &Build<'_>) -> Option<Sizes> {
    [Limits::None, Limits::Board]
        .into_iter()
        .find_map(|limits| {
            let (path, bytes) = kept(build, limits)?;
            let sizes = elf::sizes(&path, &bytes).ok()?;
            // Copies take what is left, and are no need.
            Some(Sizes {
                copied_weights_bytes: 0,
                ..sizes
            })
        })
}

/// Sizes of `board`, plus what `more` takes more than `less`.
fn derived(board: &Sizes, more: &Sizes, less: &Sizes) -> Sizes {
    let sum = |part: fn(&Sizes) -> u64| (part(board) + part(more)).saturating_sub(part(less));
    Sizes {
        code_bytes: sum(|sizes| sizes.code_bytes),
        constants_bytes: sum(|sizes| sizes.constants_bytes),
        weights_bytes: sum(|sizes| sizes.weights_bytes),
        // Nothing is copied where images are only weighed.
        copied_weights_bytes: 0,
        data_bytes: sum(|sizes| sizes.data_bytes),
        zeroed_bytes: sum(|sizes| sizes.zeroed_bytes),
        stack_bytes: board.stack_bytes,
        sections: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_sums() {
        let sizes = |code_bytes, zeroed_bytes, stack_bytes| Sizes {
            code_bytes,
            zeroed_bytes,
            stack_bytes,
            ..Sizes::default()
        };
        let derived = derived(&sizes(100, 50, 8), &sizes(90, 20, 16), &sizes(70, 30, 16));
        assert_eq!(derived, sizes(120, 40, 8));
    }
}
