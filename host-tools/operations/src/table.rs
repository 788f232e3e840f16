//! Tables of text for people.

use std::fmt::{self, Display, Formatter};

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Table, TableComponent, presets,
};
use tadpool_input::text::escaped;

/// Rows under a header, in at most a hundred columns: text folds, numbers do not.
#[derive(Debug, Clone)]
pub struct Rows {
    table: Table,
    numbers: usize,
}

/// Most columns of a terminal that a table takes.
const MAX_COLUMNS: u16 = 100;
/// Columns between two of a table's.
const GAP: u16 = 2;

/// A table with a header, whose parts may be of several lines; columns from `numbers` on are
/// right-aligned.
pub fn table<S: AsRef<str>>(header: impl IntoIterator<Item = S>, numbers: usize) -> Rows {
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
    pub fn add_row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
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
pub fn grouped(number: u64) -> String {
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

/// A share as a percentage with two decimals.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

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
