//! Every path through a function: what it calls, how deep its stack gets, and what
//! cannot be followed.

use std::collections::{BTreeMap, BTreeSet};

use tadpool_cycles::decode::{
    Class, Code, Flow, Instruction, Moved, Registers, Special, Stack, decode_under,
};

use super::image::Image;
use super::state::{Distances, State, Value};

/// How the functions of the kernels' assembly begin. Their computed jumps stay within
/// them, which compiled code does not promise.
const OWN_ASSEMBLY: &str = "tadpool_";

/// Registers that set the priorities of exceptions and interrupts, by address: while all
/// are equal, handlers do not interrupt each other.
const PRIORITIES: [std::ops::Range<u32>; 2] = [0xe000_e400..0xe000_e7f0, 0xe000_ed18..0xe000_ed24];

/// Why a function cannot be proved to be what it should.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum Obstacle {
    /// An instruction that the decoder does not know.
    #[error("the code {code} at {address:#x} is no known instruction")]
    Unknown {
        /// Its address.
        address: u32,
        /// Its halfwords.
        code: String,
    },
    /// There is no code where a jump or what comes before goes.
    #[error("what goes on at {0:#x} is no code")]
    NoCode(u32),
    /// A jump or call to an address that is not known.
    #[error("the jump at {0:#x} goes to a computed address")]
    Computed(u32),
    /// A return to somewhere else than the caller, or with the stack not as it was.
    #[error("the return at {0:#x} is not to the caller with its stack as it was")]
    Return(u32),
    /// A register that the caller still needs is not given back.
    #[error("r{register} is not as it was when the function returns at {address:#x}")]
    Register {
        /// The register's number.
        register: u8,
        /// Where the function returns.
        address: u32,
    },
    /// The stack pointer is set to something that is not known.
    #[error("the stack pointer is set to a computed value at {0:#x}")]
    StackPointer(u32),
    /// Paths meet with stacks of different depths, as where a loop pushes.
    #[error("paths with stacks of different depths meet at {0:#x}")]
    Unbalanced(u32),
    /// Priorities of interrupts are changed.
    #[error("the priorities of interrupts are written at {0:#x}")]
    Priorities(u32),
    /// An instruction that stops the processor with a fault.
    #[error("a trap can be reached at {0:#x}")]
    Trap(u32),
    /// The image has more instructions than any firmware.
    #[error("there are too many instructions")]
    TooLong,
}

/// What a function does.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary {
    /// Most bytes on the stack by itself.
    pub(super) own_bytes: u32,
    /// What it calls: most bytes on the stack then.
    pub(super) calls: BTreeMap<u32, u32>,
    /// Another stack that it changes to: most bytes there by itself, and what it calls.
    pub(super) other: Option<OtherStack>,
    /// Whether it can return.
    pub(super) returns: bool,
    pub(super) has_float: bool,
    /// Whether the processor may have to save vectors or floats.
    pub(super) has_vectors: bool,
    pub(super) obstacles: BTreeSet<Obstacle>,
    /// Starts of the functions whose code it has or jumps to.
    pub(super) parts: BTreeSet<u32>,
}

/// A stack of a function's own.
#[derive(Debug, Clone, Default)]
pub(super) struct OtherStack {
    pub(super) top: u32,
    pub(super) own_bytes: u32,
    pub(super) calls: BTreeMap<u32, u32>,
}

/// Tells of a called function whether it returns, and takes steps for it.
type Returns<'a> = dyn FnMut(u32, &mut usize) -> bool + 'a;

/// Walks the function at `entry` in at most so many steps.
pub(super) fn walk(
    image: &Image<'_>,
    entry: u32,
    steps_left: &mut usize,
    returns: &mut Returns<'_>,
) -> Summary {
    let mut walk = Walk {
        image,
        steps_left,
        returns,
        states: BTreeMap::from([(entry, State::entry())]),
        waiting: BTreeSet::from([entry]),
        summary: Summary::default(),
    };
    while let Some(address) = walk.waiting.pop_first() {
        let Some(rest) = walk.steps_left.checked_sub(1) else {
            walk.summary.obstacles.insert(Obstacle::TooLong);
            break;
        };
        *walk.steps_left = rest;
        walk.step(address);
    }
    walk.summary
}

