//! `tadpool report`: records for people, and as rows of a table in Markdown.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tadpool_input::text::escaped;
use tadpool_probe::record::{Figure, Record};

use super::record::{MEASURED, PREDICTED, summary};

#[derive(Debug, Args)]
pub(crate) struct Rows {
    /// Records, as `--record FILE` of bench, run, eval and check writes them.
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<PathBuf>,
    /// Print rows of a table in Markdown: board, model, measured and predicted latency, energy.
    #[arg(long)]
    table: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct RowsReport {
    records: Vec<Record>,
    #[serde(skip)]
    is_table: bool,
}

impl Rows {
    pub(crate) fn run(self) -> anyhow::Result<RowsReport> {
        let records = self.records.iter().map(|path| Record::read(path));
        Ok(RowsReport {
            records: records.collect::<Result<_, _>>()?,
            is_table: self.table,
        })
    }
}

const HEADER: [&str; 10] = [
    "board",
    "chip as found",
    "model",
    "measured, ms",
    "predicted, ms",
    "predicted is off by",
    "energy, mJ",
    "stack, bytes",
    "tool",
    "image, kernels (SHA-256)",
];

/// The cells of a record.
fn row(record: &Record) -> [String; 10] {
    let condition = |name: &str| record.condition(name).unwrap_or("").to_owned();
    let value = |name: &str| record.figure(name).map(|figure| figure.value);
    let text = |value: Option<f64>, decimals: usize| {
        value.map_or_else(String::new, |value| format!("{value:.decimals$}"))
    };
    let (measured, predicted) = (value(MEASURED), value(PREDICTED));
    let more = measured
        .zip(predicted)
        .map(|(measured, predicted)| format!("{:+.1} %", 100.0 * (predicted / measured - 1.0)));
    let bound = record.figure(PREDICTED).map(error);
    let hashes = ["image_sha256", "kernels_sha256"].map(|name| {
        let hash = condition(name);
        hash.get(..8).unwrap_or(&hash).to_owned()
    });
    [
        condition("board"),
        match record.condition("as_found") {
            Some(found) => format!("{}: {found}", condition("chip")),
            None => condition("chip"),
        },
        condition("model"),
        text(measured, 3),
        predicted.map_or_else(String::new, |ms| {
            format!("{ms:.1} ({})", bound.unwrap_or_default())
        }),
        more.unwrap_or_default(),
        text(value("energy"), 3),
        text(value("stack"), 0),
        condition("tool"),
        hashes.join(", "),
    ]
}

/// How far off a prediction may be.
fn error(figure: &Figure) -> String {
    match figure.error_percent {
        Some(percent) => format!("±{percent} %"),
        None => "not validated".to_owned(),
    }
}

/// A row of Markdown, in which nothing of a record ends a cell or the row.
fn line(cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| escaped(cell).replace('|', "\\|"));
    format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
}

impl fmt::Display for RowsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_table {
            writeln!(f, "{}", line(&HEADER.map(str::to_owned)))?;
            writeln!(f, "|{}", "---|".repeat(HEADER.len()))?;
            let mut rows = self.records.iter().map(row);
            return rows.try_for_each(|row| writeln!(f, "{}", line(&row)));
        }
        for record in &self.records {
            writeln!(f, "{}", record.command)?;
            for (name, value) in &record.conditions {
                writeln!(f, "  {name:16} {value}")?;
            }
            writeln!(f, "{}", summary(record))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tadpool_probe::record::Origin;

    use super::*;

    #[test]
    fn a_record_is_a_row() {
        let pairs = [
            ("board", "a|b"),
            ("chip", "chip"),
            ("image_sha256", "0123456789ab"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let figures = vec![
            Figure::lower("latency", Origin::Measured, 100.0, "ms"),
            Figure {
                error_percent: Some(3.3),
                ..Figure::lower("predicted latency", Origin::Predicted, 98.0, "ms")
            },
        ];
        let record = Record::new(
            "bench",
            BTreeMap::from(pairs),
            figures,
            serde_json::json!({}),
        );
        let expected =
            "| a\\|b | chip |  | 100.000 | 98.0 (±3.3 %) | -2.0 % |  |  |  | 01234567,  |";
        assert_eq!(line(&row(&record)), expected);
        let other = Record::new("run", BTreeMap::new(), Vec::new(), serde_json::json!({}));
        assert_eq!(row(&other).join(""), ", ");
    }
}
