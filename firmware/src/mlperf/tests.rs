//! A client that speaks as EEMBC's runner does, against the firmware's side of
//! the link.

use std::collections::VecDeque;
use std::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use tadpool_model::{Arena, INPUT_BYTES};

use super::{Buffers, COMMAND_LENGTH, HELP, serve};
use crate::run::{Board, End};
use crate::run_tests::{Pin, board as any_board};

/// The bytes that the runner sends, and those that it has been sent.
#[derive(Default)]
struct Serial {
    sent: VecDeque<u8>,
    received: Vec<u8>,
}

impl ErrorType for Serial {
    type Error = Infallible;
}

impl Read for Serial {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        // As a serial line does: a few bytes at a time.
        let length = bytes.len().min(5).min(self.sent.len());
        for (byte, sent) in bytes.iter_mut().zip(self.sent.drain(..length)) {
            *byte = sent;
        }
        Ok(length)
    }
}

impl Write for Serial {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.received.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The firmware's answer to `sent`, line by line, and the levels of its pin.
fn lines(sent: &[u8]) -> (Vec<String>, Pin) {
    let board = any_board();
    let mut board = Board {
        name: board.name,
        setup: board.setup,
        link: Serial::default(),
        busy: board.busy,
        clock: board.clock,
        stack: board.stack,
        log: board.log,
        self_tests: (),
        weights: (),
    };
    board.link.sent.extend(sent);
    let mut arena = Box::new(Arena::new());
    let end = serve(&mut board, &mut arena, &mut Buffers::new());
    assert_eq!(end, End::LinkClosed);
    let text = String::from_utf8(board.link.received).unwrap();
    assert!(text.ends_with("\r\n"), "{text}");
    let lines = text.split_terminator("\r\n").map(str::to_owned).collect();
    (lines, board.busy)
}

/// The lines between the `m-ready` of the start and the one of each command.
fn answers(commands: &[&str]) -> Vec<Vec<String>> {
    let (lines, _) = lines(commands.concat().as_bytes());
    let mut answers = vec![Vec::new()];
    for line in lines {
        match line.as_str() {
            "m-ready" => answers.push(Vec::new()),
            _ => answers.last_mut().unwrap().push(line),
        }
    }
    assert_eq!(answers.pop(), Some(vec![]), "something follows m-ready");
    assert_eq!(answers.len(), commands.len() + 1);
    answers.remove(0);
    answers
}

fn answer(command: &str) -> Vec<String> {
    answers(&[command]).remove(0)
}

/// The commands with which the runner loads an input.
fn load(input: &[u8]) -> Vec<String> {
    let digits = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let pieces = input
        .chunks(32)
        .map(|piece| format!("db {}%", digits(piece)));
    std::iter::once(format!("db load {}%", input.len()))
        .chain(pieces)
        .collect()
}

fn picture() -> Vec<u8> {
    (0..INPUT_BYTES).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn it_starts_ready() {
    let (lines, _) = lines(b"");
    assert_eq!(lines[0], "m-timestamp-mode-performance");
    assert!(lines[1].starts_with("m-lap-us-"), "{lines:?}");
    assert_eq!(lines[2..], ["m-init-done", "m-ready"]);
}

#[test]
fn it_says_who_it_is() {
    assert_eq!(answer("name%"), ["m-name-dut-[tadpool]"]);
    let profile = answer("profile%");
    assert_eq!(
        profile,
        [
            "m-profile-[ULPMark for tinyML Firmware V0.0.1]",
            "m-model-[ic01]"
        ]
    );
    assert_eq!(answer("help%").len(), HELP.len());
}

#[test]
fn an_input_is_loaded_run_and_its_results_are_those_of_the_model() {
    let mut commands = load(&picture());
    commands.push("infer 3 2%".into());
    commands.push("results%".into());
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let answers = answers(&commands);
    assert_eq!(answers[0], [format!("m-[Expecting {INPUT_BYTES} bytes]")]);
    let [loading @ .., last, inferred, results] = &answers[1..] else {
        panic!("{answers:?}");
    };
    assert!(loading.iter().all(Vec::is_empty), "{loading:?}");
    assert_eq!(*last, ["m-load-done"]);

    let mut arena = Box::new(Arena::new());
    arena.put_pixels(0, &picture()).unwrap();
    let logits = tadpool_model::infer(&mut arena).unwrap();
    let expected: Vec<String> = logits
        .logits()
        .iter()
        .map(|logit| format!("{:.3}", f64::from(logit.to_q16()) / 65536.0))
        .collect();
    let expected = format!("m-results-[{}]", expected.join(","));
    assert_eq!(*results, [expected.clone()]);
    assert_eq!(
        inferred[..3],
        ["m-warmup-start-2", "m-warmup-done", "m-infer-start-3"]
    );
    let times: Vec<u64> = inferred[3..5]
        .iter()
        .map(|line| line.strip_prefix("m-lap-us-").unwrap().parse().unwrap())
        .collect();
    assert!(times[1] > times[0], "{times:?}");
    assert_eq!(inferred[5..], ["m-infer-done".to_owned(), expected]);
}

#[test]
fn the_pin_is_high_while_inferences_run() {
    let (_, pin) = lines(b"infer 1 0%");
    assert_eq!((pin.changes, pin.is_high), (2, false));
}

#[test]
fn the_input_is_printed() {
    let mut commands = load(&[1, 2, 0xab, 4, 5, 6, 7, 8, 9, 0x10]);
    commands.push("db print%".into());
    commands.push("db print 2 1%".into());
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let answers = answers(&commands);
    let [.., all, some] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(*all, ["m-buffer-01-02-ab-04-05-06-07-08", "m-buffer-09-10"]);
    assert_eq!(*some, ["m-buffer-02-ab"]);
}

#[test]
fn wrong_commands_are_errors() {
    let long = format!("{}%", "x".repeat(COMMAND_LENGTH + 1));
    let too_large = format!("db load {}%", INPUT_BYTES + 1);
    let cases = [
        ("%", "e-[Unknown command: ]"),
        ("jump%", "e-[Unknown command: jump]"),
        ("\u{e9}%", "e-[Unknown command: ??]"),
        (&long, "e-[A command has at most 80 characters]"),
        ("db%", "e-[Command 'db' requires a subcommand]"),
        ("db load%", "e-[Command 'db load' requires the # of bytes]"),
        ("db load 0%", "e-[Command 'db load' must be >0 bytes]"),
        ("db load -1%", "e-[Command 'db load' must be >0 bytes]"),
        (
            &too_large,
            "e-[Supplied buffer size 3073 exceeds maximum of 3072]",
        ),
        ("db 123%", "e-[Insufficent number of hex digits]"),
        ("db 0g%", "e-[Invalid hex digit '0g']"),
        ("db 00%", "e-[No more bytes are expected; use 'db load']"),
        ("infer 0%", "e-[Inference iterations must be >0]"),
        ("infer x%", "e-[Inference iterations must be >0]"),
        ("infer 1 -1%", "e-[Inference warmup must be >=0]"),
        ("infer 70000 0%", "e-[Inference iterations must be <=65535]"),
    ];
    for (command, expected) in cases {
        assert_eq!(answer(command), [expected], "{command}");
    }
}

#[test]
fn more_digits_than_expected_do_not_count() {
    let answers = answers(&["db load 2%", "db 0102ff%", "db 03%", "db print%"]);
    assert_eq!(answers[1], ["m-load-done"]);
    assert_eq!(
        answers[2],
        ["e-[No more bytes are expected; use 'db load']"]
    );
    assert_eq!(answers[3], ["m-buffer-01-02"]);
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let words: [&[u8]; 9] = [
        b"db ",
        b"load ",
        b"print ",
        b"results",
        b"name",
        b"%",
        b"99999999999",
        b"%",
        b"ff",
    ];
    for _ in 0..300 {
        let mut sent = Vec::new();
        for _ in 0..20 {
            match next() % 12 {
                word @ 0..9 => sent.extend(words[usize::from(word)]),
                _ => sent.push(next()),
            }
        }
        sent.extend(b"%name%");
        let (lines, _) = lines(&sent);
        assert_eq!(
            lines[lines.len() - 2..],
            ["m-name-dut-[tadpool]", "m-ready"]
        );
    }
}
