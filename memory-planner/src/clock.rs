//! Counts steps, and keeps an eye on the time.

use crate::plan::Budget;

/// The rest of a budget.
#[derive(Debug)]
pub(crate) struct Clock {
    taken: u64,
    limit: u64,
    /// Whether the time is over.
    late: bool,
    #[cfg(feature = "std")]
    deadline: Option<std::time::Instant>,
    #[cfg(feature = "std")]
    next_look: u64,
}

impl Clock {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self {
            taken: 0,
            limit: budget.steps,
            late: false,
            #[cfg(feature = "std")]
            deadline: budget
                .time
                .and_then(|time| std::time::Instant::now().checked_add(time)),
            #[cfg(feature = "std")]
            next_look: 0,
        }
    }

    /// The steps taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// The steps that are left.
    pub(crate) fn left(&self) -> u64 {
        match self.late {
            true => 0,
            false => self.limit.saturating_sub(self.taken),
        }
    }

    /// Counts some steps; false when the budget is used up.
    pub(crate) fn spend(&mut self, steps: u64) -> bool {
        self.taken = self.taken.saturating_add(steps);
        #[cfg(feature = "std")]
        if self.taken >= self.next_look {
            // To read the time takes less than a step, but most steps are short.
            self.next_look = self.taken + 16;
            self.is_late();
        }
        !self.is_over()
    }

    /// Whether the time is over, whatever steps are left. Work that counts no steps asks
    /// every few microseconds.
    pub(crate) fn is_late(&mut self) -> bool {
        #[cfg(feature = "std")]
        if let Some(deadline) = self.deadline
            && !self.late
        {
            self.late = std::time::Instant::now() >= deadline;
        }
        self.late
    }

    /// Does some work that has to be done again at the end, and leaves time for that.
    pub(crate) fn rehearse<T>(&mut self, work: impl FnOnce() -> T) -> T {
        #[cfg(feature = "std")]
        if let Some(deadline) = self.deadline {
            let start = std::time::Instant::now();
            let result = work();
            let earlier = deadline.checked_sub(start.elapsed());
            self.deadline = Some(earlier.unwrap_or(start));
            return result;
        }
        work()
    }

    /// Runs `work` with at most `steps` of what is left.
    pub(crate) fn slice<T>(&mut self, steps: u64, work: impl FnOnce(&mut Self) -> T) -> T {
        let limit = self.limit;
        self.limit = limit.min(self.taken.saturating_add(steps));
        let result = work(self);
        self.limit = limit;
        result
    }

    /// Whether the budget is used up.
    pub(crate) fn is_over(&self) -> bool {
        self.late || self.taken >= self.limit
    }
}
