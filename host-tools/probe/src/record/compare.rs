//! Two records, figure by figure.

use serde::Serialize;

use super::{Better, Figure, Origin, Record};

/// How much worse a figure may become, in percent of what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Tolerances {
    /// Where no other is given.
    pub percent: f64,
    /// For figures with a word in their names; of several the last one counts.
    pub by_name: Vec<(String, f64)>,
}

/// The outcome of comparing one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it was.
    Same,
    /// Another value, within the tolerance.
    Within,
    /// Better by more than the tolerance.
    Better,
    /// Worse by more than the tolerance.
    Worse,
    /// Only the first record has it.
    Gone,
    /// Only the second record has it.
    New,
    /// The units or origins differ: nothing can be said.
    Incomparable,
}

/// A figure of two records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Its name.
    pub name: String,
    /// Where it is from.
    pub origin: Origin,
    /// Its unit.
    pub unit: String,
    /// Its value in the first record.
    pub before: Option<f64>,
    /// Its value in the second one.
    pub after: Option<f64>,
    /// How much more it is, in percent; none of what was zero.
    pub percent: Option<f64>,
    /// How much worse it may become, in percent.
    pub tolerance_percent: f64,
    /// The outcome of comparing both values.
    pub verdict: Verdict,
}

/// A condition that the records do not share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Its name.
    pub name: String,
    /// In the first record.
    pub before: Option<String>,
    /// In the second one.
    pub after: Option<String>,
}

/// The differences between two records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Conditions that differ.
    pub conditions: Vec<Condition>,
    /// All figures, in the order of the first record.
    pub differences: Vec<Difference>,
}

impl Tolerances {
    /// That of a figure.
    fn of(&self, name: &str) -> f64 {
        let mut given = self.by_name.iter().rev();
        let found = given.find(|(word, _)| name.contains(&word[..]));
        found.map_or(self.percent, |(_, percent)| *percent)
    }
}

impl Verdict {
    /// Whether it fails a comparison.
    pub const fn is_regression(self) -> bool {
        matches!(self, Self::Worse | Self::Gone | Self::Incomparable)
    }

    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Within => "within",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Gone => "gone",
            Self::New => "new",
            Self::Incomparable => "not comparable",
        }
    }
}

impl Comparison {
    /// The figures that are worse, gone, or cannot be compared.
    pub fn regressions(&self) -> impl Iterator<Item = &Difference> {
        let all = self.differences.iter();
        all.filter(|difference| difference.verdict.is_regression())
    }
}

/// Compares two records.
pub fn compare(before: &Record, after: &Record, tolerances: &Tolerances) -> Comparison {
    let mut names: Vec<&String> = before.conditions.keys().collect();
    let others = after.conditions.keys();
    names.extend(others.filter(|name| !before.conditions.contains_key(*name)));
    let conditions = names.into_iter().map(|name| Condition {
        name: name.clone(),
        before: before.conditions.get(name).cloned(),
        after: after.conditions.get(name).cloned(),
    });
    let conditions = conditions.filter(|it| it.before != it.after);
    let old = before.figures.iter();
    let old = old.map(|figure| difference(Some(figure), after.figure(&figure.name), tolerances));
    let new = after.figures.iter();
    let new = new.filter(|figure| before.figure(&figure.name).is_none());
    let new = new.map(|figure| difference(None, Some(figure), tolerances));
    Comparison {
        conditions: conditions.collect(),
        differences: old.chain(new).flatten().collect(),
    }
}

fn difference(
    before: Option<&Figure>,
    after: Option<&Figure>,
    tolerances: &Tolerances,
) -> Option<Difference> {
    let figure = before.or(after)?;
    let tolerance_percent = tolerances.of(&figure.name);
    let values = before.zip(after);
    let percent = values
        .filter(|(before, _)| before.value != 0.0)
        .map(|(before, after)| 100.0 * (after.value - before.value) / before.value.abs());
    let verdict = match (before, after) {
        (_, None) => Verdict::Gone,
        (None, Some(_)) => Verdict::New,
        (Some(one), Some(two)) if one.unit != two.unit || one.origin != two.origin => {
            Verdict::Incomparable
        }
        (Some(one), Some(two)) if one.value == two.value => Verdict::Same,
        (Some(one), Some(two)) => {
            let more = two.value - one.value;
            let allowed = one.value.abs() * tolerance_percent / 100.0;
            let is_worse = (more > 0.0) == (one.better == Better::Lower);
            match (more.abs() <= allowed, is_worse) {
                (true, _) => Verdict::Within,
                (false, true) => Verdict::Worse,
                (false, false) => Verdict::Better,
            }
        }
    };
    Some(Difference {
        name: figure.name.clone(),
        origin: figure.origin,
        unit: figure.unit.clone(),
        before: before.map(|figure| figure.value),
        after: after.map(|figure| figure.value),
        percent,
        tolerance_percent,
        verdict,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn record(board: &str, figures: &[(&str, f64, Better)]) -> Record {
        let figure = |&(name, value, better): &(&str, f64, Better)| Figure {
            better,
            ..Figure::lower(name, Origin::Measured, value, "ms")
        };
        let conditions = BTreeMap::from([("board".to_owned(), board.to_owned())]);
        let figures = figures.iter().map(figure).collect();
        Record::new("bench", conditions, figures, serde_json::json!({}))
    }

    fn verdicts(comparison: &Comparison) -> Vec<(&str, Verdict)> {
        let all = comparison.differences.iter();
        all.map(|it| (&it.name[..], it.verdict)).collect()
    }

    #[test]
    fn worse_is_what_the_figure_says() {
        let before = record(
            "one",
            &[
                ("latency", 100.0, Better::Lower),
                ("stem/latency", 100.0, Better::Lower),
                ("top-1", 80.0, Better::Higher),
                ("stack", 10.0, Better::Lower),
                ("same", 1.0, Better::Lower),
                ("gone", 1.0, Better::Lower),
                ("zero", 0.0, Better::Lower),
            ],
        );
        let after = record(
            "two",
            &[
                ("latency", 101.9, Better::Lower),
                ("stem/latency", 104.0, Better::Lower),
                ("top-1", 77.0, Better::Higher),
                ("stack", 9.0, Better::Lower),
                ("same", 1.0, Better::Lower),
                ("zero", 1.0, Better::Lower),
                ("new", 1.0, Better::Lower),
            ],
        );
        let tolerances = Tolerances {
            percent: 2.0,
            by_name: vec![("stem/".to_owned(), 5.0)],
        };
        let comparison = compare(&before, &after, &tolerances);
        let expected = [
            ("latency", Verdict::Within),
            ("stem/latency", Verdict::Within),
            ("top-1", Verdict::Worse),
            ("stack", Verdict::Better),
            ("same", Verdict::Same),
            ("gone", Verdict::Gone),
            ("zero", Verdict::Worse),
            ("new", Verdict::New),
        ];
        assert_eq!(verdicts(&comparison), expected);
        assert_eq!(comparison.regressions().count(), 3);
        assert_eq!(comparison.conditions[0].name, "board");
        assert_eq!(comparison.conditions.len(), 1);
    }

    #[test]
    fn measured_and_predicted_are_not_compared() {
        let before = record("one", &[("latency", 100.0, Better::Lower)]);
        let mut after = before.clone();
        after.figures[0].origin = Origin::Predicted;
        let tolerances = Tolerances {
            percent: 50.0,
            by_name: Vec::new(),
        };
        let comparison = compare(&before, &after, &tolerances);
        assert_eq!(verdicts(&comparison), [("latency", Verdict::Incomparable)]);
    }
}
