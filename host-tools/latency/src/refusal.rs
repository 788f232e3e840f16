//! Names the kind of a file that is no linked program for a Cortex-M.

use object::elf;

/// Beginnings of files that are taken for programs, and what to say.
const OTHERS: [(&[u8], &str); 7] = [
    (b"MZ", "it is a program for Windows"),
    (b"\xfe\xed\xfa", "it is a program for macOS"),
    (b"\xcf\xfa\xed\xfe", "it is a program for macOS"),
    (b"\xca\xfe\xba\xbe", "it is a program for macOS"),
    (
        b"!<arch>\n",
        "it is a static library: link it into a program",
    ),
    (
        b"UF2\n",
        "it is a UF2 file: name the ELF file that it was made of",
    ),
    (
        b":",
        "it is no ELF file; if it is one of Intel HEX, name the ELF file that it was made of",
    ),
];

/// Machines of ELF files that are met on a desk.
const MACHINES: [(u16, &str); 8] = [
    (elf::EM_386, "x86"),
    (elf::EM_X86_64, "x86-64"),
    (elf::EM_AARCH64, "64-bit Arm"),
    (elf::EM_RISCV, "RISC-V"),
    (elf::EM_XTENSA, "Xtensa"),
    (elf::EM_AVR, "AVR"),
    (elf::EM_MIPS, "MIPS"),
    (elf::EM_PPC, "PowerPC"),
];

/// Why the file with this content is none, as far as its first bytes tell.
pub(crate) fn refusal(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("it is empty".into());
    }
    if !bytes.starts_with(&elf::ELFMAG) {
        let known = OTHERS.iter().find(|(start, _)| bytes.starts_with(start));
        let problem = known.map_or(
            "it is no ELF file; of a `.bin` file, name the ELF file that it was made of",
            |(_, problem)| problem,
        );
        return Some(problem.into());
    }
    let half = |at: usize| match *bytes.get(at..at + 2)? {
        // Of the other order, if the file says so.
        [high, low] if bytes[5] == elf::ELFDATA2MSB => Some(u16::from_be_bytes([high, low])),
        [low, high] => Some(u16::from_le_bytes([low, high])),
        _ => None,
    };
    let (Some(kind), Some(machine)) = (half(16), half(18)) else {
        return Some("it ends within the header of an ELF file".into());
    };
    if machine != elf::EM_ARM {
        let known = MACHINES.iter().find(|(number, _)| *number == machine);
        return Some(match known {
            Some((_, name)) => format!("it is for {name}"),
            None => format!("it is for another processor (machine {machine} of ELF)"),
        });
    }
    if bytes[4] != elf::ELFCLASS32 || bytes[5] != elf::ELFDATA2LSB {
        return Some("it is not for a little-endian Arm of 32 bits".into());
    }
    match kind {
        elf::ET_EXEC => None,
        elf::ET_REL => Some("it is an object file, which has yet to be linked".into()),
        elf::ET_DYN => {
            let problem = "it is a shared library, or a program for an operating system to place";
            Some(problem.into())
        }
        elf::ET_CORE => Some("it is the memory of a program that ended".into()),
        other => Some(format!("it is of type {other} of ELF, and not executable")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of an ELF file.
    fn header(class: u8, data: u8, kind: u16, machine: u16) -> Vec<u8> {
        let start = [&elf::ELFMAG[..], &[class, data, 1], &[0; 9]].concat();
        [
            start,
            kind.to_le_bytes().into(),
            machine.to_le_bytes().into(),
        ]
        .concat()
    }

    #[test]
    fn each_file_is_called_what_it_is() {
        let cases: [(&[u8], &str); 8] = [
            (b"", "empty"),
            (b"MZ\x90", "for Windows"),
            (b"UF2\n", "a UF2 file"),
            (b":020000040800F2", "Intel HEX"),
            (b"\x00\x80\x00\x20", "of a `.bin` file"),
            (b"#!/bin/sh", "no ELF file"),
            (b"!<arch>\n", "a static library"),
            (b"\x7fELF\x01\x01", "within the header"),
        ];
        for (bytes, expected) in cases {
            let said = refusal(bytes).unwrap();
            assert!(said.contains(expected), "{said}");
        }
        for (header, expected) in [
            (header(2, 1, 3, 62), "for x86-64"),
            (header(2, 1, 2, 183), "for 64-bit Arm"),
            (header(1, 1, 2, 999), "machine 999"),
            (header(1, 1, 1, 40), "object file"),
            (header(1, 1, 3, 40), "shared library"),
            (header(1, 1, 4, 40), "memory of a program"),
            (header(2, 1, 2, 40), "little-endian Arm"),
        ] {
            let said = refusal(&header).unwrap();
            assert!(said.contains(expected), "{said}");
        }
        assert_eq!(refusal(&header(1, 1, 2, 40)), None);
    }
}
