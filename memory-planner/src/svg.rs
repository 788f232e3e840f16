//! A drawing of a plan: time across, address up.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use crate::{Buffer, Placement, Plan, Problem};

const WIDTH: f64 = 1240.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 46.0;
const PANEL: f64 = 560.0;
const FONT: f64 = 12.0;
/// An average character's width in parts of the font's size.
const CHARACTER: f64 = 0.6;

/// Draws the regions that are in use, one panel a region.
///
/// Each buffer is a rectangle with its name inside where there is room, and its figures
/// in a tool tip everywhere. The height is a line, the moments of peak live bytes a band.
/// Buffers that share bytes are both visible, as the rectangles are translucent.
pub fn draw(problem: &Problem, plan: &Plan) -> String {
    let placed = || problem.buffers.iter().zip(&plan.placements);
    let first = placed()
        .map(|(buffer, _)| buffer.live.start)
        .min()
        .unwrap_or(0);
    let last = placed()
        .map(|(buffer, _)| buffer.live.end)
        .max()
        .unwrap_or(1);
    let used: Vec<usize> = (0..problem.regions.len())
        .filter(|&region| placed().any(|(_, at)| at.region.index() == region))
        .collect();
    let height = used.len().max(1) as f64 * (TOP + PANEL + BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"{FONT}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (place, &region) in used.iter().enumerate() {
        let buffers: Vec<(usize, &Buffer, Placement)> = placed()
            .enumerate()
            .filter(|(_, (_, at))| at.region.index() == region)
            .map(|(index, (buffer, at))| (index, buffer, *at))
            .collect();
        let panel = Panel {
            name: &problem.regions[region].name,
            top: place as f64 * (TOP + PANEL + BOTTOM) + TOP,
            first,
            last: last.max(first.saturating_add(1)),
            height: plan.heights(problem)[region].max(1),
            buffers,
        };
        panel.draw(&mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The drawing of one region.
struct Panel<'a> {
    name: &'a str,
    top: f64,
    first: u32,
    last: u32,
    height: u64,
    buffers: Vec<(usize, &'a Buffer, Placement)>,
}

impl Panel<'_> {
    fn x(&self, moment: u32) -> f64 {
        let share = f64::from(moment - self.first) / f64::from(self.last - self.first);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, address: u64) -> f64 {
        self.top + PANEL * (1.0 - address as f64 / self.height as f64)
    }

    fn draw(&self, svg: &mut String) {
        // Writing to a string cannot fail.
        let _ = self.axes(svg);
        for (index, buffer, placement) in &self.buffers {
            let _ = self.rectangle(svg, *index, buffer, placement.offset);
        }
        let _ = self.marks(svg);
        // Names last, so that neither another buffer nor a mark covers one.
        for (_, buffer, placement) in &self.buffers {
            let _ = self.label(svg, buffer, placement.offset);
        }
    }

    fn axes(&self, svg: &mut String) -> fmt::Result {
        let (bottom, right) = (self.top + PANEL, WIDTH - RIGHT);
        for address in ticks(self.height) {
            let y = self.y(address);
            writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{address}</text>",
                LEFT - 6.0,
                y + 4.0
            )?;
        }
        for moment in ticks(u64::from(self.last - self.first)) {
            let moment = self.first + u32::try_from(moment).unwrap_or(0);
            let x = self.x(moment);
            writeln!(
                svg,
                "<path d=\"M{x:.1} {bottom}v5\" stroke=\"#444\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#444\">{moment}</text>",
                bottom + 18.0
            )?;
        }
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#444\">time</text>\
             <text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\" \
             fill=\"#444\">address (bytes)</text>",
            f64::midpoint(LEFT, right),
            bottom + 36.0,
            self.top + PANEL / 2.0
        )
    }

    /// The corners of a buffer: left, top, right, bottom.
    fn corners(&self, buffer: &Buffer, at: u64) -> [f64; 4] {
        let (x, end) = (self.x(buffer.live.start), self.x(buffer.live.end));
        [x, self.y(at + buffer.size), end, self.y(at)]
    }

    fn rectangle(&self, svg: &mut String, index: usize, buffer: &Buffer, at: u64) -> fmt::Result {
        let [x, y, end, floor] = self.corners(buffer, at);
        // Neighbours differ in colour: the hue turns by the golden angle.
        let hue = (index as f64 * 137.508) % 360.0;
        writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             fill=\"hsl({hue:.0},60%,72%)\" fill-opacity=\"0.75\" stroke=\"hsl({hue:.0},45%,38%)\" \
             stroke-width=\"0.8\"><title>{}: {} bytes at {at}, live [{}, {})</title></rect>",
            end - x,
            floor - y,
            escape(&buffer.name),
            buffer.size,
            buffer.live.start,
            buffer.live.end
        )
    }

    fn label(&self, svg: &mut String, buffer: &Buffer, at: u64) -> fmt::Result {
        let [x, y, end, floor] = self.corners(buffer, at);
        let Some((label, size, upright)) = label(&buffer.name, end - x, floor - y) else {
            return Ok(());
        };
        let (cx, cy) = (f64::midpoint(x, end), f64::midpoint(y, floor));
        let turn = if upright { " rotate(-90)" } else { "" };
        writeln!(
            svg,
            "<text transform=\"translate({cx:.1} {cy:.1}){turn}\" dy=\"0.35em\" \
             text-anchor=\"middle\" font-size=\"{size:.1}\" pointer-events=\"none\" \
             stroke=\"#fff\" stroke-opacity=\"0.7\" stroke-width=\"2.5\" paint-order=\"stroke\">{}</text>",
            escape(&label)
        )
    }

    /// The height and the moments of peak live bytes.
    fn marks(&self, svg: &mut String) -> fmt::Result {
        let (peak, start, end) = self.peak();
        let (x, width) = (self.x(start), (self.x(end) - self.x(start)).max(2.0));
        let right = WIDTH - RIGHT;
        writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{PANEL}\" fill=\"none\" \
             stroke=\"#c00\" stroke-width=\"1.5\" stroke-dasharray=\"5 3\"/>\
             <path d=\"M{:.1} {:.1}l-5 -8h10z\" fill=\"#c00\"/>\
             <path d=\"M{LEFT} {:.1}H{right}\" stroke=\"#c00\" stroke-width=\"1.5\"/>",
            self.top,
            x + width / 2.0,
            self.top - 1.0,
            self.top
        )?;
        writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{:.1}\" font-size=\"15\" font-weight=\"bold\">{}</text>\
             <text x=\"{LEFT}\" y=\"{:.1}\" fill=\"#c00\">height {} bytes, peak live {peak} bytes \
             at [{start}, {end})</text>",
            self.top - 34.0,
            escape(self.name),
            self.top - 16.0,
            self.height
        )
    }

    /// The most bytes that are live together, and the first moments at which they are.
    fn peak(&self) -> (u64, u32, u32) {
        let mut events: Vec<(u32, bool, u64)> = Vec::new();
        for (_, buffer, _) in &self.buffers {
            events.push((buffer.live.start, true, buffer.size));
            events.push((buffer.live.end, false, buffer.size));
        }
        events.sort_unstable();
        let (mut live, mut best) = (0, (0, self.first, self.last));
        for (place, &(moment, starts, size)) in events.iter().enumerate() {
            live = if starts { live + size } else { live - size };
            // Only what all events of a moment leave is live then.
            if let Some(&(next, ..)) = events.get(place + 1)
                && next > moment
                && live > best.0
            {
                best = (live, moment, next);
            }
        }
        best
    }
}

