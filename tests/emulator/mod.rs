//! Emulated boards, behind the virtual probe: what they compute and measure, and
//! how everything between them and the tool fails.

mod computes;
mod faults;
mod images;
#[cfg(target_os = "linux")]
mod load;
mod measures;
mod mlperf;
mod probe;
mod requests;
mod slots;

use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tadpool_boards::{Board, Runner};
use tadpool_image::{Build, FirmwareImage, Interface};
use tadpool_kernels::Observer;
use tadpool_kernels::checksum::fnv1a;
use tadpool_probe::session::Session;
use tadpool_probe::{Options, RttLink};
use tadpool_probe::{Run, RunnerError};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Names of the emulated boards that have room for the committed model; small
/// ones run small models elsewhere.
fn emulated() -> impl Iterator<Item = &'static str> {
    tadpool_boards::names().filter(|name| {
        let board = tadpool_boards::find(name).unwrap();
        matches!(board.runner, Runner::Qemu(_)) && board.flash_bytes() > 1 << 20
    })
}

/// Images are built one after the other, once each.
fn image(board: &str) -> (Board, &'static FirmwareImage) {
    static IMAGES: [OnceLock<FirmwareImage>; 8] = [const { OnceLock::new() }; 8];
    let index = emulated().position(|name| name == board).unwrap();
    let board = tadpool_boards::find(board).unwrap();
    let image = IMAGES[index].get_or_init(|| {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock();
        let build = Build {
            board: &board,
            model: None,
            interface: Interface::SelfTests,
        };
        tadpool_image::build(&build).unwrap_or_else(|error| panic!("{error}"))
    });
    (board, image)
}

fn start(board: &str) -> (Board, Session<RttLink>) {
    let (board, image) = image(board);
    let hash = Some(tadpool_model::MODEL_HASH);
    let session = start_image(&board, &image.path, hash, TIMEOUT);
    (board, session.unwrap_or_else(|error| panic!("{error}")))
}

fn start_image(
    board: &Board,
    image: &Path,
    model_hash: Option<u32>,
    timeout: Duration,
) -> Result<Session<RttLink>, RunnerError> {
    let run = Run {
        board,
        image,
        model_hash,
        is_own: false,
        timeout,
    };
    tadpool_probe::start(&run, &Options::default(), &())
}

fn picture(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next)
        .take(tadpool_model::INPUT_BYTES)
        .collect()
}

/// The host's results: the logits, and the checksum of each step.
fn on_host(picture: &[u8]) -> (Vec<i32>, Vec<u32>) {
    #[derive(Default)]
    struct Checksums(Vec<u32>);
    impl Observer for Checksums {
        fn step(&mut self, step: usize, output: &[u8]) {
            assert_eq!(step, self.0.len());
            self.0.push(fnv1a(output));
        }
    }
    let mut arena = Box::new(tadpool_model::Arena::new());
    arena.input_mut().copy_from_slice(picture);
    let mut checksums = Checksums::default();
    let prediction = tadpool_model::infer_observed(&mut arena, &mut checksums).unwrap();
    let logits = prediction.logits().iter().map(|logit| logit.to_q16());
    (logits.collect(), checksums.0)
}

/// `text` without the numbers that every build of an image has others of.
fn without_addresses(text: &str) -> String {
    let is_hex = |word: &str| word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit());
    text.split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            match is_hex(bare) {
                true => word.replace(bare, "ADDRESS"),
                false => word.to_owned(),
            }
        })
        .collect()
}
