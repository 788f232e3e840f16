//! `tadpool compare`.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use tadpool_compiler::output;
use tadpool_operations::compare::{Compared, TOLERANCE_PERCENT};
use tadpool_probe::record::Record;
use tadpool_probe::record::compare::Tolerances;
use tadpool_probe::record::junit::junit;

use super::report::Report;

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
        let compared = Compared::of(
            (self.before, &before),
            (self.after, &after),
            &tolerances,
            self.all,
        );
        if let Some(path) = &self.junit {
            let name = format!("tadpool {}", after.command);
            output::write(path, junit(&name, &compared.comparison).as_bytes())?;
        }
        Ok(CompareReport(compared))
    }
}

impl Report for CompareReport {
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.0)
    }

    fn is_success(&self) -> bool {
        self.0.regressions == 0
    }
}

impl fmt::Display for CompareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
