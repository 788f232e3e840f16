//! The architecture that a program was compiled for, by its build attributes.
//!
//! Source: "Addenda to, and Errata in, the ABI for the Arm Architecture" (IHI 0045),
//! `Tag_CPU_arch`.

use std::fmt;

use object::elf;
use object::read::elf::{AttributesSection, FileHeader};
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

    /// The one that `section`, a program's build attributes, names; none if it names none of
    /// these.
    pub(crate) fn of_attributes<Elf: FileHeader>(
        section: &AttributesSection<'_, Elf>,
    ) -> Option<Self> {
        let subsections = section.subsections().ok()?.flatten();
        let of_arm = subsections.filter(|it| it.vendor() == b"aeabi");
        let of_file = of_arm
            .flat_map(|it| it.subsubsections().flatten())
            .filter(|it| it.tag() == elf::Tag_File);
        for attributes in of_file {
            let mut attributes = attributes.attributes();
            while let Some(tag) = attributes.read_tag().ok()? {
                match tag {
                    CPU_ARCH => return Self::of_value(attributes.read_integer().ok()?),
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
        None
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

/// `Tag_CPU_arch`.
const CPU_ARCH: u64 = 6;

#[cfg(test)]
mod tests {
    use object::Endianness;
    use object::elf::FileHeader32;

    use super::*;

    /// A section with these attributes of the whole file.
    fn of(attributes: &[u8]) -> Option<Architecture> {
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
        assert_eq!(of(&named), Some(Armv7EM));
        assert_eq!(of(&[67, b'2', 0, 6, 11]), Some(Armv6M));
        assert_eq!(of(&[6, 21]), Some(Armv8_1M));
        assert_eq!(of(&[6, 14]), None, "Armv8-A");
        assert_eq!(of(&[7, b'M']), None);
        assert_eq!(of(&[5, b'x']), None, "cut off");
        assert_eq!(of(&[6]), None, "cut off");
    }

    #[test]
    fn later_architectures_execute_earlier_ones() {
        let of_core = Architecture::of_core;
        assert!(of_core(Core::CortexM33) > of_core(Core::CortexM7));
        assert!(of_core(Core::CortexM0Plus) < of_core(Core::CortexM3));
        assert!(of_core(Core::CortexM3) < of_core(Core::CortexM4));
    }
}
