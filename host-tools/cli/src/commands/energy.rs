//! `tadpool energy`.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tadpool_probe::power::{Energy, Reading, energy};
use tadpool_probe::record::{Figure, Origin, Record};

use super::record::MEASURED;

/// Samples of an inference below which its ends blur the energy by more than a percent.
const FEW_SAMPLES: f64 = 200.0;
/// Percent by which the pin may differ from the counter.
const MOST_DIFFERENCE: f64 = 5.0;

#[derive(Debug, Args)]
pub(crate) struct EnergyArgs {
    /// The record of `tadpool bench --record` on the board.
    record: PathBuf,
    /// The profiler's CSV file: time, current, perhaps voltage, and the pin that is high
    /// during an inference (Nordic PPK2, Joulescope, Qoitech Otii).
    #[arg(long, value_name = "FILE.csv")]
    trace: PathBuf,
    /// The column of the pin, if there are several: D0, gpi0, ...
    #[arg(long, value_name = "COLUMN", conflicts_with = "threshold")]
    pin: Option<String>,
    /// Take an inference to run while the current is above this, where no pin was recorded.
    #[arg(long, value_name = "MA", value_parser = positive)]
    threshold: Option<f64>,
    /// The supply's voltage, where the trace has none.
    #[arg(long, value_name = "VOLTS", value_parser = positive)]
    volts: Option<f64>,
    /// Write the record with the energy in it; may be the same file.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(crate) struct EnergyReport {
    model: String,
    board: String,
    trace: PathBuf,
    /// Milliseconds by the board's counter, if the record has them.
    measured_ms: Option<f64>,
    #[serde(flatten)]
    energy: Energy,
    output: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && value < 1e6 => Ok(value),
        _ => Err("a number above zero".to_owned()),
    }
}

impl EnergyArgs {
    pub(crate) fn run(self) -> anyhow::Result<EnergyReport> {
        let mut record = Record::read(&self.record)?;
        let reading = Reading {
            pin: self.pin,
            threshold: self.threshold.map(|milliamperes| milliamperes / 1e3),
            volts: self.volts,
        };
        let energy = energy(&self.trace, &reading)?;
        let measured_ms = record.figure(MEASURED).map(|figure| figure.value);
        if let Some(path) = &self.output {
            let new = figures(&energy);
            let is_new = |old: &Figure| new.iter().all(|new| new.name != old.name);
            record.figures.retain(is_new);
            record.figures.extend(new);
            record.write(path)?;
        }
        let condition = |name: &str| record.condition(name).unwrap_or("unknown").to_owned();
        Ok(EnergyReport {
            model: condition("model"),
            board: condition("board"),
            trace: self.trace,
            measured_ms,
            energy,
            output: self.output,
        })
    }
}

/// The figures that a record gets.
fn figures(energy: &Energy) -> Vec<Figure> {
    let figure = |name: &str, value, unit| Figure::lower(name, Origin::Measured, value, unit);
    vec![
        figure("energy", energy.joules.mean * 1e3, "mJ"),
        figure("mean current", energy.mean_amperes * 1e3, "mA"),
        figure("peak current", energy.peak_amperes * 1e3, "mA"),
        figure("time of the pin", energy.seconds * 1e3, "ms"),
    ]
}

impl fmt::Display for EnergyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.energy;
        let (model, board) = (&self.model, &self.board);
        writeln!(f, "{model} on {board}, {}", self.trace.display())?;
        writeln!(
            f,
            "energy of an inference  {:.4} mJ ({:.4} to {:.4}), {} inferences",
            it.joules.mean * 1e3,
            it.joules.min * 1e3,
            it.joules.max * 1e3,
            it.inferences
        )?;
        writeln!(
            f,
            "mean current            {:.3} mA at {:.3} V",
            it.mean_amperes * 1e3,
            it.volts
        )?;
        writeln!(f, "peak current            {:.3} mA", it.peak_amperes * 1e3)?;
        if let Some(idle) = it.idle_amperes {
            writeln!(f, "between inferences      {:.4} mA", idle * 1e3)?;
        }
        write!(f, "time of an inference    {:.3} ms", it.seconds * 1e3)?;
        match self.measured_ms {
            Some(ms) => writeln!(f, "; {ms:.3} by the board's counter")?,
            None => writeln!(f)?,
        }
        if it.left_out > 0 {
            writeln!(
                f,
                "note: {} inferences left out, in which samples are missing",
                it.left_out
            )?;
        }
        if it.samples < FEW_SAMPLES {
            writeln!(
                f,
                "note: an inference has {:.0} samples; its ends blur the energy by about {:.1} %",
                it.samples,
                100.0 / it.samples
            )?;
        }
        if let Some(ms) = self.measured_ms
            && (1e3 * it.seconds / ms - 1.0).abs() * 100.0 > MOST_DIFFERENCE
        {
            writeln!(
                f,
                "note: that is not the time of the record; is it the same firmware, and the pin \
                 that `busy_pin` in the board's file names?"
            )?;
        }
        match &self.output {
            Some(path) => writeln!(f, "recorded in {}", path.display()),
            None => Ok(()),
        }
    }
}
