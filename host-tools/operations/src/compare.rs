//! Two records, figure by figure.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use tadpool_probe::record::Record;
use tadpool_probe::record::compare::{Comparison, Tolerances, Verdict, compare};

use crate::record::number;
use crate::table::table;

/// Percent that a figure may become worse by, if nothing else is said.
pub const TOLERANCE_PERCENT: f64 = 1.0;

/// The differences between two records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    before: PathBuf,
    after: PathBuf,
    #[serde(skip)]
    shows_all: bool,
    /// Figures that are worse, gone or not comparable.
    pub regressions: usize,
    /// The differences.
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl Compared {
    /// Compares two records, each behind its file or a name; `shows_all` shows people figures
    /// that did not change too.
    pub fn of(
        before: (PathBuf, &Record),
        after: (PathBuf, &Record),
        tolerances: &Tolerances,
        shows_all: bool,
    ) -> Self {
        let comparison = compare(before.1, after.1, tolerances);
        Self {
            before: before.0,
            after: after.0,
            shows_all,
            regressions: comparison.regressions().count(),
            comparison,
        }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = self;
        let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let (before, after) = (it.before.display(), it.after.display());
        writeln!(f, "{before} → {after}")?;
        for condition in &it.comparison.conditions {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
            let (one, two) = (text(&condition.before), text(&condition.after));
            writeln!(f, "other {}: {one} → {two}", condition.name)?;
        }
        let header = [
            "figure", "", "unit", "before", "after", "change", "allowed", "",
        ];
        let mut rows = table(header, 3);
        let mut shown = 0;
        for one in &it.comparison.differences {
            if one.verdict == Verdict::Same && !it.shows_all {
                continue;
            }
            shown += 1;
            rows.add_row([
                one.name.clone(),
                one.origin.to_string(),
                one.unit.clone(),
                value(one.before),
                value(one.after),
                one.percent
                    .map_or_else(String::new, |percent| format!("{percent:+.2} %")),
                format!("{} %", one.tolerance_percent),
                one.verdict.word().to_owned(),
            ]);
        }
        if shown > 0 {
            writeln!(f, "{rows}")?;
        }
        let all = it.comparison.differences.len();
        match it.regressions {
            0 => writeln!(
                f,
                "{all} figures, {} unchanged, none worse than allowed",
                all - shown
            ),
            count => writeln!(f, "{all} figures, {count} of them worse than allowed"),
        }
    }
}
