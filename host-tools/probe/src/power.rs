//! Traces of a power profiler: the energy of an inference, from the current while a pin is
//! high.
//!
//! A trace is a CSV file with a header, one line a sample. Its columns are known by name:
//! a time, a current, perhaps a voltage, and digital inputs.
//!
//! | instrument | columns |
//! |---|---|
//! | Nordic PPK2 | `Timestamp(ms),Current(uA),D0-D7`, the pins as a word of eight digits, D0 first; or `D0` to `D7`, one each |
//! | Joulescope | `#time (s),current (A),voltage (V)`, perhaps inputs such as `gpi0` |
//! | Qoitech Otii | a time, `Main current (A)`, `Main voltage (V)`, `GPI1`, whatever was recorded, joined in one file |

mod columns;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tadpool_input::{InputError, Kind, RegularFile};

use columns::Columns;

/// The file of a trace: some minutes at a hundred thousand samples a second.
const FILE: Kind = Kind {
    name: "a trace of a power profiler",
    max_bytes: 8 << 30,
};
/// Most bytes of a line.
const MOST_LINE: u64 = 4096;
/// An inference with a gap of more than so many times the usual distance of samples is left
/// out.
const MOST_GAP: f64 = 10.0;

/// How a trace is read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The digital column that is high during an inference; the only one if none is named.
    pub pin: Option<String>,
    /// Amperes from which on an inference is taken to run, instead of a pin.
    pub threshold: Option<f64>,
    /// The supply's volts, where the trace has none.
    pub volts: Option<f64>,
}

/// The energy and current of the inferences in a power trace.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Energy {
    /// Inferences of which the trace has the beginning and the end.
    pub inferences: u64,
    /// Those that were left out, because samples are missing.
    pub left_out: u64,
    /// Samples of an inference, on the mean.
    pub samples: f64,
    /// Seconds of an inference, on the mean.
    pub seconds: f64,
    /// Joules of an inference.
    pub joules: Spread,
    /// Amperes during inferences, on the mean.
    pub mean_amperes: f64,
    /// The most amperes of a sample during an inference.
    pub peak_amperes: f64,
    /// Amperes between inferences, on the mean; none if there are none between.
    pub idle_amperes: Option<f64>,
    /// Volts, on the mean.
    pub volts: f64,
}

/// Of several inferences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The most.
    pub max: f64,
}

/// A trace that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// The file cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file cannot be read to its end.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The file system's error.
        source: std::io::Error,
    },
    /// The header does not name what is needed.
    #[error("`{}`: {problem}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The column that is missing, and the remedy.
        problem: String,
    },
    /// A line is not what the header says.
    #[error("`{}`, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1 on.
        line: u64,
        /// The reason, in words.
        problem: String,
    },
    /// No inference is in it as a whole.
    #[error(
        "`{}` has no whole inference in {samples} samples: {why}", path.display()
    )]
    NoInference {
        /// The file.
        path: PathBuf,
        /// How many samples it has.
        samples: u64,
        /// The values of the pin or the current that rule it out.
        why: String,
    },
}

/// A sample.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    seconds: f64,
    amperes: f64,
    volts: f64,
    busy: bool,
}

/// Reads a trace.
///
/// # Errors
/// A [`PowerError`] that names the file, and the line where it is one's fault.
pub fn energy(path: &Path, reading: &Reading) -> Result<Energy, PowerError> {
    let RegularFile { file, .. } = tadpool_input::open(path, FILE)?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut number = 0;
    let mut columns: Option<Columns> = None;
    let mut added = Added::default();
    loop {
        line.clear();
        let read = (&mut reader).take(MOST_LINE).read_until(b'\n', &mut line);
        let bytes = read.map_err(|source| PowerError::Read {
            path: path.to_owned(),
            source,
        })?;
        if bytes == 0 {
            break;
        }
        number += 1;
        let failed = |problem: String| PowerError::Line {
            path: path.to_owned(),
            line: number,
            problem,
        };
        if bytes as u64 == MOST_LINE {
            return Err(failed("the line is longer than any of a trace".to_owned()));
        }
        let text = std::str::from_utf8(&line).map_err(|_| failed("it is no text".to_owned()))?;
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        match &columns {
            None => {
                let found = Columns::of(text, reading);
                columns = Some(found.map_err(|problem| PowerError::Header {
                    path: path.to_owned(),
                    problem,
                })?);
            }
            Some(columns) => {
                let sample = columns.sample(text, reading).map_err(failed)?;
                added.add(sample).map_err(failed)?;
            }
        }
    }
    added.energy().ok_or_else(|| PowerError::NoInference {
        path: path.to_owned(),
        samples: added.samples,
        why: added.why(),
    })
}

