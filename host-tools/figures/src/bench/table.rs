//! The counts of this run beside the saved ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Something that was counted on one core.
pub(super) struct Row {
    pub(super) what: String,
    /// Instructions, or bytes of code.
    pub(super) count: u64,
    /// Multiply-accumulates or elements that `count` is for; zero for code.
    pub(super) operations: u64,
    /// An estimate of the cycles that the instructions take.
    pub(super) cycles: Option<u64>,
}

/// A saved table: the compiler, and counts by core and what was counted, with an
/// estimate of the cycles if there is one.
#[derive(Default)]
pub(crate) struct Saved {
    pub(crate) compiler: String,
    counts: BTreeMap<(String, String), (u64, Option<u64>)>,
}

const HEADER: &str = "# Written by `cargo xtask bench --save`: instructions, or bytes of code; \
                      then an estimate of cycles.";
const COMPILER: &str = "# Compiler: ";

impl Saved {
    pub(crate) fn parse(text: &str) -> Self {
        let mut saved = Self::default();
        for line in text.lines() {
            if let Some(compiler) = line.strip_prefix(COMPILER) {
                saved.compiler = compiler.to_owned();
            }
            let mut fields = line.split('\t').map(str::to_owned);
            if let (Some(core), Some(what), Some(count)) =
                (fields.next(), fields.next(), fields.next())
                && let Ok(count) = count.parse()
            {
                let cycles = fields.next().and_then(|cycles| cycles.parse().ok());
                saved.counts.insert((core, what), (count, cycles));
            }
        }
        saved
    }

    pub(super) fn render(&self) -> String {
        let mut text = format!("{HEADER}\n{COMPILER}{}\n", self.compiler);
        for ((core, what), (count, cycles)) in &self.counts {
            let _ = write!(text, "{core}\t{what}\t{count}");
            if let Some(cycles) = cycles {
                let _ = write!(text, "\t{cycles}");
            }
            text.push('\n');
        }
        text
    }

    /// A count.
    pub(crate) fn get(&self, core: &str, what: &str) -> Option<u64> {
        let saved = self.counts.get(&(core.to_owned(), what.to_owned()));
        saved.map(|&(count, _)| count)
    }

    /// An estimate of cycles.
    pub(crate) fn cycles(&self, core: &str, what: &str) -> Option<u64> {
        let saved = self.counts.get(&(core.to_owned(), what.to_owned()));
        saved.and_then(|&(_, cycles)| cycles)
    }

    /// A run's counts of a core, and the rows that it did not count.
    pub(super) fn replace(&mut self, core: &str, rows: &[Row]) -> Vec<String> {
        let is_counted = |what: &String| rows.iter().any(|row| row.what == *what);
        let (gone, kept) = std::mem::take(&mut self.counts)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|((of, what), _)| of == core && !is_counted(what));
        self.counts = kept;
        for row in rows {
            self.counts
                .insert((core.to_owned(), row.what.clone()), (row.count, row.cycles));
        }
        gone.into_keys().map(|(_, what)| what).collect()
    }
}

/// One core's table.
pub(super) fn table(core: &str, rows: &[Row], saved: &Saved) -> String {
    let has_cycles = rows.iter().any(|row| row.cycles.is_some());
    let mut text = format!(
        "{:<52} {:>11} {:>9} {:>11} {:>8}",
        "", "count", "per op", "saved", "change"
    );
    if has_cycles {
        let _ = write!(text, " {:>14} {:>9}", "cycles, est.", "per op");
    }
    text.push('\n');
    let per = |count: u64, operations: u64| format!("{:.4}", count as f64 / operations as f64);
    for row in rows {
        let Row { what, count, .. } = row;
        let ratio = match row.operations {
            0 => "bytes".into(),
            operations => per(*count, operations),
        };
        let (before, change) = match saved.get(core, what) {
            Some(before) if before > 0 => (
                before.to_string(),
                format!("{:+.2} %", change(*count, before)),
            ),
            _ => ("none".into(), String::new()),
        };
        let _ = write!(
            text,
            "{what:<52} {count:>11} {ratio:>9} {before:>11} {change:>8}"
        );
        if let Some(cycles) = row.cycles {
            let ratio = per(cycles, row.operations);
            let _ = write!(text, " {cycles:>14} {ratio:>9}");
        }
        text.push('\n');
    }
    text
}

/// By how many percent `count` is more than `before`.
pub(super) fn change(count: u64, before: u64) -> f64 {
    100.0 * (count as f64 / before as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(what: &str, count: u64, operations: u64, cycles: Option<u64>) -> Row {
        Row {
            what: what.into(),
            count,
            operations,
            cycles,
        }
    }

    #[test]
    fn what_is_saved_is_read_again() {
        let mut saved = Saved {
            compiler: "rustc 1.2.3".into(),
            ..Saved::default()
        };
        let rows = [
            row("head", 200, 100, Some(300)),
            row("code, head", 64, 0, None),
        ];
        assert!(saved.replace("Cortex-M4", &rows).is_empty());
        let text = saved.render();
        assert_eq!(Saved::parse(&text).render(), text);
        assert!(text.contains("Cortex-M4\thead\t200\t300\n"), "{text}");
        assert_eq!(saved.get("Cortex-M4", "code, head"), Some(64));
        assert_eq!(saved.get("Cortex-M7", "head"), None);
        assert_eq!(saved.replace("Cortex-M4", &rows[..1]), ["code, head"]);
    }

    #[test]
    fn estimates_stand_beside_counts() {
        let rows = [row("head", 200, 100, Some(300))];
        let text = table("Cortex-M4", &rows, &Saved::default());
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with("cycles, est.    per op"), "{text}");
        assert!(lines[1].ends_with("300    3.0000"), "{text}");
        let without = [row("head", 200, 100, None)];
        assert!(!table("Cortex-M33", &without, &Saved::default()).contains("est."));
    }
}
