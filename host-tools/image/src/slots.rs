//! Weights that are flashed apart from the image, into one of a board's two slots.

use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget};
use object::{SectionFlags, SectionKind, elf};
use tadpool_boards::Board;
use tadpool_kernels::checksum::{crc32, crc32_on};
use tadpool_kernels::slots::{HEADER_BYTES, Header};

use super::elf::{ElfError, WEIGHTS, model_hash};
use super::seal::{PROGRAM, SEAL_BYTES, place};

/// The section of the first slot's header.
pub(crate) const SLOT_HEADER: &str = ".slot_header";
/// The section that erases the second slot when the image is flashed.
const OTHER_SLOT: &str = ".other_slot";

/// The weights of an image that has slots, for either of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The CRC that tells the image's program from others: all of it but weights.
    pub program: u32,
    /// Hash of the model.
    pub model_hash: u32,
    /// The constants as they were linked, for the first slot.
    linked: Vec<u8>,
    /// Where in these the pointers are that lead to others of them.
    pointers: Vec<usize>,
    /// Bytes from the first slot to the second.
    distance: u32,
}

impl Update {
    /// The weights of the image in `bytes`, from the file at `path`, for `board`.
    ///
    /// # Errors
    /// An [`ElfError`] if the image has no slots.
    pub fn of(path: &Path, bytes: &[u8], board: &Board) -> Result<Self, ElfError> {
        let [first, second] = board.slots().ok_or_else(|| {
            let name = &board.name;
            ElfError::new(
                path,
                format!("board `{name}` has no `layout.weight_slots` in its file"),
            )
        })?;
        Ok(Self {
            distance: second.origin.wrapping_sub(first.origin),
            ..Self::linked(path, bytes)?
        })
    }

    /// The same for the first slot only.
    pub(crate) fn linked(path: &Path, bytes: &[u8]) -> Result<Self, ElfError> {
        let wrong = |problem: String| ElfError::new(path, problem);
        let file = object::File::parse(bytes).map_err(|error| wrong(error.to_string()))?;
        let weights = file
            .section_by_name(WEIGHTS)
            .ok_or_else(|| wrong("it has no weights".into()))?;
        let linked = weights.data().map_err(|error| wrong(error.to_string()))?;
        let mut pointers = Vec::new();
        for (address, relocation) in weights.relocations() {
            let place = address.checked_sub(weights.address());
            let place = place.and_then(|place| usize::try_from(place).ok());
            let place = place
                .filter(|place| place.is_multiple_of(4) && place.saturating_add(4) <= linked.len());
            let kind = RelocationFlags::Elf {
                r_type: elf::R_ARM_ABS32,
            };
            let (Some(place), true) = (place, relocation.flags() == kind) else {
                let problem = format!("its weights have a pointer at {address:#x} of another kind");
                return Err(wrong(problem));
            };
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                return Err(wrong(format!("the pointer at {address:#x} leads nowhere")));
            };
            let symbol = file.symbol_by_index(symbol);
            let symbol = symbol.map_err(|error| wrong(error.to_string()))?;
            if symbol.section_index() == Some(weights.index()) {
                pointers.push(place);
            }
        }
        Ok(Self {
            program: program(path, bytes, &file)?,
            model_hash: model_hash(path, bytes)?,
            linked: linked.to_vec(),
            pointers,
            distance: 0,
        })
    }

    /// All that is written into slot number `slot`, header and weights, as update number
    /// `update`.
    pub fn slot(&self, slot: usize, update: u32) -> Vec<u8> {
        let mut behind = self.linked.clone();
        if slot != 0 {
            for &place in &self.pointers {
                if let Some(word) = behind[place..].first_chunk_mut::<4>() {
                    let moved = u32::from_le_bytes(*word).wrapping_add(self.distance);
                    *word = moved.to_le_bytes();
                }
            }
        }
        let header = Header {
            update,
            program: self.program,
            model_hash: self.model_hash,
            length: behind.len() as u32,
            crc: crc32(&behind),
        };
        [&header.bytes()[..], &behind].concat()
    }

    /// The header of the first slot as the image has it: its first update.
    pub(crate) fn first_header(&self) -> [u8; HEADER_BYTES] {
        let slot = self.slot(0, 1);
        slot.first_chunk().copied().unwrap_or([0; HEADER_BYTES])
    }
}

/// CRC of all that an image puts into the board's memory, and of where it does, without slots
/// and without the place for this CRC.
fn program(path: &Path, bytes: &[u8], file: &object::File<'_>) -> Result<u32, ElfError> {
    let wrong = |problem: String| ElfError::new(path, problem);
    let sealed = place(file, PROGRAM).ok_or_else(|| wrong("it has no slots for weights".into()))?;
    let mut bytes = bytes.to_vec();
    if let Some(room) = bytes
        .get_mut(sealed..)
        .and_then(|it| it.get_mut(..SEAL_BYTES))
    {
        room.fill(0);
    }
    let mut crc = 0;
    let mut sections: Vec<_> = file.sections().collect();
    sections.sort_by_key(ObjectSection::address);
    for section in sections {
        let SectionFlags::Elf { sh_flags } = section.flags() else {
            continue;
        };
        let is_loaded = sh_flags & u64::from(elf::SHF_ALLOC) != 0
            && section.kind() != SectionKind::UninitializedData;
        let name = section.name().unwrap_or_default();
        if !is_loaded || [WEIGHTS, SLOT_HEADER, OTHER_SLOT].contains(&name) {
            continue;
        }
        let Some((start, length)) = section.file_range() else {
            continue;
        };
        let data = usize::try_from(start)
            .ok()
            .and_then(|start| bytes.get(start..));
        let data = data.and_then(|data| data.get(..usize::try_from(length).ok()?));
        let data = data.ok_or_else(|| wrong(format!("its section `{name}` is cut off")))?;
        crc = crc32_on(crc32_on(crc, &section.address().to_le_bytes()), data);
    }
    Ok(crc)
}