struct Walk<'a, 'b> {
    image: &'a Image<'a>,
    steps_left: &'a mut usize,
    returns: &'a mut Returns<'b>,
    /// What is known before the instruction at an address.
    states: BTreeMap<u32, State>,
    waiting: BTreeSet<u32>,
    summary: Summary,
}

impl Walk<'_, '_> {
    fn step(&mut self, address: u32) {
        let Some(mut state) = self.states.get(&address).cloned() else {
            return;
        };
        if let Some((start, _)) = self.image.function_at(address) {
            self.summary.parts.insert(start);
        }
        let Some(code) = code(self.image, address) else {
            self.obstacle(Obstacle::NoCode(address));
            return;
        };
        let is_conditional = state.conditions > 0;
        let Ok(instruction) = decode_under(code, is_conditional) else {
            let code = code.to_string();
            self.obstacle(Obstacle::Unknown { address, code });
            return;
        };
        state.conditions = state
            .conditions
            .saturating_sub(1)
            .max(instruction.conditions);
        self.note(address, &instruction, &state);
        let before = state.clone();
        let target = state.execute(self.image, address, &instruction);
        if let Some(top) = stack_change(&instruction, &before) {
            match top {
                Value::Number(top) if before.sp() == Some(0) && before.other_stack.is_none() => {
                    state.change_stack(top);
                }
                _ => {
                    self.obstacle(Obstacle::StackPointer(address));
                    return;
                }
            }
        }
        if !self.measure(&state) {
            self.obstacle(Obstacle::StackPointer(address));
            return;
        }
        let next = address + code.bytes();
        // Under a condition whatever follows may come next, as before.
        if is_conditional && instruction.flow != Flow::Next {
            let mut skipped = before;
            skipped.conditions = state.conditions;
            self.go(next, skipped);
        }
        self.leave(address, next, &instruction, state, target);
    }

    /// Goes on where the instruction at `address` leads.
    fn leave(
        &mut self,
        address: u32,
        next: u32,
        instruction: &Instruction,
        mut state: State,
        target: Value,
    ) {
        let at = |offset: i32| (address + 4).wrapping_add_signed(offset);
        match instruction.flow {
            Flow::Next => self.go(next, state),
            Flow::Jump {
                offset,
                is_conditional,
            } => {
                if is_conditional && !instruction.is_conditional {
                    self.go(next, state.clone());
                }
                self.go(at(offset), state);
            }
            Flow::Loop { offset } => {
                self.go(next, state.clone());
                self.go(at(offset), state);
            }
            Flow::Call { offset } => self.call(at(offset), next, state),
            Flow::ComputedCall => match state.get(register(instruction)) {
                Value::Number(to) => self.call(to & !1, next, state),
                _ => self.obstacle(Obstacle::Computed(address)),
            },
            Flow::Stop => self.obstacle(Obstacle::Trap(address)),
            Flow::Table { entry_bytes } => self.table(address, entry_bytes, &state),
            Flow::Return | Flow::Computed => {
                let to = match instruction.class {
                    Class::Branch => state.get(register(instruction)),
                    _ => target,
                };
                match to {
                    Value::Entry(14) => self.leave_function(address, &state),
                    Value::Number(to) => {
                        state.conditions = 0;
                        self.go(to & !1, state);
                    }
                    Value::OfTable(table) => self.table_of_addresses(address, table, &state),
                    Value::Behind(table) => self.table_of_jumps(address, table, &state),
                    Value::BehindDistance(from, distances) => {
                        self.table_of_distances(address, from, distances, &state);
                    }
                    _ => self.computed(address, instruction, &state),
                }
            }
        }
    }

    fn leave_function(&mut self, address: u32, state: &State) {
        self.summary.returns = true;
        if state.sp() != Some(0) || state.other_stack.is_some() {
            self.obstacle(Obstacle::Return(address));
        } else if let Some(register) = state.lost_register() {
            self.obstacle(Obstacle::Register { register, address });
        }
    }

    fn call(&mut self, to: u32, next: u32, mut state: State) {
        // Within a function this is a jump that reaches farther than others; so is one to
        // assembly that works in its caller's frame and registers.
        if let Some((start, symbol)) = self.image.function_at(to) {
            let is_part = is_shared_part(&symbol.name);
            if is_part {
                state.call_part(next | 1);
            }
            if is_part || start != to {
                self.go(to, state);
                return;
            }
        }
        let depth = depth(&state);
        let calls = match &mut self.summary.other {
            Some(other) if state.other_stack.is_some() => &mut other.calls,
            _ => &mut self.summary.calls,
        };
        let deepest = calls.entry(to).or_insert(depth);
        *deepest = depth.max(*deepest);
        if (self.returns)(to, self.steps_left) {
            state.call();
            self.go(next, state);
        }
    }

