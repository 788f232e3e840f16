//! Follows every way through the functions of an image.
//!
//! A function is followed from its first instruction with what is known of the registers and
//! of its stack; where ways meet, what differs is forgotten. What it calls is followed
//! first, so that its caller knows whether it returns, which registers it gives back and how
//! much stack it takes. A jump out of a function with everything given back is a call whose
//! return is the caller's; any other jump is followed as a part of the function.

use std::collections::{BTreeMap, BTreeSet};

use tadpool_cycles::decode::{Flow, Instruction, Registers, Special, decode_under};

use super::code::Code;
use super::value::{KEPT, LR, PC, SP, State, Table, Value};

/// Most calls within one another that are followed.
const MAX_DEPTH: usize = 200;
/// Most instructions that are followed for one function; the largest ones of an image have
/// some thousand.
const MAX_VISITS: usize = 1_000_000;

/// The findings for a function, with all that it calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary {
    /// Most bytes of stack.
    pub(super) stack_bytes: u32,
    returns: bool,
    /// Registers that it gives back as they were, a bit each.
    kept: u16,
    /// Bytes of its caller's stack that it writes.
    above: u32,
}

/// A stack that code takes for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OtherStack {
    pub(super) start: u32,
    pub(super) needed_bytes: u32,
}

/// The state of the walk over the code.
pub(super) struct Walk<'a> {
    code: &'a Code<'a>,
    /// No summary for those that are being followed.
    summaries: BTreeMap<u32, Option<Summary>>,
    /// Where to begin.
    pub(super) roots: BTreeSet<u32>,
    /// The functions that were reached, with those that each calls or goes to.
    pub(super) calls: BTreeMap<u32, BTreeSet<u32>>,
    /// Functions with an instruction that traps.
    pub(super) traps: BTreeSet<u32>,
    /// Functions with floating-point instructions.
    pub(super) floats: BTreeSet<u32>,
    /// Whether an instruction uses the registers of vectors and floats.
    pub(super) uses_vectors: bool,
    /// Places whose effect is not known.
    pub(super) unknown: BTreeSet<String>,
    pub(super) other_stacks: BTreeSet<OtherStack>,
}

/// The address of an instruction and, if it has a condition, whether that of the first
/// instruction of its group holds.
type Place = (u32, Option<bool>);

/// A function that is being followed.
struct Frame {
    start: u32,
    end: u32,
    states: BTreeMap<Place, State>,
    waiting: BTreeSet<Place>,
    summary: Summary,
    depth: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(code: &'a Code<'a>) -> Self {
        Self {
            code,
            summaries: BTreeMap::new(),
            roots: BTreeSet::new(),
            calls: BTreeMap::new(),
            traps: BTreeSet::new(),
            floats: BTreeSet::new(),
            uses_vectors: false,
            unknown: BTreeSet::new(),
            other_stacks: BTreeSet::new(),
        }
    }

    /// Follows the function at `start` and all that it reaches.
    pub(super) fn follow(&mut self, start: u32) -> Summary {
        self.roots.insert(start);
        self.function(start, 0)
    }

    fn function(&mut self, start: u32, depth: usize) -> Summary {
        let unknown = Summary {
            returns: true,
            kept: KEPT,
            ..Summary::default()
        };
        match self.summaries.get(&start) {
            Some(Some(summary)) => return summary.clone(),
            Some(None) => {
                self.say(start, "calls itself");
                return unknown;
            }
            None => {}
        }
        let Some(function) = self.code.holder(start) else {
            self.say(start, "is called, but is no function");
            return unknown;
        };
        if depth == MAX_DEPTH {
            self.say(start, "is called too deep in other calls");
            return unknown;
        }
        self.summaries.insert(start, None);
        self.calls.entry(start).or_default();
        let mut frame = Frame {
            start,
            end: function.end,
            states: BTreeMap::from([((start, None), State::entry())]),
            waiting: BTreeSet::from([(start, None)]),
            summary: Summary {
                kept: KEPT,
                ..Summary::default()
            },
            depth,
        };
        let mut visits = 0;
        while let Some(place) = frame.waiting.pop_first() {
            visits += 1;
            if visits > MAX_VISITS {
                self.say(start, "is too long to be followed");
                break;
            }
            if let Some(state) = frame.states.get(&place).cloned() {
                self.step(&mut frame, place.0, state);
            }
        }
        self.summaries.insert(start, Some(frame.summary.clone()));
        frame.summary
    }

