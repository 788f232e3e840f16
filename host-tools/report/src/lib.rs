//! The check, and predicted latency, each as one HTML page that needs nothing else: no
//! scripts, no fonts; one links to the other if that is asked for.

mod latency;
mod memory;
mod thumbnail;

use askama::Template;
use plotters::prelude::*;

use tadpool_compiler::check::{Check, Disagreement};
use tadpool_compiler::given::model_toml::InputDescription;
use thumbnail::thumbnail;

pub use latency::{LatencyPage, LatencyStep, latency};
pub use memory::{MemoryBuffer, MemoryMap};

/// The page is not made: a picture or the template failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the report: {0}")]
pub struct HtmlError(String);

/// The page for `check`, with sentences that a reader should see first, what is known of its
/// origin as pairs of name and value, and where the page of its latency is, seen from this one.
///
/// # Errors
/// A picture could not be drawn.
pub fn html(
    check: &Check,
    input: &InputDescription,
    notes: &[String],
    provenance: &[(&str, String)],
    link: Option<&str>,
) -> Result<String, HtmlError> {
    let failed = |error: &dyn std::fmt::Display| HtmlError(error.to_string());
    let sqnr: Vec<f64> = check
        .steps
        .iter()
        .map(|step| step.error.sqnr_db.unwrap_or(f64::NAN))
        .collect();
    let alone: Vec<f64> = check
        .steps
        .iter()
        .map(|step| step.alone.logit_error)
        .collect();
    let mut thumbnails = Vec::new();
    for image in &check.disagreements {
        thumbnails.push((
            image,
            thumbnail(&image.pixels, input).map_err(|e| failed(&e))?,
        ));
    }
    let largest = alone.iter().copied().fold(0.0, f64::max);
    let page = Page {
        check,
        sqnr: chart(&sqnr, "dB", Kind::Line).map_err(|e| failed(&e))?,
        alone: chart(&alone, "logit error", Kind::Bars).map_err(|e| failed(&e))?,
        worst: (largest > 0.0)
            .then(|| alone.iter().position(|&error| error == largest))
            .flatten(),
        thumbnails,
        notes,
        provenance,
        link,
    };
    page.render().map_err(|error| failed(&error))
}

#[derive(Template)]
#[template(path = "check.html")]
struct Page<'a> {
    check: &'a Check,
    sqnr: String,
    alone: String,
    worst: Option<usize>,
    thumbnails: Vec<(&'a Disagreement, String)>,
    notes: &'a [String],
    provenance: &'a [(&'a str, String)],
    link: Option<&'a str>,
}

impl Page<'_> {
    fn class(&self, class: &usize) -> &str {
        self.check.labels.get(*class).map_or("?", String::as_str)
    }

    fn is_worst(&self, step: &usize) -> bool {
        self.worst == Some(*step)
    }
}

fn percent(share: &f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn points(share: &f64) -> String {
    format!("{:+.2}", 100.0 * share)
}

fn small(value: &f64) -> String {
    format!("{value:.4}")
}

fn cosine(value: &f64) -> String {
    format!("{value:.6}")
}

fn decibels(value: &Option<f64>) -> String {
    value.map_or("exact".to_owned(), |value| format!("{value:.1}"))
}

fn steps(value: &Option<f64>) -> String {
    optional(*value, |value| format!("{value:.1}"))
}

fn count(value: &Option<usize>) -> String {
    optional(*value, |value| value.to_string())
}

fn share(value: &Option<f64>) -> String {
    optional(*value, |value| percent(&value))
}

/// A cell of the table.
fn optional<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Line,
    Bars,
}

/// Colours that stand for the page's own, which change with light and dark.
const INK: RGBColor = RGBColor(1, 2, 3);
const LINE: RGBColor = RGBColor(1, 2, 4);
const ACCENT: RGBColor = RGBColor(1, 2, 5);

/// One value a step, drawn as SVG.
fn chart(values: &[f64], unit: &str, kind: Kind) -> Result<String, Box<dyn std::error::Error>> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let highest = finite().fold(0.0, f64::max) * 1.1;
    let top = if highest > 0.0 { highest } else { 1.0 };
    // What tells the labels apart, of which there are about five.
    let decimals = (-(top / 5.0).log10().floor()).clamp(0.0, 12.0) as usize;
    let count = values.len() as f64;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (1100, 300)).into_drawing_area();
        let text = |size: u32| ("sans-serif", size).into_font().color(&INK);
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(42)
            .y_label_area_size(66)
            .build_cartesian_2d(0.5..count + 0.5, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(LINE)
            .light_line_style(TRANSPARENT)
            .axis_style(LINE)
            .x_labels(values.len().min(40))
            .y_labels(6)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.decimals$}"))
            .x_desc("step")
            .y_desc(unit)
            .label_style(text(15))
            .axis_desc_style(text(15))
            .draw()?;
        let points = || (1..).zip(values).filter(|(_, value)| value.is_finite());
        match kind {
            Kind::Line => {
                let line = points().map(|(step, &value)| (f64::from(step), value));
                chart.draw_series(LineSeries::new(line.clone(), ACCENT.stroke_width(2)))?;
                chart.draw_series(line.map(|at| Circle::new(at, 4, ACCENT.filled())))?;
            }
            Kind::Bars => {
                chart.draw_series(points().map(|(step, &value)| {
                    let middle = f64::from(step);
                    Rectangle::new(
                        [(middle - 0.35, 0.0), (middle + 0.35, value)],
                        ACCENT.filled(),
                    )
                }))?;
            }
        }
        area.present()?;
    }
    Ok(svg
        .replace("#010203", "var(--ink)")
        .replace("#010204", "var(--line)")
        .replace("#010205", "var(--accent)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_takes_the_colours_of_the_page() {
        for kind in [Kind::Line, Kind::Bars] {
            let svg = chart(&[40.0, f64::NAN, 30.0], "dB", kind).unwrap();
            assert!(svg.contains("var(--accent)") && svg.contains("var(--ink)"));
            assert!(!svg.contains("#01020"), "{svg}");
            let marks = svg.matches(if kind == Kind::Line {
                "<circle"
            } else {
                "<rect"
            });
            assert_eq!(marks.count(), 2);
        }
        assert!(chart(&[], "dB", Kind::Line).is_ok());
    }

    #[test]
    fn labels_differ() {
        for scale in [1e-6, 2.4e-3, 0.3, 1.0, 44.0, 3e4] {
            let svg = chart(&[scale], "logit error", Kind::Bars).unwrap();
            let lines: Vec<&str> = svg.lines().map(str::trim).collect();
            let mut labels: Vec<&str> = lines
                .into_iter()
                .filter(|l| l.parse::<f64>().is_ok())
                .collect();
            let all = labels.len();
            labels.sort_unstable();
            labels.dedup();
            // The step's own number may be one of them.
            assert!(all > 4 && labels.len() + 1 >= all, "{scale}: {labels:?}");
        }
    }
}