/// Sums over the samples so far.
#[derive(Debug, Default)]
struct Added {
    samples: u64,
    last: Option<Sample>,
    /// The first distance of two samples.
    usual: Option<f64>,
    /// The inference that runs, if its beginning was seen.
    current: Option<Inference>,
    inferences: Vec<Inference>,
    left_out: u64,
    idle: Inference,
    has_been: [bool; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct Inference {
    samples: u64,
    seconds: f64,
    joules: f64,
    coulombs: f64,
    peak: f64,
    has_gap: bool,
}

impl Added {
    fn add(&mut self, sample: Sample) -> Result<(), String> {
        self.samples += 1;
        self.has_been[usize::from(sample.busy)] = true;
        if let Some(last) = self.last.replace(sample) {
            let seconds = sample.seconds - last.seconds;
            if seconds <= 0.0 {
                return Err("its time is not after that of the line before".to_owned());
            }
            let usual = *self.usual.get_or_insert(seconds);
            if last.busy {
                if let Some(current) = &mut self.current {
                    current.add(&last, seconds, usual);
                }
            } else if seconds <= MOST_GAP * usual {
                self.idle.add(&last, seconds, usual);
            }
            match (last.busy, sample.busy) {
                (false, true) => self.current = Some(Inference::default()),
                (true, false) => match self.current.take() {
                    Some(inference) if inference.has_gap => self.left_out += 1,
                    Some(inference) => self.inferences.push(inference),
                    None => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    fn energy(&self) -> Option<Energy> {
        let count = self.inferences.len();
        if count == 0 {
            return None;
        }
        let sum = |of: fn(&Inference) -> f64| self.inferences.iter().map(of).sum::<f64>();
        let joules = self.inferences.iter().map(|it| it.joules);
        let (seconds, coulombs) = (sum(|it| it.seconds), sum(|it| it.coulombs));
        let all = sum(|it| it.joules);
        Some(Energy {
            inferences: count as u64,
            left_out: self.left_out,
            samples: sum(|it| it.samples as f64) / count as f64,
            seconds: seconds / count as f64,
            joules: Spread {
                min: joules.clone().fold(f64::INFINITY, f64::min),
                mean: all / count as f64,
                max: joules.fold(f64::NEG_INFINITY, f64::max),
            },
            mean_amperes: coulombs / seconds,
            peak_amperes: self.inferences.iter().map(|it| it.peak).fold(0.0, f64::max),
            idle_amperes: (self.idle.seconds > 0.0).then(|| self.idle.coulombs / self.idle.seconds),
            volts: if coulombs == 0.0 { 0.0 } else { all / coulombs },
        })
    }

    /// Why there is no inference.
    fn why(&self) -> String {
        match (self.has_been, self.left_out) {
            (_, 1..) => "samples are missing in every one".to_owned(),
            ([true, true], _) => "none begins and ends within the trace".to_owned(),
            ([true, false], _) => {
                "the pin is never high, or the current never above the threshold".to_owned()
            }
            _ => "the pin is never low, or the current never below the threshold".to_owned(),
        }
    }
}

impl Inference {
    /// A sample that counts for `seconds`, until the next one.
    fn add(&mut self, sample: &Sample, seconds: f64, usual: f64) {
        self.samples += 1;
        self.seconds += seconds;
        self.coulombs += sample.amperes * seconds;
        self.joules += sample.amperes * sample.volts * seconds;
        self.peak = self.peak.max(sample.amperes);
        self.has_gap |= seconds > MOST_GAP * usual;
    }
}

#[cfg(test)]
mod tests;