    /// Follows one instruction.
    fn step(&mut self, frame: &mut Frame, address: u32, state: State) {
        let holder = self.code.holder(address).map(|function| function.start);
        if let Some(holder) = holder.filter(|&holder| holder != frame.start) {
            self.calls.entry(frame.start).or_default().insert(holder);
        }
        let Some(code) = self.code.instruction(address) else {
            return self.say(address, "goes to where there is no code");
        };
        let Ok(instruction) = decode_under(code, state.conditions > 0) else {
            return self.say(address, &format!("has the unknown code {code}"));
        };
        if instruction.float.is_some() {
            self.floats.insert(holder.unwrap_or(address));
        }
        let registers = instruction.reads() | instruction.writes();
        self.uses_vectors |= !registers.vectors().is_empty();
        let next = address.wrapping_add(code.bytes());
        let mut skipped = state.clone();
        skipped.next();
        let is_certain = match state.executes() {
            Some(false) => return self.go(frame, address, next, &skipped),
            executes => executes.is_some(),
        };

        let mut after = state.clone();
        let above = after.execute(&instruction, address, self.code);
        frame.summary.above = frame.summary.above.max(above);
        if let Some(special) = instruction.special {
            self.set_special(special, &instruction, address, is_certain, &mut after);
        }
        let moves = after.registers[SP] != state.registers[SP];
        match after.depth() {
            Some(depth) => self.take(frame, &after, depth),
            None if moves => {
                return self.say(address, "moves the stack pointer by a variable");
            }
            None => {}
        }
        if !is_certain && instruction.flow != Flow::Next {
            self.go(frame, address, next, &skipped);
        }
        let target = |offset: i32| address.wrapping_add(4).wrapping_add_signed(offset);
        match instruction.flow {
            Flow::Next if instruction.conditions > 0 => {
                for holds in [true, false] {
                    after.holds = Some(holds);
                    self.go(frame, address, next, &after);
                }
            }
            Flow::Next => {
                if !is_certain && !after.join(&skipped) {
                    return self.say(address, "moves the stack pointer under a condition");
                }
                self.go(frame, address, next, &after);
            }
            Flow::Jump {
                offset,
                is_conditional,
            } => {
                if is_conditional {
                    self.go(frame, address, next, &after);
                }
                self.go(frame, address, target(offset), &after);
            }
            Flow::Loop { offset } => {
                self.go(frame, address, next, &after);
                self.go(frame, address, target(offset), &after);
            }
            // Armv6-M has no other branch that reaches as far: compilers use it to jump where
            // the return address is saved.
            Flow::Call { offset } if (frame.start + 1..frame.end).contains(&target(offset)) => {
                after.registers[LR] = Value::Unknown;
                self.go(frame, address, target(offset), &after);
            }
            Flow::Call { offset } => self.call(frame, target(offset), next, after),
            Flow::ComputedCall => match self.value(&instruction, &state) {
                Value::Constant(function) if function & 1 == 1 => {
                    self.call(frame, function & !1, next, after);
                }
                _ => self.say(address, "calls a function by an address that is not known"),
            },
            Flow::Return | Flow::Computed => {
                let to = self.value(&instruction, &after);
                self.leave(frame, address, to, &after);
            }
            Flow::Table { entry_bytes } => {
                let table = Table {
                    start: next,
                    entry_bytes,
                    origin: next,
                };
                self.leave(frame, address, Value::Jump(table), &after);
            }
            Flow::Stop => {
                self.traps.insert(holder.unwrap_or(address));
            }
        }
    }

    /// Where a computed branch goes.
    fn value(&self, instruction: &Instruction, state: &State) -> Value {
        let numbers: Vec<usize> = instruction.address.numbers().collect();
        match (instruction.writes().meets(Registers::PC), &numbers[..]) {
            (true, _) => state.registers[PC],
            (false, &[number]) if number < 15 => state.registers[number],
            _ => Value::Unknown,
        }
    }

