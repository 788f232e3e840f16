//! The predicted latency of a model's steps, as a page of its own.

use askama::Template;

use super::HtmlError;
use super::memory::MemoryMap;

/// The content of the page. Figures are cycles of the core.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyPage {
    /// The model's name.
    pub model: String,
    /// The board's.
    pub board: String,
    /// Cycles of its core in a second, if they are known.
    pub clock_hz: Option<u32>,
    /// How far off the prediction may be.
    pub bound: String,
    /// All of an inference.
    pub total: u64,
    /// The part of it that would be left if all memories answered at once.
    pub compute: u64,
    /// Waits for data.
    pub data: u64,
    /// Waits for code.
    pub code: u64,
    /// The steps.
    pub steps: Vec<LatencyStep>,
    /// The buffers in the arena, by step.
    pub memory: MemoryMap,
    /// Where the page of the check is, seen from this one, if it is to be linked.
    pub link: Option<String>,
    /// The origin of the figures, as pairs of name and value.
    pub provenance: Vec<(&'static str, String)>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyStep {
    /// Its name.
    pub name: String,
    /// Its multiply-accumulates.
    pub macs: u64,
    /// All of its cycles.
    pub cycles: u64,
    /// Cycles with memories that answer at once.
    pub compute: u64,
    /// Cycles that it waits for data.
    pub data: u64,
    /// Cycles that it waits for code.
    pub code: u64,
}

/// The page, which needs nothing else: no scripts, no fonts, no links.
///
/// # Errors
/// The template failed.
pub fn latency(page: &LatencyPage) -> Result<String, HtmlError> {
    let longest = page.steps.iter().map(|step| step.cycles).max();
    let axis = Axis::of(longest.unwrap_or(0), page.clock_hz);
    let page = Page { page, axis };
    page.render().map_err(|error| HtmlError(error.to_string()))
}

#[derive(Template)]
#[template(path = "latency.html")]
struct Page<'a> {
    page: &'a LatencyPage,
    axis: Axis,
}

/// The axis below the bars.
struct Axis {
    /// Cycles at its end.
    end: u64,
    /// Places, as CSS has them, and labels.
    ticks: Vec<(String, String)>,
    unit: &'static str,
}

impl Axis {
    /// Of bars of up to `longest` cycles: about five round figures.
    fn of(longest: u64, clock_hz: Option<u32>) -> Self {
        let (unit, cycles_each) = match clock_hz {
            Some(hz) => ("milliseconds", f64::from(hz) / 1e3),
            None => ("million cycles", 1e6),
        };
        let top = longest.max(1) as f64 / cycles_each;
        let rough = top / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = steps.into_iter().find(|&step| step >= rough);
        let step = step.unwrap_or(rough);
        let count = (top / step).ceil().max(1.0);
        let end = count * step;
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let tick = |at: u32| {
            let value = f64::from(at) * step;
            let place = format!("{:.2}%", 100.0 * value / end);
            (place, format!("{value:.decimals$}"))
        };
        Self {
            end: (end * cycles_each).ceil() as u64,
            ticks: (0..=count as u32).map(tick).collect(),
            unit,
        }
    }
}

fn width(cycles: &u64, end: &u64) -> String {
    format!("{:.3}%", 100.0 * *cycles as f64 / (*end).max(1) as f64)
}

fn share(part: &u64, whole: &u64) -> String {
    format!("{:.1} %", 100.0 * *part as f64 / (*whole).max(1) as f64)
}

fn ms(cycles: &u64, clock_hz: &Option<u32>) -> String {
    let ms = clock_hz.map(|hz| 1e3 * *cycles as f64 / f64::from(hz));
    ms.map_or_else(String::new, |ms| format!("{ms:.3}"))
}

fn amount(cycles: &u64, clock_hz: &Option<u32>) -> String {
    match clock_hz {
        Some(_) => format!("{} ms", ms(cycles, clock_hz)),
        None => format!("{:.3} M cycles", *cycles as f64 / 1e6),
    }
}

fn megahertz(hz: &u32) -> String {
    (f64::from(*hz) / 1e6).to_string()
}

fn each(cycles: &u64, macs: &u64) -> String {
    match macs {
        0 => "–".to_owned(),
        macs => format!("{:.3}", *cycles as f64 / *macs as f64),
    }
}

fn grouped_size(bytes: &usize) -> String {
    grouped(&(*bytes as u64))
}

/// `1234567` with thin spaces.
fn grouped(number: &u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::tests::made;

    fn page(clock_hz: Option<u32>) -> String {
        let step = |name: &str, compute, data, code| LatencyStep {
            name: name.into(),
            macs: 1000,
            cycles: compute + data + code,
            compute,
            data,
            code,
        };
        latency(&LatencyPage {
            model: "a <b>".into(),
            board: "board".into(),
            clock_hz,
            bound: "not validated".into(),
            total: 4_000_000,
            compute: 2_000_000,
            data: 1_500_000,
            code: 500_000,
            steps: vec![
                step("stem", 1_500_000, 1_400_000, 400_000),
                step("head", 500_000, 100_000, 100_000),
            ],
            memory: made(),
            link: Some("check.html".into()),
            provenance: vec![("memories", "made up".into())],
        })
        .unwrap()
    }

    #[test]
    fn bars_have_an_axis_with_its_unit() {
        let html = page(Some(100_000_000));
        for text in [
            "40.000 ms",
            "50.0 %",
            "milliseconds</b>",
            "width: 37.500%",
            ">33.000 ms</div>",
            "<h1>a &#60;b&#62; on board</h1>",
            "title=\"stem: 400 bytes from 600 on, steps 1 to 4\"",
            "<a href=\"check.html\">",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("http"), "it is to need nothing else");
        assert!(page(None).contains("million cycles</b>"));
    }

    #[test]
    fn axes_have_a_few_round_figures() {
        for longest in [1, 17, 999, 12_345, 3_300_000, 4_000_000_000] {
            let axis = Axis::of(longest, Some(120_000_000));
            assert!((2..=7).contains(&axis.ticks.len()), "{longest}");
            assert!(axis.end >= longest, "{longest}");
            let labels: std::collections::BTreeSet<_> =
                axis.ticks.iter().map(|(_, label)| label).collect();
            assert_eq!(labels.len(), axis.ticks.len(), "{longest}");
        }
    }
}
