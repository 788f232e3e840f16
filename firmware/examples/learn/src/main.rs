//! Learns on an emulated board, says what came of it, and counts what a step costs.
//!
//! The image has no panic path; `tadpool audit` says so.
#![no_std]
#![no_main]

use cortex_m_semihosting::hio::{self, HostStream};
use learn::{KINDS, Outcome, Pictures, Problem, RamFlash, Storage, play};
use pieces::{Clock, hundredths, report};
use static_cell::ConstStaticCell;
use tadpool_kernels::Fault;
use tadpool_learn::{Learner, Options};
use tadpool_model::{Arena, CLASSES, FEATURES, Model, Network as _};

/// Most of an inference that a step may take, with the images that are learned again, in
/// hundredths of a percent.
const MOST: u32 = 200;

static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new());
static STORAGE: ConstStaticCell<Storage<KINDS>> = ConstStaticCell::new(Storage::new());
/// For as many classes as the network has.
static LARGER: ConstStaticCell<Storage<CLASSES>> = ConstStaticCell::new(Storage::new());
static FLASH: ConstStaticCell<RamFlash> = ConstStaticCell::new(RamFlash::new());

#[cortex_m_rt::entry]
fn main() -> ! {
    let clock = Clock::start();
    let (Some(arena), Some(storage), Some(larger), Some(flash), Ok(mut host)) = (
        ARENA.try_take(),
        STORAGE.try_take(),
        LARGER.try_take(),
        FLASH.try_take(),
        hio::hstdout(),
    ) else {
        report(false)
    };
    let Ok(outcome) = play(arena, storage, flash) else {
        say(&mut host, "the head is not learned", None);
        report(false)
    };
    let Outcome {
        right: [old, of_old],
        right_with_new: [with_new, of_all],
        right_loaded: [loaded, _],
        checksum,
        loaded: of_loaded,
    } = outcome;
    // As `expected.txt` has it.
    for (text, of, number) in [
        ("right of ", Some((of_old, "")), old),
        ("right of ", Some((of_all, ", with a new class")), with_new),
        ("right of ", Some((of_all, ", loaded")), loaded),
        ("checksum", None, checksum),
        ("loaded", None, of_loaded),
    ] {
        say_part(&mut host, text.as_bytes());
        if let Some((of, rest)) = of {
            say_number(&mut host, of);
            say_part(&mut host, rest.as_bytes());
        }
        say(&mut host, "", Some(number));
    }
    match cost(clock, arena, larger) {
        Ok([inference, features, step]) => {
            say(&mut host, "instructions of an inference", Some(inference));
            say(&mut host, "of the features", Some(features));
            say(&mut host, "of a step and its repeats", Some(step));
            let bytes = size_of::<Learner<'_>>() as u32;
            say(&mut host, "of the learner, bytes", Some(bytes));
            report(hundredths(features.saturating_add(step), inference) <= MOST)
        }
        Err(_) => report(false),
    }
}

/// Instructions of an inference, of taking its features, and of learning from them with as many
/// classes as the network has: the most of several steps.
fn cost(
    clock: Clock,
    arena: &mut Arena,
    storage: &mut Storage<CLASSES>,
) -> Result<[u32; 3], Problem> {
    let mut pictures = Pictures::new();
    let trained = Model::trained_head().ok_or(Problem::Network(Fault::Geometry))?;
    let learner = Learner::trained(&trained, storage.memory(), Options::default());
    let mut learner = learner.map_err(Problem::Setup)?;
    let mut image = [0; FEATURES];
    pictures.draw(0, arena.input_mut());
    let start = clock.ticks();
    arena.infer().map(|_| ()).map_err(Problem::Network)?;
    let of_inference = clock.instructions_since(start);
    let start = clock.ticks();
    arena.features(&mut image).map_err(Problem::Network)?;
    let of_features = clock.instructions_since(start);
    let mut of_step = 0;
    for class in (0..CLASSES).chain(0..CLASSES) {
        let start = clock.ticks();
        learner.learn(&image, class).map_err(Problem::Learn)?;
        of_step = clock.instructions_since(start).max(of_step);
    }
    Ok([of_inference, of_features, of_step])
}

/// A line of a text and a number.
fn say(host: &mut HostStream, text: &str, number: Option<u32>) {
    say_part(host, text.as_bytes());
    if let Some(number) = number {
        say_part(host, b": ");
        say_number(host, number);
    }
    say_part(host, b"\n");
}

fn say_number(host: &mut HostStream, number: u32) {
    let mut digits = [b'0'; 10];
    let (mut rest, mut used) = (number, 0);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    say_part(host, digits.get(digits.len() - used..).unwrap_or(&[]));
}

fn say_part(host: &mut HostStream, bytes: &[u8]) {
    // Nobody may be listening.
    let _ = host.write_all(bytes);
}
