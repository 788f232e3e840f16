//! No emulator outlives the command that started it, and none is waited for too long.
#![cfg(target_os = "linux")]

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Project, repository};

/// Time to import, calibrate and build the image for the first time.
const BUILD_TIME: Duration = Duration::from_secs(400);
/// Time in which an emulator has to end.
const END_TIME: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn no_signal_leaves_an_emulator() {
    let project = Project::new();
    for name in ["INT", "TERM", "HUP", "KILL"] {
        let (mut tadpool, emulator) = measuring(&project, &[]);
        signal(name, tadpool.id());
        let status = tadpool.wait().unwrap();
        assert!(!status.success(), "{name}: {status}");
        let deadline = Instant::now() + END_TIME;
        while is_there(emulator, tadpool.id()) {
            assert!(Instant::now() < deadline, "{name}: {emulator} runs");
            sleep(PAUSE);
        }
    }
}

#[test]
fn a_stopped_emulator_is_given_up_in_time() {
    let project = Project::new();
    let (mut tadpool, emulator) = measuring(&project, &["--timeout", "5"]);
    // Until it infers.
    sleep(Duration::from_secs(2));
    signal("STOP", emulator);
    let start = Instant::now();
    let output = loop {
        if tadpool.try_wait().unwrap().is_some() {
            break tadpool.wait_with_output().unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(12), "it still waits");
        sleep(PAUSE);
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{errors}");
    assert!(start.elapsed() > Duration::from_secs(3), "{errors}");
    assert!(errors.contains("did not answer"), "{errors}");
    assert!(!is_there(emulator, 0));
}

/// A command that measures for long, and its emulator.
fn measuring(project: &Project, more: &[&str]) -> (Child, u32) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tadpool"))
        .args(["bench", &project.path("model.toml")])
        .args(["--board", "qemu-mps2-an386", "--runs", "10000"])
        .args(more)
        .current_dir(repository())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + BUILD_TIME;
    let emulator = loop {
        if let Some(emulator) = emulator_of(child.id()) {
            break emulator;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        assert!(Instant::now() < deadline, "it started no emulator");
        sleep(PAUSE);
    };
    (child, emulator)
}

/// The emulator that the process `owner` started.
fn emulator_of(owner: u32) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.find(|&id| is_there(id, owner))
}

/// Whether a process with this id emulates for `owner`, or for anybody if that is zero.
fn is_there(id: u32, owner: u32) -> bool {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let mark = match owner {
        0 => "tadpool.".to_owned(),
        owner => format!("tadpool.{owner}"),
    };
    let mut words = line.split(|&byte| byte == 0);
    words.any(|word| match owner {
        0 => word.starts_with(mark.as_bytes()),
        _ => word == mark.as_bytes(),
    })
}

fn signal(name: &str, id: u32) {
    let mut kill = Command::new("kill");
    let status = kill.args(["-s", name, &id.to_string()]).status().unwrap();
    assert!(status.success(), "{name} {id}");
}
