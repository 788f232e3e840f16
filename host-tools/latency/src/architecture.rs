//! The architecture that a program was compiled for, by its build attributes.
//!
//! Source: "Addenda to, and Errata in, the ABI for the Arm Architecture" (IHI 0045),
//! `Tag_CPU_arch`.

use std::fmt;

use object::elf;
use object::read::elf::{AttributesSection, FileHeader};
use tadpool_boards::Board;
use tadpool_cycles::pipeline::Core;

/// An architecture, of which each executes what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// Cortex-M0, M0+.
    Armv6M,
    /// Cortex-M3.
    Armv7M,
    /// Cortex-M4, M7.
    Armv7EM,
    /// Cortex-M33; what is written for Armv8-M Baseline too.
    Armv8M,
    /// Cortex-M55.
    Armv8_1M,
}

use Architecture::{Armv6M, Armv7EM, Armv7M, Armv8_1M, Armv8M};

impl Architecture {
    /// The one that a core executes.
    pub fn of_core(core: Core) -> Self {
        match core {
            Core::CortexM0 | Core::CortexM0Plus => Armv6M,
            Core::CortexM3 => Armv7M,
            Core::CortexM4 | Core::CortexM7 => Armv7EM,
            Core::CortexM33 => Armv8M,
            Core::CortexM55 => Armv8_1M,
        }
    }

    /// The one that `board`'s core executes; none of a core that is not known.
    pub fn of_board(board: &Board) -> Option<Self> {
        Some(match board.core.as_str() {
            "Cortex-M0" | "Cortex-M0+" | "Cortex-M1" | "Armv6-M" => Armv6M,
            "Cortex-M3" | "Armv7-M" => Armv7M,
            "Cortex-M4" | "Cortex-M4F" | "Cortex-M7" | "Armv7E-M" => Armv7EM,
            "Cortex-M23" | "Cortex-M33" | "Cortex-M35P" => Armv8M,
            // All of which no more is known than that it is Armv8-M.
            "Cortex-M52" | "Cortex-M55" | "Cortex-M85" | "Armv8-M" => Armv8_1M,
            _ => return None,
        })
    }

    /// The one that `section`, a program's build attributes, names; none if it names none, and
    /// the family of cores if that is another than Cortex-M.
    pub(crate) fn of_attributes<Elf: FileHeader>(
        section: &AttributesSection<'_, Elf>,
    ) -> Result<Option<Self>, &'static str> {
        let (value, profile) = read(section).unwrap_or_default();
        match (value, profile.and_then(|it| char::from_u32(it as u32))) {
            (_, Some('A')) | (Some(14), _) => Err("Cortex-A"),
            (_, Some('R')) | (Some(15), _) => Err("Cortex-R"),
            (value, _) => Ok(value.and_then(Self::of_value)),
        }
    }

    fn of_value(value: u64) -> Option<Self> {
        Some(match value {
            11 | 12 => Armv6M,
            10 => Armv7M,
            13 => Armv7EM,
            16 | 17 => Armv8M,
            21 => Armv8_1M,
            _ => return None,
        })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Armv6M => "Armv6-M",
            Armv7M => "Armv7-M",
            Armv7EM => "Armv7E-M",
            Armv8M => "Armv8-M",
            Armv8_1M => "Armv8.1-M",
        })
    }
}

/// `Tag_CPU_arch` and `Tag_CPU_arch_profile`.
const CPU_ARCH: u64 = 6;
const PROFILE: u64 = 7;

/// Their values for the whole file; none if it cannot be read.
fn read<Elf: FileHeader>(
    section: &AttributesSection<'_, Elf>,
) -> Option<(Option<u64>, Option<u64>)> {
    let (mut architecture, mut profile) = (None, None);
    let subsections = section.subsections().ok()?.flatten();
    let of_arm = subsections.filter(|it| it.vendor() == b"aeabi");
    let of_file = of_arm
        .flat_map(|it| it.subsubsections().flatten())
        .filter(|it| it.tag() == elf::Tag_File);
    for attributes in of_file {
        let mut attributes = attributes.attributes();
        while let Some(tag) = attributes.read_tag().ok()? {
            match tag {
                CPU_ARCH => architecture = Some(attributes.read_integer().ok()?),
                PROFILE => profile = Some(attributes.read_integer().ok()?),
                // Names of processors, of compatible tools, and all of odd numbers above.
                4 | 5 => drop(attributes.read_string().ok()?),
                32 => {
                    attributes.read_integer().ok()?;
                    attributes.read_string().ok()?;
                }
                33.. if tag % 2 == 1 => drop(attributes.read_string().ok()?),
                _ => drop(attributes.read_integer().ok()?),
            }
        }
    }
    Some((architecture, profile))
}

#[cfg(test)]
mod tests {
    use object::Endianness;
    use object::elf::FileHeader32;

    use super::*;

    /// A section with these attributes of the whole file.
    fn of(attributes: &[u8]) -> Result<Option<Architecture>, &'static str> {
        let file = [
            &[1_u8][..],
            &(5 + attributes.len() as u32).to_le_bytes(),
            attributes,
        ]
        .concat();
        let length = (4 + 6 + file.len()) as u32;
        let bytes = [&b"A"[..], &length.to_le_bytes(), b"aeabi\0", &file].concat();
        let section =
            AttributesSection::<FileHeader32<Endianness>>::new(Endianness::Little, &bytes);
        Architecture::of_attributes(&section.unwrap())
    }

    #[test]
    fn a_program_says_what_it_is_for() {
        // Behind a processor's name, and in front of what is not read.
        let named = [&[5][..], b"cortex-m4\0", &[6, 13, 7, b'M', 67], b"2.09\0"].concat();
        assert_eq!(of(&named), Ok(Some(Armv7EM)));
        assert_eq!(of(&[67, b'2', 0, 6, 11]), Ok(Some(Armv6M)));
        assert_eq!(of(&[6, 21]), Ok(Some(Armv8_1M)));
        assert_eq!(of(&[6, 10, 7, b'M']), Ok(Some(Armv7M)));
        assert_eq!(of(&[6, 10, 7, b'A']), Err("Cortex-A"));
        assert_eq!(of(&[6, 14]), Err("Cortex-A"));
        assert_eq!(of(&[6, 15]), Err("Cortex-R"));
        assert_eq!(of(&[7, b'M']), Ok(None));
        assert_eq!(of(&[5, b'x']), Ok(None), "cut off");
        assert_eq!(of(&[6]), Ok(None), "cut off");
    }

    #[test]
    fn later_architectures_execute_earlier_ones() {
        let of_core = Architecture::of_core;
        assert!(of_core(Core::CortexM33) > of_core(Core::CortexM7));
        assert!(of_core(Core::CortexM0Plus) < of_core(Core::CortexM3));
        assert!(of_core(Core::CortexM3) < of_core(Core::CortexM4));
    }

    #[test]
    fn every_board_executes_one() {
        for name in tadpool_boards::names() {
            let board = tadpool_boards::find(name).unwrap();
            let core = Core::by_name(&board.core).unwrap();
            let found = Architecture::of_board(&board);
            assert_eq!(found, Some(Architecture::of_core(core)), "{name}");
        }
    }
}
