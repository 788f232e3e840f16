//! ELF files that are weighed and audited.

use std::path::Path;

use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};
use tadpool_image::audit;
use tadpool_image::elf::{Functions, sizes};

const ROOT: &str = "tadpool_inference";

/// A root that pushes and calls a function behind it, with data in between.
fn linked() -> Vec<u8> {
    // push {r4, lr}; bl +4; pop {r4, pc}; data; sub sp, #16; vadd.f32; bx lr
    let code: [u16; 9] = [
        0xb510, 0xf000, 0xf803, 0xbd10, 0x1234, 0xb084, 0xee30, 0x0a20, 0x4770,
    ];
    let code: Vec<u8> = code.iter().flat_map(|half| half.to_le_bytes()).collect();
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Arm, Endianness::Little);
    let text = object.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
    object.append_section_data(text, &code, 4);
    let weights = object.add_section(Vec::new(), b".weights".to_vec(), SectionKind::ReadOnlyData);
    object.append_section_data(weights, &[1; 16], 4);
    let symbols: [(&str, u64, u64, SymbolKind); 7] = [
        (ROOT, 1, 8, SymbolKind::Text),
        ("$t.0", 0, 0, SymbolKind::Label),
        ("$d.1", 8, 0, SymbolKind::Label),
        ("$t.2", 10, 0, SymbolKind::Label),
        (
            "_ZN4core9panicking5panic17h0000000000000000E",
            11,
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
    match audit::audit(path, bytes, ROOT) {
        Ok(audit) => assert!(!audit.functions.is_empty()),
        Err(error) => super::check_error(&error),
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
        let audit = audit::audit(Path::new("image.elf"), &linked(), ROOT).unwrap();
        assert_eq!(audit.functions.len(), 2);
        assert_eq!((audit.panics.len(), audit.floats.len()), (1, 1));
        assert_eq!(audit.stack_bytes, Ok(8 + 16));
    }
}
