//! Counts steps, and looks at the time now and then.

use crate::plan::Budget;

/// What is left of a budget.
#[derive(Debug)]
pub(crate) struct Clock {
    taken: u64,
    limit: u64,
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
        self.limit.saturating_sub(self.taken)
    }

    /// Counts some steps; false when the budget is used up.
    pub(crate) fn spend(&mut self, steps: u64) -> bool {
        self.taken = self.taken.saturating_add(steps);
        #[cfg(feature = "std")]
        if let Some(deadline) = self.deadline
            && self.taken >= self.next_look
        {
            // Reading the time costs about as much as a few hundred steps.
            self.next_look = self.taken + 4096;
            if std::time::Instant::now() >= deadline {
                self.limit = 0;
            }
        }
        self.taken < self.limit
    }

    /// Runs `work` with at most `steps` of what is left.
    pub(crate) fn slice<T>(&mut self, steps: u64, work: impl FnOnce(&mut Self) -> T) -> T {
        let limit = self.limit;
        self.limit = limit.min(self.taken.saturating_add(steps));
        let result = work(self);
        // A deadline that passed inside the slice stays passed.
        if self.limit > 0 || limit == 0 {
            self.limit = limit;
        }
        result
    }

    /// Whether the budget is used up.
    pub(crate) fn is_over(&self) -> bool {
        self.taken >= self.limit
    }
}