    /// TBB and TBH, whose table follows.
    fn table(&mut self, address: u32, entry_bytes: u8, state: &State) {
        let data = self.image.data_from(address + 4);
        let entries: Vec<u32> = match entry_bytes {
            1 => data.iter().map(|&entry| entry.into()).collect(),
            _ => {
                let (entries, _) = data.as_chunks();
                entries
                    .iter()
                    .map(|entry| u16::from_le_bytes(*entry).into())
                    .collect()
            }
        };
        let end = address + 4 + data.len() as u32;
        let mut has_target = false;
        for (number, entry) in entries.iter().enumerate() {
            let to = address + 4 + 2 * entry;
            // A byte that fills the last halfword is no entry.
            let is_filling = entry_bytes == 1 && number + 1 == data.len() && *entry == 0;
            if to >= end && self.is_same_function(address, to) {
                has_target = true;
                self.go(to, state.clone());
            } else if !is_filling {
                self.obstacle(Obstacle::Computed(address));
                return;
            }
        }
        if !has_target {
            self.obstacle(Obstacle::Computed(address));
        }
    }

    /// A jump to an address from a table between the code.
    fn table_of_addresses(&mut self, address: u32, table: u32, state: &State) {
        let (words, _) = self.image.data_from(table).as_chunks();
        let targets = words.iter().map(|word| u32::from_le_bytes(*word));
        let targets: Vec<u32> = targets
            .take_while(|to| to & 1 == 1 && self.is_same_function(address, to & !1))
            .collect();
        if targets.is_empty() {
            self.obstacle(Obstacle::Computed(address));
        }
        for to in targets {
            self.go(to & !1, state.clone());
        }
    }

    /// A jump by twice a distance from a table, from an address on. The table ends at the
    /// latest where a distance does not lead to the function's code.
    fn table_of_distances(&mut self, address: u32, from: u32, of: Distances, state: &State) {
        let data = self.image.data_from(of.table);
        let entries = data
            .chunks_exact(of.bytes.into())
            .map(|entry| match *entry {
                [low, high] => u16::from_le_bytes([low, high]).into(),
                _ => entry.first().map_or(0, |&byte| u32::from(byte)),
            });
        let targets = entries.map(|entry| from.wrapping_add(2 * entry));
        let targets: Vec<u32> = targets
            .take_while(|&to| self.is_same_function(address, to))
            .collect();
        if targets.is_empty() {
            self.obstacle(Obstacle::Computed(address));
        }
        for to in targets {
            self.go(to, state.clone());
        }
    }

    /// A jump into a row of jumps, all of four bytes.
    fn table_of_jumps(&mut self, address: u32, table: u32, state: &State) {
        let table = table & !1;
        let jump = |at: u32| {
            let code = code(self.image, at).filter(|code| code.bytes() == 4)?;
            let jump = decode_under(code, false).ok()?;
            matches!(
                jump.flow,
                Flow::Jump {
                    is_conditional: false,
                    ..
                }
            )
            .then_some(at)
        };
        let jumps: Vec<u32> = (table..).step_by(4).map_while(jump).collect();
        if jumps.is_empty() || !self.is_same_function(address, table) {
            self.obstacle(Obstacle::Computed(address));
            return;
        }
        for to in jumps {
            self.go(to, state.clone());
        }
    }

    fn is_same_function(&self, address: u32, to: u32) -> bool {
        let start = |address| self.image.function_at(address).map(|(start, _)| start);
        self.image.is_code(to) && start(address) == start(to)
    }

    /// A jump to an address that is not known. The kernels' assembly may have some: they
    /// go to where another part of it begins, or to what follows one of them up to the
    /// next instruction that moves the stack pointer.
    fn computed(&mut self, address: u32, instruction: &Instruction, state: &State) {
        let targets = own_targets(self.image, address);
        if targets.is_empty() || instruction.flow == Flow::Return {
            let of = match instruction.flow {
                Flow::Return => Obstacle::Return(address),
                _ => Obstacle::Computed(address),
            };
            self.obstacle(of);
            return;
        }
        let mut state = state.clone();
        state.forget_but_stack();
        for to in targets {
            self.go(to, state.clone());
        }
    }

