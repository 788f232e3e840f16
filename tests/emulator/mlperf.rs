//! MLPerf Tiny's commands, sent as EEMBC's runner sends them: a command that ends
//! with `%`, then lines until one says `m-ready`.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Instant;

use tadpool_boards::{Board, Runner};
use tadpool_image::{Build, FirmwareError, Interface};
use tadpool_probe::session::Transport;
use tadpool_probe::{Options, RttLink, connect};

use super::{TIMEOUT, on_host, picture};

/// Input bytes that the runner puts into one command.
const PIECE_BYTES: usize = 32;

/// The link that the runner's bytes go through.
trait Port {
    fn send(&mut self, bytes: &[u8]);
    fn receive(&mut self) -> Vec<u8>;
}

impl Port for RttLink {
    fn send(&mut self, bytes: &[u8]) {
        Transport::send(self, bytes).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        Transport::receive(self, Instant::now() + TIMEOUT).unwrap()
    }
}

/// An emulator whose first serial port is a pipe. Dropping it ends it.
struct SerialPort {
    qemu: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl SerialPort {
    fn open(board: &Board, image: &Path) -> Self {
        let Runner::Qemu(machine) = &board.runner else {
            panic!("{} is not emulated", board.name);
        };
        let mut qemu = tadpool_toolchain::emulator::qemu()
            .args(["-machine", &machine.machine])
            .args(["-icount", &format!("shift={}", machine.icount_shift)])
            .args(["-nodefaults", "-display", "none", "-serial", "stdio"])
            .arg("-kernel")
            .arg(image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (qemu.stdin.take().unwrap(), qemu.stdout.take().unwrap());
        Self {
            qemu,
            input,
            output,
        }
    }
}

impl Drop for SerialPort {
    fn drop(&mut self) {
        self.qemu.kill().unwrap();
        self.qemu.wait().unwrap();
    }
}

impl Port for SerialPort {
    fn send(&mut self, bytes: &[u8]) {
        self.input.write_all(bytes).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 256];
        let length = self.output.read(&mut bytes).unwrap();
        assert!(length > 0, "the emulator ended");
        bytes.truncate(length);
        bytes
    }
}

/// The runner's side of the conversation.
struct Client<P> {
    port: P,
    received: String,
}

impl<P: Port> Client<P> {
    /// Waits until the board has started.
    fn start(port: P) -> Self {
        let received = String::new();
        let mut client = Self { port, received };
        let lines = client.until_ready();
        assert_eq!(lines[0], "m-timestamp-mode-performance");
        assert_eq!(lines.last().unwrap(), "m-init-done");
        client
    }

    fn command(&mut self, text: &str) -> Vec<String> {
        self.port.send(format!("{text}%").as_bytes());
        self.until_ready()
    }

    fn until_ready(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            while let Some((line, rest)) = self.received.split_once("\r\n") {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.received = rest;
                if line == "m-ready" {
                    return lines;
                }
                lines.push(line);
            }
            let bytes = self.port.receive();
            self.received += std::str::from_utf8(&bytes).unwrap();
        }
    }

    /// The conversation of EEMBC's runner in its performance mode; the model must answer as
    /// the host does.
    fn benchmark(&mut self) {
        assert_eq!(self.command("name"), ["m-name-dut-[tadpool]"]);
        assert!(
            self.command("profile")
                .contains(&"m-model-[ic01]".to_owned())
        );
        for seed in [1, 2] {
            let picture = picture(seed);
            let loaded = self.command(&format!("db load {}", picture.len()));
            assert_eq!(loaded, [format!("m-[Expecting {} bytes]", picture.len())]);
            for piece in picture.chunks(PIECE_BYTES) {
                let digits: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
                let last = self.command(&format!("db {digits}"));
                assert!(last.is_empty() || last == ["m-load-done"], "{last:?}");
            }
            let lines = self.command("infer 3 1");
            let [.., results] = &lines[..] else {
                panic!("{lines:?}");
            };
            let expected: Vec<String> = on_host(&picture)
                .0
                .iter()
                .map(|&logit| format!("{:.3}", f64::from(logit) / 65536.0))
                .collect();
            assert_eq!(*results, format!("m-results-[{}]", expected.join(",")));
            assert_eq!(self.command("results"), std::slice::from_ref(results));
            let [start, end] = times(&lines);
            assert!(start < end, "{lines:?}");
        }
        assert_eq!(self.command("jump"), ["e-[Unknown command: jump]"]);
        assert_eq!(self.command("infer x").len(), 1);
    }
}

/// When the measured inferences began and ended, in microseconds.
fn times(lines: &[String]) -> [u64; 2] {
    let times: Vec<u64> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("m-lap-us-")?.parse().ok())
        .collect();
    times.try_into().unwrap()
}

fn image(board: &Board, interface: Interface) -> Result<PathBuf, FirmwareError> {
    let build = Build {
        board,
        model: None,
        interface,
    };
    Ok(tadpool_image::build(&build)?.path)
}

#[test]
fn the_benchmark_runs_through_rtt() {
    let board = tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
    let image = image(&board, Interface::Mlperf).unwrap();
    let mut connection = connect(&board, &Options::default()).unwrap();
    connection.flash(&image, &()).unwrap();
    Client::start(connection.run(&image, TIMEOUT).unwrap()).benchmark();
}

#[test]
fn the_benchmark_runs_through_the_uart() {
    for name in ["qemu-mps2-an386", "qemu-mps3-an547"] {
        let board = tadpool_boards::find(name).unwrap();
        let image = image(&board, Interface::MlperfUart).unwrap();
        let port = SerialPort::open(&board, &image);
        Client::start(port).benchmark();
    }
}

/// It needs a serial port of a real board, too; that one builds.
#[test]
fn the_reference_board_has_a_uart() {
    let board = tadpool_boards::find("nucleo-l4r5zi").unwrap();
    image(&board, Interface::MlperfUart).unwrap();
}

#[test]
fn a_board_without_a_uart_is_refused() {
    let board = tadpool_boards::find("rpi-pico2").unwrap();
    let error = image(&board, Interface::MlperfUart).unwrap_err();
    insta::assert_snapshot!(error);
}
