//! The columns of a trace, by their names.

use super::{Reading, Sample};

/// Most columns.
const MOST_COLUMNS: usize = 64;

/// Where a trace has what is needed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Columns {
    separator: char,
    time: Column,
    current: Column,
    voltage: Option<Column>,
    pin: Option<Pin>,
}

/// A column, and what its unit is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Column {
    at: usize,
    factor: f64,
}

/// A pin: a column, or a digit of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pin {
    at: usize,
    digit: Option<usize>,
}

impl Columns {
    /// Those of a header.
    pub(super) fn of(header: &str, reading: &Reading) -> Result<Self, String> {
        let header = header.trim_start_matches(['\u{feff}', '#', ' ']);
        let separators = [',', ';', '\t'];
        let count = |separator: &char| header.matches(*separator).count();
        let separator = separators.into_iter().max_by_key(count).unwrap_or(',');
        let names: Vec<String> = header
            .split(separator)
            .take(MOST_COLUMNS)
            .map(|name| name.trim().trim_matches('"').to_lowercase())
            .collect();
        let find = |word: &str, units: &[(&str, f64)]| {
            let at = names.iter().position(|name| name.contains(word))?;
            Some(Column {
                at,
                factor: factor(&names[at], units),
            })
        };
        let lists = || format!("its columns are {}", names.join(", "));
        let seconds = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3)];
        let amperes = [("na", 1e-9), ("ua", 1e-6), ("µa", 1e-6), ("ma", 1e-3)];
        let time = find("time", &seconds)
            .ok_or_else(|| format!("no column of its header is a time; {}", lists()))?;
        let current = find("current", &amperes)
            .ok_or_else(|| format!("no column of its header is a current; {}", lists()))?;
        let voltage = find("voltage", &[("mv", 1e-3)]);
        if voltage.is_none() && reading.volts.is_none() {
            return Err("it has no voltage: name the supply's by `--volts 3.3`".to_owned());
        }
        let pin = match reading.threshold {
            Some(_) => None,
            None => Some(pin(&names, reading.pin.as_deref())?),
        };
        Ok(Self {
            separator,
            time,
            current,
            voltage,
            pin,
        })
    }

    /// The sample of a line.
    pub(super) fn sample(&self, line: &str, reading: &Reading) -> Result<Sample, String> {
        let mut fields = [""; MOST_COLUMNS];
        for (field, text) in fields.iter_mut().zip(line.split(self.separator)) {
            *field = text.trim().trim_matches('"');
        }
        let number = |column: &Column| -> Result<f64, String> {
            let text = fields[column.at];
            let parsed = match self.separator {
                ',' => text.parse::<f64>(),
                // Decimal commas, where they do not separate.
                _ => text.replace(',', ".").parse(),
            };
            let value = parsed.ok().filter(|value| value.is_finite());
            let value = value.ok_or_else(|| format!("`{}` is no number", shown(text)))?;
            Ok(value * column.factor)
        };
        let amperes = number(&self.current)?;
        let busy = match (&self.pin, reading.threshold) {
            (Some(pin), _) => {
                let text = fields[pin.at];
                let text = match pin.digit {
                    None => text,
                    Some(digit) => text.get(digit..=digit).unwrap_or(""),
                };
                match text {
                    "1" | "1.0" | "true" | "high" => true,
                    "0" | "0.0" | "false" | "low" => false,
                    text => return Err(format!("`{}` is no level of a pin", shown(text))),
                }
            }
            (None, threshold) => amperes > threshold.unwrap_or(0.0),
        };
        Ok(Sample {
            seconds: number(&self.time)?,
            amperes,
            volts: match &self.voltage {
                Some(column) => number(column)?,
                None => reading.volts.unwrap_or(0.0),
            },
            busy,
        })
    }
}

/// The unit of a column's name, in parentheses or brackets or at its end.
fn factor(name: &str, units: &[(&str, f64)]) -> f64 {
    let mut words = name.split(|letter: char| !letter.is_alphanumeric());
    let unit = words.rfind(|word| !word.is_empty()).unwrap_or("");
    let found = units.iter().find(|(name, _)| *name == unit);
    found.map_or(1.0, |(_, factor)| *factor)
}

/// The pin of a name, or the only one.
fn pin(names: &[String], wanted: Option<&str>) -> Result<Pin, String> {
    let mut pins: Vec<(String, Pin)> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let is_one = |name: &str| {
            let digits = name.strip_prefix('d').unwrap_or("");
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let word = |word: &str| name.contains(word);
        if name == "d0-d7" {
            let digit = |digit| {
                (
                    format!("d{digit}"),
                    Pin {
                        at,
                        digit: Some(digit),
                    },
                )
            };
            pins.extend((0..8).map(digit));
        } else if is_one(name) || word("gpi") || word("digital") || word("input") {
            pins.push((name.clone(), Pin { at, digit: None }));
        }
    }
    let listed = || {
        let names: Vec<&str> = pins.iter().map(|(name, _)| &name[..]).collect();
        names.join(", ")
    };
    match wanted.map(str::to_lowercase) {
        _ if pins.is_empty() => Err(
            "it has no digital column: record the pin too, or name a current by `--threshold MA`"
                .to_owned(),
        ),
        Some(wanted) => match pins.iter().find(|(name, _)| *name == wanted) {
            Some((_, pin)) => Ok(*pin),
            None => Err(format!(
                "it has no pin `{}`; it has {}",
                shown(&wanted),
                listed()
            )),
        },
        None if pins.len() == 1 => Ok(pins[0].1),
        None => Err(format!(
            "name the pin that is high by `--pin`; it has {}",
            listed()
        )),
    }
}

/// The beginning of a text.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