    /// Goes to a computed place, or returns.
    fn leave(&mut self, frame: &mut Frame, address: u32, to: Value, state: &State) {
        match to {
            Value::Entry(14) if state.registers[SP] == Value::Stack(0) => {
                frame.summary.returns = true;
                frame.summary.kept &= state.kept();
            }
            Value::Entry(14) => self.say(address, "returns with another stack pointer"),
            Value::Constant(to) => self.go(frame, address, to & !1, state),
            _ => {
                let branches = match to {
                    Value::Indexed(table) => self.code.branches(table & !1),
                    Value::Jump(table) => self.code.table(table),
                    _ => None,
                };
                let declared = || self.code.jumps(address).map(Iterator::collect);
                let Some(targets): Option<BTreeSet<u32>> = branches.or_else(declared) else {
                    return self.say(address, "jumps to an address that is not known");
                };
                for target in targets {
                    self.go(frame, address, target, state);
                }
            }
        }
    }

    /// Goes to `to` with `state`.
    fn go(&mut self, frame: &mut Frame, from: u32, to: u32, state: &State) {
        let is_inside = (frame.start..frame.end).contains(&to);
        let begins = self
            .code
            .holder(to)
            .is_some_and(|function| function.start == to);
        if !is_inside && begins && state.is_entry() {
            let callee = self.called(frame, to);
            frame.summary.stack_bytes = frame.summary.stack_bytes.max(callee.stack_bytes);
            frame.summary.above = frame.summary.above.max(callee.above);
            if callee.returns {
                frame.summary.returns = true;
                frame.summary.kept &= callee.kept;
            }
            return;
        }
        let mut agrees = true;
        let place = (to, state.holds);
        match frame.states.get_mut(&place) {
            None => {
                frame.states.insert(place, state.clone());
                frame.waiting.insert(place);
            }
            Some(known) => {
                let before = known.clone();
                agrees = known.join(state);
                if *known != before {
                    frame.waiting.insert(place);
                }
            }
        }
        if !agrees {
            // One of them says all there is to say of a loop that takes more and more.
            frame.waiting.remove(&place);
            self.say(
                from,
                "moves the stack pointer by different amounts on ways that meet",
            );
        }
    }

    fn call(&mut self, frame: &mut Frame, to: u32, next: u32, mut state: State) {
        let callee = self.called(frame, to);
        if let Some(depth) = state.depth() {
            self.take(frame, &state, depth.saturating_add(callee.stack_bytes));
        }
        if callee.returns {
            state.call(callee.kept, callee.above);
            self.go(frame, to, next, &state);
        }
    }

    fn called(&mut self, frame: &Frame, to: u32) -> Summary {
        self.calls.entry(frame.start).or_default().insert(to);
        self.function(to, frame.depth + 1)
    }

    /// Notes that so much of a stack is in use.
    fn take(&mut self, frame: &mut Frame, state: &State, bytes: u32) {
        match state.other_stack {
            None => frame.summary.stack_bytes = frame.summary.stack_bytes.max(bytes),
            Some(start) => drop(self.other_stacks.insert(OtherStack {
                start,
                needed_bytes: bytes,
            })),
        }
    }

    /// A special register is written: the stack's, or its limit's.
    fn set_special(
        &mut self,
        special: Special,
        instruction: &Instruction,
        address: u32,
        is_certain: bool,
        state: &mut State,
    ) {
        let number = instruction.operands.numbers().next().unwrap_or(PC);
        let value = state.registers.get(number).copied();
        match (special, value) {
            (Special::Other | Special::StackLimit, _) => {}
            (Special::MainStack, Some(Value::Constant(start))) if is_certain => {
                state.registers[SP] = Value::Constant(start);
                state.other_stack = Some(start);
            }
            _ => self.say(address, "sets a stack pointer to what is not known"),
        }
    }

    /// Notes what is not known of the code at `address`.
    fn say(&mut self, address: u32, problem: &str) {
        let name = self.code.name(address);
        self.unknown
            .insert(format!("`{name}` {problem} ({address:#x})"));
    }
}
