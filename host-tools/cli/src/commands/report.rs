//! Output of a command: a table for people, or JSON.

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::process::ExitCode;

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Table, TableComponent, presets,
};
use serde::Serialize;
use tadpool_input::text::escaped;

/// A command's result.
pub(crate) trait Report: Display {
    /// The same as one line of JSON.
    fn json(&self) -> serde_json::Result<String>;

    /// Whether what it says is a success.
    fn status(&self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

impl<T: Serialize + Display> Report for T {
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// Rows under a header, in at most [`MAX_COLUMNS`] columns: text folds, numbers do not.
pub(crate) struct Rows {
    table: Table,
    numbers: usize,
}

/// Most columns of a terminal that a table takes.
const MAX_COLUMNS: u16 = 100;
/// Columns between two of a table's.
const GAP: u16 = 2;

/// A table with a header, whose parts may be of several lines; columns from `numbers` on are
/// right-aligned.
pub(crate) fn table<S: AsRef<str>>(header: impl IntoIterator<Item = S>, numbers: usize) -> Rows {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(MAX_COLUMNS + GAP)
        .set_header(header.into_iter().map(|text| text.as_ref().to_owned()));
    Rows { table, numbers }
}

impl Rows {
    /// Adds a row, which may be shorter than the header.
    pub(crate) fn add_row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let cells = cells.into_iter();
        self.table
            .add_row(cells.map(|text| escaped(text.as_ref()).into_owned()));
    }
}

impl Display for Rows {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut table = self.table.clone();
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if index >= self.numbers {
                column.set_cell_alignment(CellAlignment::Right);
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let text = table.trim_fmt();
        // The header's rule goes on below the last gap.
        let width = text
            .lines()
            .filter(|line| !line.starts_with('─'))
            .map(|line| line.chars().count())
            .max();
        let lines = text.lines().map(|line| match line.starts_with('─') {
            true => "─".repeat(width.unwrap_or(0)),
            false => line.to_owned(),
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// `1234567` as `1 234 567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Where `to` is, seen from the page at `page`: a relative address.
pub(crate) fn href(page: &Path, to: &Path) -> anyhow::Result<String> {
    let [page, to] = [page, to].map(std::path::absolute);
    let (page, to) = (page?, to?);
    let from = page.parent().unwrap_or(&page);
    let path = pathdiff::diff_paths(&to, from).unwrap_or(to);
    let parts = path.components().map(|part| {
        let part = part.as_os_str().to_string_lossy();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        part.bytes().fold(String::new(), |mut text, byte| {
            match is_plain(byte) {
                true => text.push(byte.into()),
                false => text += &format!("%{byte:02X}"),
            }
            text
        })
    });
    Ok(parts.collect::<Vec<_>>().join("/"))
}

/// A share as a percentage with two decimals.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_seen_from_the_page() {
        let address = |page: &str, to: &str| href(Path::new(page), Path::new(to)).unwrap();
        assert_eq!(address("latency.html", "check.html"), "check.html");
        assert_eq!(
            address("a/latency.html", "b/a #1.html"),
            "../b/a%20%231.html"
        );
    }

    #[test]
    fn digits_are_grouped_from_the_right() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1 234 567");
    }

    #[test]
    fn tables_have_one_rule_and_aligned_numbers() {
        let mut rows = table(["step", "MACs", "share"], 1);
        rows.add_row(["stem", "1 234", "9.00 %"]);
        rows.add_row(["stage1.block0\u{1b}[1m", "98 765 432", "91.00 %"]);
        rows.add_row(["total"]);
        let text = rows.to_string();
        let expected = "\
step                          MACs    share
───────────────────────────────────────────
stem                         1 234   9.00 %
stage1.block0\\u{1b}[1m  98 765 432  91.00 %
total";
        assert_eq!(text, expected);
    }

    #[test]
    fn tables_fold_text_at_a_hundred_columns() {
        let mut rows = table(["image", "label", "logit\nerror"], 2);
        rows.add_row([
            "a-long-name/".repeat(12),
            "a bird".to_owned(),
            "1 234.5".to_owned(),
        ]);
        let text = rows.to_string();
        let widths = text.lines().map(|line| line.chars().count());
        assert!(widths.clone().all(|width| width <= 100), "{text}");
        assert!(widths.max() > Some(80), "{text}");
        assert!(text.contains("1 234.5"), "{text}");
    }
}