/// Round numbers from 0 to `most`, at most nine.
fn ticks(most: u64) -> impl Iterator<Item = u64> {
    let powers = (0..20).map(|exponent| 10_u64.saturating_pow(exponent));
    let mut steps = powers.flat_map(|power| [1, 2, 5].map(|digit| power.saturating_mul(digit)));
    let step = steps.find(|step| most / step <= 8).unwrap_or(u64::MAX);
    (0..=most / step).map(move |tick| tick * step)
}

/// A name as it fits into a rectangle: the text, its size, and whether it is upright.
fn label(name: &str, width: f64, height: f64) -> Option<(String, f64, bool)> {
    const SMALLEST: f64 = 7.0;
    let count = name.chars().count().max(1) as f64;
    let size = |along: f64, across: f64| {
        FONT.min(across * 0.85)
            .min((along - 3.0) / (count * CHARACTER))
    };
    let (flat, upright) = (size(width, height), size(height, width));
    if flat >= SMALLEST {
        return Some((name.to_owned(), flat, false));
    }
    if upright >= SMALLEST {
        return Some((name.to_owned(), upright, true));
    }
    // The end of the name is better than nothing, as long as some of it is left.
    let (along, across, turned) = if width >= height {
        (width, height, false)
    } else {
        (height, width, true)
    };
    let room = ((along - 3.0) / (SMALLEST * CHARACTER)) as usize;
    if across * 0.85 < SMALLEST || room < 4 {
        return None;
    }
    let skip = name.chars().count().saturating_sub(room - 1);
    let short = core::iter::once('…')
        .chain(name.chars().skip(skip))
        .collect();
    Some((short, SMALLEST, turned))
}

