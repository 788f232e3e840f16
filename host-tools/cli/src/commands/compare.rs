//! `tadpool compare`.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tadpool_compiler::output;
use tadpool_probe::record::Record;
use tadpool_probe::record::compare::{Comparison, Tolerances, Verdict, compare};
use tadpool_probe::record::junit::junit;

use super::record::number;
use super::report::{Report, table};

/// Percent that a figure may become worse by, if nothing else is said.
const TOLERANCE_PERCENT: f64 = 1.0;

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The record that was before.
    before: PathBuf,
    /// The record to compare with it.
    after: PathBuf,
    /// Percent by which a figure may become worse; with a word in front, figures whose names
    /// have it: `top-1=0.5`. May be repeated, and the last one that fits counts [default: 1].
    #[arg(long, value_name = "[WORD=]PERCENT", value_parser = tolerance)]
    tolerance: Vec<(Option<String>, f64)>,
    /// Also show figures that did not change.
    #[arg(long)]
    all: bool,
    /// Write the result as JUnit's XML, for continuous integration.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// The differences, which decide on the exit status.
#[derive(Debug)]
pub(crate) struct CompareReport(Compared);

#[derive(Debug, Serialize)]
struct Compared {
    before: PathBuf,
    after: PathBuf,
    #[serde(skip)]
    shows_all: bool,
    /// Figures that are worse, gone or not comparable.
    regressions: usize,
    #[serde(flatten)]
    comparison: Comparison,
}

fn tolerance(text: &str) -> Result<(Option<String>, f64), String> {
    let (word, percent) = match text.rsplit_once('=') {
        Some((word, percent)) => (Some(word.to_owned()), percent),
        None => (None, text),
    };
    let percent: f64 = percent
        .trim_end_matches('%')
        .parse()
        .map_err(|_| "a tolerance is in percent, such as 2 or `top-1=0.5`".to_owned())?;
    match percent {
        0.0..=1000.0 => Ok((word, percent)),
        _ => Err("a tolerance is from 0 to 1000 percent".to_owned()),
    }
}

impl Compare {
    pub(crate) fn run(self) -> anyhow::Result<CompareReport> {
        let before = Record::read(&self.before)?;
        let after = Record::read(&self.after)?;
        let mut tolerances = Tolerances {
            percent: TOLERANCE_PERCENT,
            by_name: Vec::new(),
        };
        for (word, percent) in self.tolerance {
            match word {
                Some(word) => tolerances.by_name.push((word, percent)),
                None => tolerances.percent = percent,
            }
        }
        let comparison = compare(&before, &after, &tolerances);
        if let Some(path) = &self.junit {
            let name = format!("tadpool {}", after.command);
            output::write(path, junit(&name, &comparison).as_bytes())?;
        }
        Ok(CompareReport(Compared {
            before: self.before,
            after: self.after,
            shows_all: self.all,
            regressions: comparison.regressions().count(),
            comparison,
        }))
    }
}

impl Report for CompareReport {
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.0)
    }

    fn status(&self) -> ExitCode {
        match self.0.regressions {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for CompareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.0;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_percents_with_or_without_a_word() {
        assert_eq!(tolerance("2"), Ok((None, 2.0)));
        assert_eq!(tolerance("top-1=0.5%"), Ok((Some("top-1".to_owned()), 0.5)));
        for text in ["x", "a=b", "-1", "NaN", "1e9"] {
            assert!(tolerance(text).is_err(), "{text}");
        }
    }
}
