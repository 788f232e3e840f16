//! ELF files that are weighed and audited.

use std::path::Path;

use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};
use tadpool_image::audit;
use tadpool_image::elf::{Functions, sizes};

const ROOT: &str = "tadpool_inference";

/// A root that pushes and calls two functions behind it, with data in between.
fn linked() -> Vec<u8> {
    let code: [u16; 14] = [
        0xb510, 0xf000, 0xf805, // push {r4, lr}; bl 16
        0xf000, 0xf808, // bl 26
        0xbd10, 0x1234, 0x1234, // pop {r4, pc}; data
        0xb084, 0xee30, 0x0a20, // sub sp, #16; vadd.f32 s0, s0, s1
        0xb004, 0x4770, // add sp, #16; bx lr
        0xe7fe, // b .
    ];
    let code: Vec<u8> = code.iter().flat_map(|half| half.to_le_bytes()).collect();
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Arm, Endianness::Little);
    let text = object.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
    object.append_section_data(text, &code, 4);
    let weights = object.add_section(Vec::new(), b".weights".to_vec(), SectionKind::ReadOnlyData);
    object.append_section_data(weights, &[1; 16], 4);
    let vectors = object.add_section(
        Vec::new(),
        b".vector_table".to_vec(),
        SectionKind::ReadOnlyData,
    );
    let entries = [16_u32, 1, 17, 17].map(u32::to_le_bytes).concat();
    object.append_section_data(vectors, &entries, 4);
    let symbols: [(&str, u64, u64, SymbolKind); 8] = [
        (ROOT, 1, 12, SymbolKind::Text),
        ("$t.0", 0, 0, SymbolKind::Label),
        ("$d.1", 12, 0, SymbolKind::Label),
        ("$t.2", 16, 0, SymbolKind::Label),
        ("tadpool_float", 17, 10, SymbolKind::Text),
        (
            "_ZN4core9panicking5panic17h0000000000000000E",
            27,
            0,
            SymbolKind::Text,
        ),
        ("_stack_start", 16, 0, SymbolKind::Label),
        ("_stack_end", 0, 0, SymbolKind::Label),
    ];
    for (name, value, size, kind) in symbols {
        object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size,
            kind,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
    }
    object.write().expect("an ELF file")
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    vec![linked()]
}

pub(super) fn check(bytes: &[u8]) {
    let path = Path::new("image.elf");
    match sizes(path, bytes) {
        Ok(sizes) => assert!(sizes.flash_bytes() >= sizes.weights_bytes),
        Err(error) => super::check_error(&error),
    }
    for audit in [
        audit::image(path, bytes),
        audit::function(path, bytes, ROOT),
    ] {
        match audit {
            Ok(audit) => assert!(!audit.functions.is_empty() || !audit.unknown.is_empty()),
            Err(error) => super::check_error(&error),
        }
    }
    if let Ok(functions) = Functions::of(path, bytes) {
        for address in [0, 4, 0x0800_0000, u32::MAX] {
            let _ = functions.at(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_audited() {
        let (path, bytes) = (Path::new("image.elf"), &linked());
        let audit = audit::function(path, bytes, ROOT).unwrap();
        assert_eq!(audit.functions.len(), 3, "{audit:?}");
        assert_eq!((audit.panics.len(), audit.floats.len()), (1, 1));
        assert_eq!(audit.stacks[0].needed_bytes(), 8 + 16);
        let audit = audit::image(path, bytes).unwrap();
        assert!(audit.stacks[0].exception_bytes > 2 * 16, "{audit:?}");
    }
}
