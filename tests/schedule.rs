//! Steps, buffers and their places.

mod support;

use std::fmt::Write as _;

use support::integer::quantized;
use tadpool::memory::MemoryPlan;
use tadpool::schedule::{Schedule, ScheduleConfig};
use tadpool_kernels::Buffer;

#[test]
fn every_plan_is_proved_smallest() {
    for fixture in support::manifest().model {
        let quantized = quantized(&fixture, &ScheduleConfig::default());
        assert!(quantized.memory.optimal, "{}", fixture.file);
        let highest = quantized
            .memory
            .height_by_step(&quantized.schedule.problem, quantized.schedule.steps.len())
            .into_iter()
            .max()
            .unwrap();
        assert_eq!(quantized.memory.arena_size, highest.next_multiple_of(8));
    }
}

#[test]
fn scratch_never_overlaps_what_its_step_uses() {
    let overlap =
        |a: Buffer, b: Buffer| a.offset < b.offset + b.size && b.offset < a.offset + a.size;
    for fixture in support::manifest().model {
        let quantized = quantized(&fixture, &ScheduleConfig::default());
        for step in &quantized.schedule.steps {
            let Some(scratch) = step.scratch.map(|id| quantized.memory.place(id)) else {
                continue;
            };
            for id in [step.input, step.output] {
                assert!(
                    !overlap(scratch, quantized.memory.place(id)),
                    "{}",
                    fixture.file
                );
            }
        }
    }
}

#[test]
fn memory_map() {
    let manifest = support::manifest();
    let fixture = manifest
        .model
        .iter()
        .find(|fixture| fixture.file == "pool_script17.onnx")
        .unwrap();
    let quantized = quantized(fixture, &ScheduleConfig::default());
    insta::assert_snapshot!(map(&quantized.schedule, &quantized.memory));
}

/// One line a buffer.
fn map(schedule: &Schedule, memory: &MemoryPlan) -> String {
    let mut text = format!("arena {} bytes\n", memory.arena_size);
    for (buffer, place) in schedule.problem.buffers.iter().zip(&memory.places) {
        writeln!(
            text,
            "{:5}..{:5}  steps {:2}..{:2}  {}",
            place.offset,
            place.offset + place.size,
            buffer.live.start,
            buffer.live.end,
            buffer.name
        )
        .unwrap();
    }
    text
}
