//! The request loop on the host, with a link made of two vectors.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;

use embedded_hal::digital;
use embedded_io::ErrorType;
use tadpool_kernels::checksum::fnv1a;

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use tadpool_link::measure::*;
use tadpool_link::run::*;
use tadpool_model::{Arena, INPUT_BYTES, STEPS};
use tadpool_protocol::*;

/// Requests that were sent, and responses that came.
#[derive(Default)]
pub(crate) struct Wire {
    requests: VecDeque<u8>,
    responses: Vec<u8>,
}

impl ErrorType for Wire {
    type Error = Infallible;
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        // In small pieces, so that frames are cut anywhere.
        let length = bytes.len().min(7).min(self.requests.len());
        for (byte, request) in bytes.iter_mut().zip(self.requests.drain(..length)) {
            *byte = request;
        }
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.responses.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A pin that counts its changes.
#[derive(Default)]
pub(crate) struct Pin {
    pub(crate) is_high: bool,
    pub(crate) changes: usize,
}

impl digital::ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.changes += usize::from(self.is_high);
        self.is_high = false;
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.changes += usize::from(!self.is_high);
        self.is_high = true;
        Ok(())
    }
}

/// A clock that ticks thrice a look.
pub(crate) struct Ticker(Cell<u64>);

impl Clock for Ticker {
    const FREQUENCY_HZ: u32 = 1_000_000;

    fn now(&self) -> u64 {
        self.0.set(self.0.get() + 3);
        self.0.get()
    }
}

pub(crate) struct NoStack;

impl StackGauge for NoStack {
    fn size_bytes(&self) -> usize {
        4096
    }

    fn paint(&mut self) {}

    fn used_bytes(&self) -> usize {
        17
    }
}

/// A log that nobody reads.
pub(crate) struct NoLog;

impl Log for NoLog {
    fn inferred(&mut self, _: u64, _: u32) {}

    fn refused(&mut self, _: Refusal) {}
}

pub(crate) type TestBoard = Board<Wire, Pin, Ticker, NoStack, NoLog>;

pub(crate) fn board() -> TestBoard {
    Board {
        name: "test",
        setup: Setup::default(),
        link: Wire::default(),
        busy: Pin::default(),
        clock: Ticker(Cell::new(0)),
        stack: NoStack,
        log: NoLog,
        self_tests: (),
        weights: (),
    }
}

/// The firmware's answers to `bytes` until they are used up.
fn answers(board: &mut TestBoard, bytes: &[u8]) -> (Vec<Response>, End) {
    board.link.requests.extend(bytes);
    let mut arena = Box::new(Arena::new());
    let end = serve(board, &mut arena, &mut Buffers::<STEPS>::new());
    let mut reader = FrameReader::new();
    let mut responses = Vec::new();
    for byte in std::mem::take(&mut board.link.responses) {
        if reader.push(byte) {
            responses.push(reader.message().unwrap());
        }
    }
    (responses, end)
}

fn frames(requests: &[Request<'_>]) -> Vec<u8> {
    let frame = |request| encode(request, &mut [0; MAX_FRAME]).unwrap().to_vec();
    requests.iter().flat_map(frame).collect()
}

fn image_frames(image: &[u8]) -> Vec<u8> {
    let pieces = image.chunks(500).enumerate();
    let mut requests: Vec<Request<'_>> = pieces
        .map(|(piece, bytes)| Request::Pixels {
            offset: 500 * piece as u32,
            bytes,
        })
        .collect();
    requests.push(Request::Infer {
        checksum: fnv1a(image),
    });
    frames(&requests)
}

fn image() -> Vec<u8> {
    (0..INPUT_BYTES).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn an_image_is_answered_with_steps_logits_and_cost() {
    let mut board = board();
    let (responses, end) = answers(&mut board, &image_frames(&image()));
    assert_eq!(end, End::LinkClosed);

    let mut arena = Box::new(Arena::new());
    arena.put_pixels(0, &image()).unwrap();
    let expected = tadpool_model::infer(&mut arena).unwrap();
    let expected: Vec<i32> = expected
        .logits()
        .iter()
        .map(|logit| logit.to_q16())
        .collect();
    let mut logits = Vec::new();
    let mut steps = 0;
    for response in &responses {
        match response {
            // Each step is as long as one look at the clock, which is taken off.
            Response::Step { step, ticks, .. } => {
                assert_eq!((usize::from(*step), *ticks), (steps, 0));
                steps += 1;
            }
            Response::Logits(piece) => logits.extend(&piece.values),
            Response::Done { ticks, stack_bytes } => assert_eq!((*ticks, *stack_bytes), (0, 17)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((steps, logits), (STEPS, expected));
    assert_eq!((board.busy.changes, board.busy.is_high), (2, false));
}

#[test]
fn an_image_serves_once() {
    let infer = Request::Infer {
        checksum: fnv1a(&image()),
    };
    let bytes = [image_frames(&image()), frames(&[infer])].concat();
    let (responses, _) = answers(&mut board(), &bytes);
    let expected = INPUT_BYTES as u32;
    let refusal = Refusal::Incomplete {
        received: 0,
        expected,
    };
    assert_eq!(responses.last(), Some(&Response::Refused(refusal)));
}

#[test]
fn an_image_that_changed_on_the_way_is_refused() {
    let mut bytes = image_frames(&image());
    let infer = frames(&[Request::Infer { checksum: 1 }]);
    bytes.truncate(
        bytes.len()
            - frames(&[Request::Infer {
                checksum: fnv1a(&image()),
            }])
            .len(),
    );
    bytes.extend(infer);
    let (responses, _) = answers(&mut board(), &bytes);
    let refusal = Refusal::BadChecksum {
        received: fnv1a(&image()),
    };
    assert_eq!(responses, [Response::Refused(refusal)]);
}

#[test]
fn more_pixels_than_the_image_has_are_refused() {
    let image = [image(), vec![0; 500]].concat();
    let (responses, _) = answers(&mut board(), &image_frames(&image));
    let is_offset =
        |response: &Response| matches!(response, Response::Refused(Refusal::BadOffset { .. }));
    assert!(responses.iter().any(is_offset), "{responses:?}");
}

#[test]
fn self_tests_need_an_image_built_with_them() {
    let request = Request::SelfTest(SelfTest::Panic);
    let (responses, _) = answers(&mut board(), &frames(&[request]));
    assert_eq!(responses, [Response::Refused(Refusal::NoSelfTests)]);
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 24
    };
    let good = image_frames(&image());
    for _ in 0..200 {
        // Real frames with some bytes changed, so that every layer is reached.
        let mut bytes = good.clone();
        for _ in 0..next() % 8 {
            let place = (next() << 16 | next() << 8 | next()) as usize % bytes.len();
            bytes[place] = next() as u8;
        }
        bytes.extend([0]);
        bytes.extend(frames(&[Request::Hello]));
        let (responses, end) = answers(&mut board(), &bytes);
        assert!(
            matches!(responses.last(), Some(Response::Hello(_))),
            "{responses:?}"
        );
        assert_eq!(end, End::LinkClosed);
    }
}
