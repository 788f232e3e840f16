//! How tables and numbers are written.

/// A table in Markdown.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let rule = format!("|{}", "---|".repeat(header.len()));
    let mut lines = vec![line(&header), rule];
    lines.extend(rows.into_iter().map(|row| line(&row)));
    lines.join("\n")
}

/// A number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

pub(super) fn percent(percent: f64) -> String {
    format!("{percent:.2} %")
}

pub(super) fn ratio(count: u64, operations: u64, digits: usize) -> String {
    format!("{:.digits$}", count as f64 / operations as f64)
}

pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let groups = [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (13_989_962, "13 989 962"),
        ];
        for (number, text) in groups {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn tables_have_a_rule_and_a_line_each_row() {
        let rows = [vec!["a".to_owned(), "1".to_owned()]];
        let text = table(&["name", "count"], rows);
        assert_eq!(text, "| name | count |\n|---|---|\n| a | 1 |");
    }
}
