//! Weights that are flashed without the firmware, and taken back, as a user types it. Each command
//! starts an emulator of its own, so the tests keep its memory between them.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tadpool_toolchain::emulator::qemu;

use super::{Project, repository};

/// Where the emulated board has 16 MB of RAM, of which the virtual probe makes flash.
const SLOTS: u32 = 0x2100_0000;
const SLOT_BYTES: usize = 0x0002_0000;

/// A board whose memories outlive the emulator.
struct Lab {
    project: Project,
    /// Arguments of QEMU that load the firmware, if it is there.
    firmware: Vec<String>,
}

impl Lab {
    fn new() -> Self {
        let project = Project::new();
        let path = repository().join("host-tools/boards/boards/qemu-mps2-an386.toml");
        let board = fs::read_to_string(path).unwrap();
        let memory = format!(
            "[memory.slots]\norigin = {SLOTS:#x}\nlength = {:#x}\n\n[layout]\nweight_slots = true\n",
            2 * SLOT_BYTES
        );
        let board = board
            .replace("[layout]\n", &memory)
            .replace("weights = \"ssram1\"", "weights = \"slots\"");
        fs::write(project.path("board.toml"), board).unwrap();
        fs::write(project.path("memory"), vec![0xff; 16 << 20]).unwrap();
        // Images of its own, so that the one that is built is found.
        let cache = std::env::var_os("TADPOOL_CACHE").map(PathBuf::from);
        let cache = cache.unwrap_or_else(|| repository().join("target/tadpool"));
        for folder in ["build", "compiled"] {
            let target = cache.join(folder);
            fs::create_dir_all(&target).unwrap();
            let link = project.folder.path().join("cache").join(folder);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(target.canonicalize().unwrap(), link).unwrap();
        }
        Self {
            project,
            firmware: Vec::new(),
        }
    }

    /// Runs `tadpool flash` with the emulator's memory kept.
    fn flash(&self, rest: &[&str]) -> Output {
        let (model, board) = (self.project.path("model.toml"), self.path("board.toml"));
        let programs = self.project.folder.path().join("programs");
        fs::create_dir_all(&programs).unwrap();
        let emulator = programs.join("qemu-system-arm");
        fs::write(&emulator, self.emulator()).unwrap();
        fs::set_permissions(&emulator, fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(programs).chain(std::env::split_paths(&path));
        Command::new(env!("CARGO_BIN_EXE_tadpool"))
            .args(["flash", &model, "--board", &board])
            .args(rest)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("TADPOOL_CACHE", self.path("cache"))
            .current_dir(repository())
            .output()
            .unwrap()
    }

    fn says(&self, rest: &[&str]) -> Value {
        let output = self.flash(&[rest, &["--json"]].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{rest:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refuses(&self, rest: &[&str]) -> String {
        let output = self.flash(rest);
        assert!(!output.status.success(), "{rest:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.project.path(name)
    }

    /// A script that starts the real emulator with the memory that is kept.
    fn emulator(&self) -> String {
        let real = qemu();
        let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap());
        let mut script = "#!/bin/sh\n".to_owned();
        for (name, value) in real.get_envs() {
            let value = value.map(quoted).unwrap_or_default();
            script += &format!("export {}={value}\n", name.to_str().unwrap());
        }
        script += &format!("exec {}", quoted(real.get_program()));
        for argument in real.get_args() {
            script += &format!(" {}", quoted(argument));
        }
        script += &format!(
            " \"$@\" -object memory-backend-file,id=kept,share=on,size=16M,mem-path={} -machine \
             memory-backend=kept",
            self.path("memory")
        );
        for argument in &self.firmware {
            script += &format!(" -device {argument}");
        }
        script + "\n"
    }

    /// From now on the firmware that was built is in the board's flash.
    fn keep_firmware(&mut self) {
        let images = self.project.folder.path().join("cache/images");
        let image = files(&images)
            .into_iter()
            .find(|file| file.extension().is_some_and(|it| it == "elf"))
            .unwrap();
        let loaded = loaded(&fs::read(image).unwrap());
        for (number, (address, bytes)) in loaded.into_iter().enumerate() {
            if address < SLOTS {
                let file = self.path(&format!("firmware{number}"));
                fs::write(&file, bytes).unwrap();
                self.firmware
                    .push(format!("loader,file={file},addr={address:#x},force-raw=on"));
            }
        }
        assert!(!self.firmware.is_empty());
    }

    /// The first bytes of each slot.
    fn marks(&self) -> [[u8; 4]; 2] {
        let memory = fs::read(self.path("memory")).unwrap();
        [0, SLOT_BYTES].map(|at| *memory[at..].first_chunk().unwrap())
    }
}

/// All files in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

/// What an ELF file of 32 bits loads, and where to.
fn loaded(elf: &[u8]) -> Vec<(u32, &[u8])> {
    let word = |at: usize| u32::from_le_bytes(*elf[at..].first_chunk().unwrap());
    let half = |at: usize| usize::from(u16::from_le_bytes(*elf[at..].first_chunk().unwrap()));
    let (table, size, count) = (word(28) as usize, half(42), half(44));
    let headers = (0..count).map(|number| table + number * size);
    let is_loaded = |&header: &usize| word(header) == 1 && word(header + 16) > 0;
    let headers = headers.filter(is_loaded);
    headers
        .map(|header| {
            let (start, length) = (word(header + 4) as usize, word(header + 16) as usize);
            (word(header + 12), &elf[start..][..length])
        })
        .collect()
}

#[test]
fn weights_are_written_alone_and_taken_back() {
    let mut lab = Lab::new();
    let flashed = lab.says(&[]);
    assert!(flashed["weights"].is_null(), "{flashed}");
    assert_eq!(lab.marks(), [*b"TPWS", [0xff; 4]]);

    // A board that has not this firmware: nothing is written.
    let said = lab.refuses(&["--weights-only"]);
    assert!(said.contains("the board has another firmware"), "{said}");
    assert_eq!(lab.marks(), [*b"TPWS", [0xff; 4]]);

    lab.keep_firmware();
    let written = lab.says(&["--weights-only"]);
    let weights = &written["weights"];
    assert_eq!(weights["done"], "written", "{written}");
    assert_eq!(
        (&weights["slot"], &weights["update"]),
        (&1.into(), &2.into())
    );
    let other = weights["other"].as_str().unwrap();
    assert!(other.starts_with("update 1, model "), "{written}");
    assert!(written["bytes"].as_u64() < flashed["bytes"].as_u64());
    assert_eq!(lab.marks(), [*b"TPWS"; 2]);

    let output = lab.flash(&["--roll-back"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let mut lines = said.lines();
    let first = lines.next().unwrap();
    assert!(
        first.ends_with("runs the weights in slot 0 again"),
        "{said}"
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("slot 0: update 1, model ")
    );
    assert_eq!(lines.next(), Some("slot 1: empty"));
    assert_eq!(lab.marks(), [*b"TPWS", [0xff; 4]]);

    let said = lab.refuses(&["--roll-back"]);
    let expected = "there are no weights to return to: slot 0 is update 1, slot 1 is empty";
    assert!(said.contains(expected), "{said}");
    let written = lab.says(&["--weights-only"]);
    assert_eq!(written["weights"]["slot"], 1, "{written}");
}
