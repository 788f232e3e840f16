//! The target description of an emulated machine for probe-rs: its core, its memory, and a
//! flash algorithm that runs in it.
//!
//! The memories that hold code and weights are RAM to most of QEMU's machines. The
//! algorithm makes flash of them: to be erased before they are written, as writing
//! only clears bits. Others have memory that no program writes; the probe does.

use std::fmt::Write as _;

use probe_rs::Target;
use probe_rs::config::{Registry, RegistryError};

use tadpool_boards::{Board, Runner};

/// Bytes that are erased together; the algorithm has it in its code.
const SECTOR_BYTES: u32 = 1 << 14;
/// Bytes that are written together.
const PAGE_BYTES: u32 = 1 << 14;
const INIT: usize = 0;
const ERASE: usize = 4;
const PROGRAM: usize = 24;

/// The algorithm, for any Cortex-M and any address.
const ALGORITHM: [u16; 24] = [
    // init, uninit: returns 0
    0x2000, // movs r0, #0
    0x4770, // bx   lr
    // erase(r0: address): fills a sector with ones
    0x2101, // movs r1, #1
    0x0389, // lsls r1, r1, #14
    0x2200, // movs r2, #0
    0x43d2, // mvns r2, r2
    0x3904, // subs r1, #4
    0x5042, // str  r2, [r0, r1]
    0xd1fc, // bne  -2
    0x2000, // movs r0, #0
    0x4770, // bx   lr
    0xbf00, // nop
    // program(r0: address, r1: length, r2: data): clears bits
    0xb510, // push {r4, lr}
    0x3904, // subs r1, #4
    0x5843, // ldr  r3, [r0, r1]
    0x5854, // ldr  r4, [r2, r1]
    0x4023, // ands r3, r4
    0x5043, // str  r3, [r0, r1]
    0x2900, // cmp  r1, #0
    0xd1f8, // bne  -6
    0x2000, // movs r0, #0
    0xbd10, // pop  {r4, pc}
    0xbf00, // nop
    0xbf00, // nop
];

/// The machine of an emulated board, by the board's name.
pub(super) fn describe(board: &Board) -> Result<Target, RegistryError> {
    let mut registry = Registry::new();
    registry.add_target_family_from_yaml(&family(board))?;
    let mut target = registry.get_target_by_name(&board.name)?;
    for algorithm in &mut target.flash_algorithms {
        algorithm.instructions = ALGORITHM
            .iter()
            .flat_map(|code| code.to_le_bytes())
            .collect();
    }
    Ok(target)
}

fn family(board: &Board) -> String {
    let name = &board.name;
    let core = match board.target.split('-').next() {
        Some("thumbv6m") => "armv6m",
        Some("thumbv7m") => "armv7m",
        Some("thumbv7em") => "armv7em",
        _ => "armv8m",
    };
    let layout = &board.layout;
    let read_only_code = matches!(&board.runner, Runner::Qemu(qemu) if qemu.read_only_code);
    let (mut memories, mut names, mut algorithms) = (String::new(), String::new(), String::new());
    for (region, memory) in &board.memory {
        let (start, end) = (
            memory.origin,
            u64::from(memory.origin) + u64::from(memory.length),
        );
        let is_flash = !read_only_code && (*region == layout.code || *region == layout.weights);
        let (kind, access) = match is_flash {
            true => ("Nvm", ", access: { write: false, boot: true }"),
            false => ("Ram", ""),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(
            memories,
            "  - !{kind} {{ name: {region}, range: {{ start: {start:#x}, end: {end:#x} }}, cores: \
             [main]{access} }}"
        );
        if is_flash {
            let _ = writeln!(names, "  - {region}");
            let _ = write!(
                algorithms,
                "- name: {region}
  description: {region}
  default: true
  instructions: ''
  pc_init: {INIT:#x}
  pc_uninit: {INIT:#x}
  pc_erase_sector: {ERASE:#x}
  pc_program_page: {PROGRAM:#x}
  data_section_offset: {PAGE_BYTES:#x}
  flash_properties:
    address_range: {{ start: {start:#x}, end: {end:#x} }}
    page_size: {PAGE_BYTES:#x}
    erased_byte_value: 0xff
    program_page_timeout: 20000
    erase_sector_timeout: 20000
    sectors: [ {{ size: {SECTOR_BYTES:#x}, address: 0 }} ]
  cores: [main]
"
            );
        }
    }
    format!(
        "name: {name}
variants:
- name: {name}
  cores:
  - name: main
    type: {core}
    core_access_options: !Arm {{ ap: !v1 0 }}
  memory_map:
{memories}  flash_algorithms:
{names}flash_algorithms:
{algorithms}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulated_boards_are_described() {
        for name in tadpool_boards::names() {
            let board = tadpool_boards::find(name).unwrap();
            let Runner::Qemu(qemu) = &board.runner else {
                continue;
            };
            let target = describe(&board).unwrap();
            assert_eq!(target.memory_map.len(), board.memory.len(), "{name}");
            let has_flash = !target.flash_algorithms.is_empty();
            assert_eq!(has_flash, !qemu.read_only_code, "{name}");
        }
    }
}
