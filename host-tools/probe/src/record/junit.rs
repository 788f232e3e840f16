//! A comparison as JUnit's XML, which continuous integration shows.

use std::fmt::Write as _;

use super::compare::{Comparison, Difference};

/// The XML: a test a figure, which fails if it is worse, gone or not comparable.
pub fn junit(name: &str, comparison: &Comparison) -> String {
    let tests = comparison.differences.len();
    let failures = comparison.regressions().count();
    let name = escaped(name);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing into a string does not fail.
    let _ = writeln!(
        xml,
        "<testsuites>\n<testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\">"
    );
    for difference in &comparison.differences {
        let figure = escaped(&difference.name);
        let _ = write!(xml, "<testcase classname=\"{name}\" name=\"{figure}\"");
        if difference.verdict.is_regression() {
            let said = escaped(&sentence(difference));
            let _ = writeln!(xml, "><failure message=\"{said}\"/></testcase>");
        } else {
            xml.push_str("/>\n");
        }
    }
    xml.push_str("</testsuite>\n</testsuites>\n");
    xml
}

/// The verdict on a figure, as a sentence.
fn sentence(it: &Difference) -> String {
    let value = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |it| it.to_string());
    let percent = it
        .percent
        .map_or_else(String::new, |it| format!(", {it:+.2} %"));
    format!(
        "{}: {} {} before, {} now{percent}; {} % are allowed",
        it.verdict.word(),
        value(it.before),
        it.unit,
        value(it.after),
        it.tolerance_percent
    )
}

/// Text for an attribute; what XML has no place for is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            character if character.is_control() => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::record::compare::{Tolerances, compare};
    use crate::record::{Figure, Origin, Record};

    #[test]
    fn what_is_worse_is_a_failure() {
        let record = |values: [f64; 2]| {
            let names = ["<a> \"quoted\"\u{1b}", "b"];
            let figures = names.into_iter().zip(values);
            let figures =
                figures.map(|(name, value)| Figure::lower(name, Origin::Counted, value, "bytes"));
            let conditions = BTreeMap::new();
            Record::new("run", conditions, figures.collect(), serde_json::json!({}))
        };
        let tolerances = Tolerances {
            percent: 1.0,
            by_name: Vec::new(),
        };
        let comparison = compare(&record([1.0, 2.0]), &record([2.0, 2.0]), &tolerances);
        let xml = junit("a & b", &comparison);
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites>
<testsuite name=\"a &amp; b\" tests=\"2\" failures=\"1\">
<testcase classname=\"a &amp; b\" name=\"&lt;a&gt; &quot;quoted&quot; \"><failure \
message=\"worse: 1 bytes before, 2 now, +100.00 %; 1 % are allowed\"/></testcase>
<testcase classname=\"a &amp; b\" name=\"b\"/>
</testsuite>
</testsuites>
";
        assert_eq!(xml, expected);
    }
}