    fn go(&mut self, address: u32, state: State) {
        match self.states.get_mut(&address) {
            None => {
                self.states.insert(address, state);
                self.waiting.insert(address);
            }
            Some(known) => match known.join(&state) {
                Ok(true) => {
                    self.waiting.insert(address);
                }
                Ok(false) => {}
                Err(_) => self.obstacle(Obstacle::Unbalanced(address)),
            },
        }
    }

    /// Notes what an instruction uses, apart from where it goes.
    fn note(&mut self, address: u32, instruction: &Instruction, state: &State) {
        let all = instruction.reads() | instruction.writes();
        let vectors = all.vectors() | Registers::VPR | Registers::STATUS;
        self.summary.has_float |= instruction.float.is_some();
        self.summary.has_vectors |= all.meets(vectors);
        if let Some(memory) = instruction.memory.filter(|memory| !memory.is_load)
            && let Some(base) = memory.base
            && let Value::Number(base) = state.get(base)
        {
            let to = base.wrapping_add_signed(memory.offset.unwrap_or(0));
            // Zero is what they are after the reset.
            let is_zero = match memory.moved {
                Moved::One(Some(register)) => state.get(register) == Value::Number(0),
                _ => false,
            };
            if PRIORITIES.iter().any(|range| range.contains(&to)) && !is_zero {
                self.obstacle(Obstacle::Priorities(address));
            }
        }
    }

    /// Notes how deep the stack is; false if nobody knows.
    fn measure(&mut self, state: &State) -> bool {
        if state.sp().is_none_or(|place| place > 0) {
            return false;
        }
        let bytes = depth(state);
        let deepest = match state.other_stack {
            None => &mut self.summary.own_bytes,
            Some(top) => {
                let other = self.summary.other.get_or_insert_default();
                other.top = top;
                &mut other.own_bytes
            }
        };
        *deepest = bytes.max(*deepest);
        true
    }

    fn obstacle(&mut self, obstacle: Obstacle) {
        self.summary.obstacles.insert(obstacle);
    }
}

/// Bytes on the stack.
fn depth(state: &State) -> u32 {
    state.sp().map_or(0, |place| place.min(0).unsigned_abs())
}

/// The one register with an address that a branch goes to.
fn register(instruction: &Instruction) -> u8 {
    instruction.address.numbers().next().unwrap_or(15) as u8
}

/// What a stack pointer is set to by another name.
fn stack_change(instruction: &Instruction, before: &State) -> Option<Value> {
    let is_change = instruction.special == Some(Special::Stack);
    is_change.then(|| {
        let source = instruction.operands.numbers().next();
        source.map_or(Value::Any, |number| before.get(number as u8))
    })
}

fn code(image: &Image<'_>, address: u32) -> Option<Code> {
    let first = image.halfword(address)?;
    Code::of(first, image.halfword(address.checked_add(2)?))
}

/// Whether a function is assembly of the kernels that fills its caller's frame and
/// registers, and so is a part of each of its callers.
fn is_shared_part(name: &str) -> bool {
    name.starts_with(OWN_ASSEMBLY) && name.ends_with("_begin")
}

/// Where computed jumps of the assembly at an address may go; nowhere if it is no
/// assembly of the kernels.
fn own_targets(image: &Image<'_>, address: u32) -> Vec<u32> {
    let Some((start, function)) = image.function_at(address) else {
        return Vec::new();
    };
    let is_own = |name: &str| name.starts_with(OWN_ASSEMBLY);
    if !is_own(&function.name) {
        return Vec::new();
    }
    // Parts that are entered by their addresses have no size of their own.
    let parts = image
        .functions
        .iter()
        .filter(|(_, part)| part.size == 0 && is_own(&part.name));
    let mut targets: Vec<u32> = parts.map(|(&part, _)| part).collect();
    let next = image.functions.range(start + 1..).next();
    let end = next.map_or(u32::MAX, |(&next, _)| next);
    let (mut at, mut is_behind_jump) = (start, false);
    while at < end
        && let Some(code) = code(image, at)
        && let Ok(instruction) = decode_under(code, false)
    {
        if instruction.stack() != Stack::Keeps {
            is_behind_jump = false;
        }
        if is_behind_jump {
            targets.push(at);
        }
        is_behind_jump |= instruction.flow == Flow::Computed;
        at += code.bytes();
    }
    targets
}