/// Text for XML, in content and in attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            // XML has no way to write the other control characters.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    use crate::{Budget, BufferId, Region, RegionId, Relation, solve};

    fn problem() -> Problem {
        let mut problem = Problem::with_capacity(1000);
        problem.add_buffer(Buffer::new("x<0> & \"y\"", 0..4, 100));
        problem.add_buffer(Buffer::new("scratch", 1..2, 60));
        problem.add_buffer(Buffer::new("out", 3..5, 80));
        problem
    }

    fn draw(problem: &Problem) -> String {
        let solution = solve(problem, &Budget::default()).unwrap();
        super::draw(problem, &solution.plan)
    }

    #[test]
    fn names_are_escaped_and_the_peak_is_marked() {
        let svg = draw(&problem());
        assert!(svg.contains("x&lt;0&gt; &amp; &quot;y&quot;"), "{svg}");
        assert!(
            svg.contains("height 180 bytes, peak live 180 bytes at [3, 4)"),
            "{svg}"
        );
        let place = |text: &str| svg.find(text).unwrap();
        assert!(
            place("stroke-dasharray") < place(">scratch</text>"),
            "{svg}"
        );
    }

    #[test]
    fn every_used_region_has_a_panel() {
        let mut problem = problem();
        problem.add_region(Region {
            name: "external".into(),
            capacity: 1000,
        });
        problem.add_region(Region {
            name: "unused".into(),
            capacity: 1000,
        });
        problem.buffers[1].regions = vec![RegionId(1)];
        let svg = draw(&problem);
        assert!(svg.contains(">arena<") && svg.contains(">external<"));
        assert!(!svg.contains(">unused<"));
    }

    #[test]
    fn odd_problems_are_drawn_too() {
        assert!(super::draw(&Problem::default(), &Plan::default()).ends_with("</svg>\n"));
        let mut problem = Problem::with_capacity(u64::MAX);
        let a = problem.add_buffer(Buffer::new("\u{1}", 0..u32::MAX, 1 << 40));
        let b = problem.add_buffer(Buffer::new("", u32::MAX - 1..u32::MAX, 0));
        problem.relations.push(Relation::MayAlias { a, b });
        assert_eq!(b, BufferId(1));
        assert!(draw(&problem).contains('\u{fffd}'));
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (most, expected) in [
            (0, vec![0]),
            (7, (0..=7).collect()),
            (80, (0..=8).map(|t| t * 10).collect()),
        ] {
            assert_eq!(ticks(most).collect::<Vec<_>>(), expected);
        }
        assert!(ticks(u64::MAX).count() <= 9);
    }
}
