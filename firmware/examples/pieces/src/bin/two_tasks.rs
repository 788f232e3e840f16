//! Two tasks of one executor: an inference that yields after every piece, and a heartbeat
//! that counts how long it has to wait for its next turn.
#![no_std]
#![no_main]

use core::cell::Cell;

use cortex_m_semihosting::hprintln;
use embassy_executor::{Executor, Spawner};
use embassy_futures::yield_now;
use pieces::{Clock, fail, hundredths, picture, report};
use static_cell::{ConstStaticCell, StaticCell};
use tadpool_model::{Arena, Fault, Status};

/// Most of an inference that a piece may take, and that all pieces together may take more
/// than the whole, in hundredths of a percent.
const LONGEST: u32 = 200;
const OVERHEAD: u32 = 100;

static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new());

/// How long the heartbeat has waited at most, in instructions.
struct Waits {
    longest: Cell<u32>,
    beats: Cell<u32>,
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    static WAITS: StaticCell<Waits> = StaticCell::new();
    let waits: &'static Waits = WAITS.init(Waits {
        longest: Cell::new(0),
        beats: Cell::new(0),
    });
    let clock = Clock::start();
    EXECUTOR
        .init(Executor::new())
        .run(|spawner| start(spawner, clock, waits))
}

fn start(spawner: Spawner, clock: Clock, waits: &'static Waits) {
    match (infer(clock, waits), beat(clock, waits)) {
        (Ok(infer), Ok(beat)) => {
            spawner.spawn(infer);
            spawner.spawn(beat);
        }
        _ => fail(&"a task runs already"),
    }
}

#[embassy_executor::task]
async fn infer(clock: Clock, waits: &'static Waits) {
    match compare(clock, waits, ARENA.take()).await {
        Ok(holds) => report(holds),
        Err(fault) => fail(&fault),
    }
}

/// Feeds a watchdog, say, on every turn.
#[embassy_executor::task]
async fn beat(clock: Clock, waits: &'static Waits) {
    loop {
        let start = clock.ticks();
        yield_now().await;
        let waited = clock.instructions_since(start);
        waits.longest.set(waits.longest.get().max(waited));
        waits.beats.set(waits.beats.get() + 1);
    }
}

/// An inference as a whole, then in pieces: the same logits, by little more instructions.
async fn compare(clock: Clock, waits: &Waits, arena: &mut Arena) -> Result<bool, Fault> {
    *arena.input_mut() = picture();
    let start = clock.ticks();
    let whole = arena.infer()?;
    let of_whole = clock.instructions_since(start);
    let expected: [_; tadpool_model::CLASSES] =
        core::array::from_fn(|class| whole.logits().get(class).copied());
    // The turn that the heartbeat has waited for meanwhile, and one more.
    yield_now().await;
    yield_now().await;
    waits.longest.set(0);
    waits.beats.set(0);

    *arena.input_mut() = picture();
    let mut of_pieces = 0;
    let mut longest = 0;
    let mut inference = arena.begin()?;
    loop {
        let start = clock.ticks();
        let status = inference.advance()?;
        let piece = clock.instructions_since(start);
        of_pieces += piece;
        longest = longest.max(piece);
        if status == Status::Complete {
            break;
        }
        yield_now().await;
    }
    let prediction = inference.finish()?;
    let same = prediction
        .logits()
        .iter()
        .map(|&logit| Some(logit))
        .eq(expected);

    let longest = hundredths(longest, of_whole);
    let waited = hundredths(waits.longest.get(), of_whole);
    let overhead = hundredths(of_pieces.saturating_sub(of_whole), of_whole);
    hprintln!(
        "{}, the same logits: {}",
        prediction.label().unwrap_or(""),
        same
    );
    hprintln!("turns of the heartbeat meanwhile: {}", waits.beats.get());
    hprintln!("longest piece: {} of an inference", Percent(longest));
    hprintln!("longest wait of the heartbeat: {}", Percent(waited));
    hprintln!("pieces take more than the whole: {}", Percent(overhead));
    // The executor takes the tasks of a round in any order: two pieces may follow each other.
    Ok(same && longest <= LONGEST && waited <= 2 * LONGEST && overhead <= OVERHEAD)
}

/// Hundredths of a percent.
struct Percent(u32);

impl core::fmt::Display for Percent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{:02} %", self.0 / 100, self.0 % 100)
    }
}
