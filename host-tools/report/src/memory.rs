//! The arena over time: what lies where while each step runs.

use tadpool_compiler::compile::Compiled;

/// Labels that have room below the map.
const MOST_LABELS: usize = 20;

/// The content of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryMap {
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Whether no smaller one will do for this schedule.
    pub is_smallest: bool,
    /// How many steps there are.
    pub steps: usize,
    /// The steps during which most of it is taken, from 1 on.
    pub peak: Vec<usize>,
    /// The buffers that lie in it.
    pub buffers: Vec<MemoryBuffer>,
}

/// A buffer of the arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryBuffer {
    /// Its name.
    pub name: String,
    /// The step in which it is written first, from 0 on.
    pub from: usize,
    /// The one behind the step in which it is read last.
    pub to: usize,
    /// Its first byte.
    pub offset: usize,
    /// Its bytes.
    pub bytes: usize,
}

impl MemoryMap {
    /// That of a compiled model.
    pub fn of(compiled: &Compiled) -> Self {
        let (problem, memory) = (&compiled.schedule.problem, &compiled.memory);
        let steps = compiled.quantized.layers.len();
        let heights = memory.height_by_step(problem, steps);
        let highest = heights.iter().copied().max().unwrap_or(0);
        let peak = (1..)
            .zip(&heights)
            .filter(|(_, height)| **height == highest);
        let buffers = problem.buffers.iter().zip(&memory.places);
        let buffers = buffers.map(|(buffer, place)| MemoryBuffer {
            name: buffer.name.clone(),
            from: buffer.live.start as usize,
            to: (buffer.live.end as usize).min(steps),
            offset: place.offset,
            bytes: place.size,
        });
        Self {
            arena_bytes: memory.arena_size,
            is_smallest: memory.optimal,
            steps,
            peak: peak.map(|(step, _)| step).collect(),
            buffers: buffers
                .filter(|it| it.from < it.to && it.bytes > 0)
                .collect(),
        }
    }

    /// Buffers as boxes: their class, their place in CSS, and what they are.
    pub(crate) fn boxes(&self) -> Vec<(&'static str, String, String)> {
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        let each = |it: &MemoryBuffer| {
            let (steps, bytes) = (self.steps, self.arena_bytes);
            let place = format!(
                "left:{:.3}%;width:{:.3}%;bottom:{:.3}%;height:{:.3}%",
                percent(it.from, steps),
                percent(it.to - it.from, steps),
                percent(it.offset, bytes),
                percent(it.bytes, bytes),
            );
            let (first, last) = (it.from + 1, it.to);
            let when = match first == last {
                true => format!("step {first}"),
                false => format!("steps {first} to {last}"),
            };
            let about = format!(
                "{}: {} bytes from {} on, {when}",
                it.name, it.bytes, it.offset
            );
            (class(&it.name), place, about)
        };
        self.buffers.iter().map(each).collect()
    }

    /// Labels of steps: their place in CSS, and their number.
    pub(crate) fn step_labels(&self) -> Vec<(String, usize)> {
        let each = self.steps.div_ceil(MOST_LABELS).max(1);
        let labels = (0..self.steps).step_by(each).map(|step| {
            let middle = (step as f64 + 0.5) / self.steps.max(1) as f64;
            (format!("{:.3}%", 100.0 * middle), step + 1)
        });
        labels.collect()
    }

    /// Labels of bytes, about five round ones: their place in CSS, and their number.
    pub(crate) fn byte_labels(&self) -> Vec<(String, usize)> {
        let rough = self.arena_bytes as f64 / 5.0;
        let power = 10_f64.powf(rough.max(1.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = steps.into_iter().find(|&step| step >= rough);
        let step = step.unwrap_or(power).max(1.0) as usize;
        let labels = (0..=self.arena_bytes).step_by(step).map(|bytes| {
            let place = 100.0 * bytes as f64 / self.arena_bytes.max(1) as f64;
            (format!("{place:.3}%"), bytes)
        });
        labels.collect()
    }

    /// The steps of the peak, in words.
    pub(crate) fn peak_steps(&self) -> String {
        match &self.peak[..] {
            [step] => format!("step {step}"),
            steps => {
                let steps: Vec<String> = steps.iter().map(usize::to_string).collect();
                format!("steps {}", steps.join(", "))
            }
        }
    }
}

fn class(name: &str) -> &'static str {
    match name {
        "image" | "logits" => "end",
        name if name.ends_with(".scratch") => "scratch",
        _ => "map",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn made() -> MemoryMap {
        let buffer = |name: &str, from, to, offset, bytes| MemoryBuffer {
            name: name.into(),
            from,
            to,
            offset,
            bytes,
        };
        MemoryMap {
            arena_bytes: 1000,
            is_smallest: true,
            steps: 4,
            peak: vec![1],
            buffers: vec![
                buffer("image", 0, 1, 0, 600),
                buffer("stem", 0, 4, 600, 400),
                buffer("stem.scratch", 1, 2, 0, 100),
            ],
        }
    }

    #[test]
    fn boxes_lie_where_the_plan_has_them() {
        let boxes = made().boxes();
        assert_eq!(boxes[0].0, "end");
        assert_eq!(
            boxes[1].1,
            "left:0.000%;width:100.000%;bottom:60.000%;height:40.000%"
        );
        assert_eq!(boxes[2].2, "stem.scratch: 100 bytes from 0 on, step 2");
        assert_eq!(made().peak_steps(), "step 1");
    }

    #[test]
    fn labels_are_few_and_round() {
        let map = |steps, arena_bytes| MemoryMap {
            steps,
            arena_bytes,
            ..made()
        };
        for (steps, bytes) in [(1, 8), (20, 1000), (21, 10_544), (500, 3_000_000)] {
            let map = map(steps, bytes);
            assert!(
                (1..=MOST_LABELS).contains(&map.step_labels().len()),
                "{steps}"
            );
            assert!((2..=8).contains(&map.byte_labels().len()), "{bytes}");
        }
    }
}
