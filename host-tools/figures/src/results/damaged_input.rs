//! Damaged input, and what Miri looked for.

use std::collections::BTreeMap;

use super::Sources;
use super::text::{grouped, table};

impl Sources {
    /// Executions of each door, and tests under Miri.
    pub(super) fn of_damaged_input(&self) -> BTreeMap<&'static str, String> {
        let (fuzz, miri) = (&self.figures.fuzz, &self.figures.miri);
        let doors = fuzz.doors.iter();
        let all: u64 = doors.clone().map(|door| door.executions).sum();
        let rows = doors.map(|door| vec![format!("`{}`", door.door), grouped(door.executions)]);
        BTreeMap::from([
            ("fuzz", table(&["door", "executions"], rows)),
            ("fuzz_all", grouped(all)),
            ("fuzz_measured", fuzz.measured.clone()),
            ("fuzz_command", fuzz.command.clone()),
            ("miri_kernels", miri.kernel_tests.to_string()),
            ("miri_protocol", miri.protocol_tests.to_string()),
            ("miri_measured", miri.measured.clone()),
            ("miri_command", miri.command.clone()),
        ])
    }
}
