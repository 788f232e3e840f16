//! Programs that are no programs for the board, or none at all, are called what they are.

use super::{Project, tadpool};

/// An ELF file for Arm with four bytes at `address` and no symbols.
fn elf(address: u32) -> Vec<u8> {
    let (header, program, end) = (52_u32, 32_u32, 84_u32);
    let mut bytes = b"\x7fELF\x01\x01\x01".to_vec();
    bytes.resize(16, 0);
    for half in [2_u16, 40] {
        bytes.extend(half.to_le_bytes());
    }
    for word in [1, address, header, 0, 0x0500_0000] {
        bytes.extend(word.to_le_bytes());
    }
    for half in [header as u16, program as u16, 1, 40, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for word in [1, end, address, address, 4, 4, 5, 4] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn other_files_are_called_what_they_are() {
    let project = Project::new();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(project.path(name), bytes).unwrap();
        project.path(name)
    };
    let here = std::env::current_exe().unwrap().display().to_string();
    let text = write("text", b"hello");
    let raw = write("image.bin", &[0; 64]);
    let hex = write("image.hex", b":020000040800F2\n");
    let elsewhere = write("elsewhere", &elf(0x0800_0000));
    let bare = write("bare", &elf(0));
    let model = project.path("model.toml");
    let picture = project.path("model.toml");
    let run = |elf| ["run", &model, "--elf", elf, &picture];
    let is_elf = cfg!(target_os = "linux");
    let cases: [(&[&str], &str); 9] = [
        (&["emulate", &text], "it is no ELF file"),
        (&["emulate", &hex], "Intel HEX"),
        (
            &["emulate", &elsewhere],
            "memory that board `qemu-mps2-an386` lacks",
        ),
        (
            &["emulate", &bare, "--board", "nrf52840-dk"],
            "is not emulated",
        ),
        (&["audit", &raw], "of a `.bin` file"),
        (&run(&text), "it is no ELF file"),
        (&run(&elsewhere), "memory that board"),
        (&run(&bare), "has no symbols"),
        (
            &["audit", &here],
            if is_elf { "it is for" } else { "it is" },
        ),
    ];
    for (line, expected) in cases {
        let output = tadpool(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{line:?}");
        assert!(said.contains(expected), "{line:?}: {said}");
    }
}
