//! How far off a prediction may be, by what predictions were compared with.

use std::fmt;

use serde::Serialize;
use tadpool_cycles::validation::Validated;

/// How far off a prediction may be, in percent of what would be measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Predictions for the core and for memories as those that were used were compared with
    /// measurements.
    Validated {
        /// How many programs were measured.
        programs: usize,
        /// The mean of the errors, without their signs.
        mean_percent: f64,
        /// The largest one.
        worst_percent: f64,
    },
    /// They were not.
    NotValidated,
}

impl From<Option<Validated>> for Bound {
    fn from(validated: Option<Validated>) -> Self {
        validated.map_or(Self::NotValidated, |it| Self::Validated {
            programs: it.programs,
            mean_percent: it.mean_percent,
            worst_percent: it.worst_percent,
        })
    }
}

impl Bound {
    /// The largest error, or that none is known, for a table.
    pub fn short(&self) -> String {
        match self {
            Self::Validated { worst_percent, .. } => format!("±{worst_percent} %"),
            Self::NotValidated => "not validated".to_owned(),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validated {
                programs,
                mean_percent,
                worst_percent,
            } => write!(
                f,
                "±{worst_percent} % (validated by {programs} measured programs, mean error \
                 {mean_percent} %)"
            ),
            Self::NotValidated => f.write_str("not validated"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_says_what_it_rests_on() {
        let validated = Validated {
            programs: 13,
            mean_percent: 1.1,
            worst_percent: 3.3,
        };
        let text = Bound::from(Some(validated)).to_string();
        assert_eq!(
            text,
            "±3.3 % (validated by 13 measured programs, mean error 1.1 %)"
        );
        assert_eq!(Bound::from(None).to_string(), "not validated");
    }
}
