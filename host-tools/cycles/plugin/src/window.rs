//! Which part of an execution is wanted: from the first instruction of a function to that of
//! another, or to the function's return.

/// Return addresses that are kept; the outermost go first.
const MOST_RETURNS: usize = 1 << 12;

/// The place of a block of instructions in the measured window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: u32,
    /// Where the instruction after its last one is.
    pub(crate) end: u32,
    /// Whether its last instruction calls a function.
    pub(crate) is_call: bool,
}

/// Whether a block that is about to be executed is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// Whether the measured window ended before it.
    pub(crate) has_ended: bool,
    /// It is the first that is wanted.
    pub(crate) begins: bool,
    /// It is wanted.
    pub(crate) is_wanted: bool,
}

/// Follows an execution, block by block.
#[derive(Debug)]
pub(crate) struct Window {
    from: Option<u32>,
    to: Option<u32>,
    /// Times that it is still wanted; without end if none.
    calls: Option<u64>,
    is_inside: bool,
    /// The index of the return address of what is wanted; none if it does not return.
    depth: Option<usize>,
    returns: Vec<u32>,
    before: Option<Place>,
}

impl Window {
    pub(crate) fn new(from: Option<u32>, to: Option<u32>, calls: Option<u64>) -> Self {
        Self {
            from,
            to,
            calls,
            is_inside: false,
            depth: None,
            returns: Vec::new(),
            before: None,
        }
    }

    /// Whether nothing is wanted any more.
    pub(crate) fn is_over(&self) -> bool {
        self.calls == Some(0) && !self.is_inside
    }

    /// The block at `place` is about to be executed.
    pub(crate) fn execute(&mut self, place: Place) -> Wanted {
        let mut wanted = Wanted::default();
        if self.is_over() {
            return wanted;
        }
        self.follow(place.address);
        self.before = Some(place);
        let is_end = match self.to {
            Some(to) => place.address == to,
            None => self.depth.is_some_and(|depth| self.returns.len() <= depth),
        };
        if self.is_inside && is_end {
            self.is_inside = false;
            self.depth = None;
            self.calls = self.calls.map(|calls| calls.saturating_sub(1));
            wanted.has_ended = true;
        }
        let is_start = self.from.is_none_or(|from| from == place.address);
        if !self.is_inside && is_start && self.calls != Some(0) {
            self.is_inside = true;
            self.depth = self.from.and(self.returns.len().checked_sub(1));
            wanted.begins = true;
        }
        wanted.is_wanted = self.is_inside;
        wanted
    }

    /// Keeps the return addresses, as execution goes on at an address.
    fn follow(&mut self, address: u32) {
        let Some(before) = self.before.filter(|before| before.end != address) else {
            // A function may return to what lies behind it.
            if self.before.is_some() && self.returns.last() == Some(&address) {
                self.returns.pop();
            }
            return;
        };
        if before.is_call {
            if self.returns.len() == MOST_RETURNS {
                self.returns.remove(0);
                self.depth = self.depth.and_then(|depth| depth.checked_sub(1));
            }
            self.returns.push(before.end);
        } else if self.returns.last() == Some(&address) {
            self.returns.pop();
        } else if let Some(depth) = self.depth
            && self.returns.get(depth) == Some(&address)
        {
            // Something was left without a return, as longjmp does.
            self.returns.truncate(depth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Executes blocks of 4 bytes, of which some call, and tells which are wanted: `(` where
    /// it begins, `)` where it has ended, `+` within, `.` outside.
    fn run(mut window: Window, blocks: &[(u32, bool)]) -> String {
        let mut told = String::new();
        for &(address, is_call) in blocks {
            let end = address + 4;
            let wanted = window.execute(Place {
                address,
                end,
                is_call,
            });
            told += if wanted.has_ended { ")" } else { "" };
            told += match (wanted.begins, wanted.is_wanted) {
                (true, _) => "(",
                (false, true) => "+",
                (false, false) => ".",
            };
        }
        told
    }

    #[test]
    fn a_function_until_it_returns() {
        let window = || Window::new(Some(0x100), None, None);
        // Called from 0 and 8; calls another one itself.
        let calls = [
            (0x0, true),
            (0x100, true),
            (0x200, false),
            (0x104, false),
            (0x4, false),
            (0x8, true),
            (0x100, false),
            (0xc, false),
        ];
        assert_eq!(run(window(), &calls), ".(++)..".to_owned() + "().");
        // Recursion from within is part of it.
        let recursion = [
            (0x0, true),
            (0x100, true),
            (0x100, false),
            (0x104, false),
            (0x4, false),
        ];
        assert_eq!(run(window(), &recursion), ".(++).");
        // Reached by a jump at the end of a function that was called.
        let tail = [(0x0, true), (0x80, false), (0x100, false), (0x4, false)];
        assert_eq!(run(window(), &tail), "..().");
        // Left without a return of the function that it calls.
        let jump = [(0x0, true), (0x100, true), (0x200, false), (0x4, false)];
        assert_eq!(run(window(), &jump), ".(+).");
        // A call at the very start that never returns.
        assert_eq!(run(window(), &[(0x100, true), (0x200, false)]), "(+");
    }

    #[test]
    fn to_another_place_and_so_often() {
        let blocks = [(0x100, false), (0x104, false), (0x200, false)].repeat(2);
        let window = |calls| Window::new(Some(0x100), Some(0x200), calls);
        assert_eq!(run(window(None), &blocks), "(+).(+).");
        assert_eq!(run(window(Some(1)), &blocks), "(+)....");
        assert_eq!(run(Window::new(None, None, None), &blocks[..3]), "(++");
    }
}
