//! Weights in the slots of a board's flash: read, written apart from the firmware, undone.

use std::path::Path;

use probe_rs::MemoryInterface as _;
use tadpool_boards::{Board, Region};
use tadpool_compiler::progress::Progress;
use tadpool_image::elf::ElfError;
use tadpool_image::slots::Update;
use tadpool_kernels::slots::{HEADER_BYTES, Header, Unusable, newest};

use super::connect::Connection;
use super::error::ProbeError;
use super::flash::Flashed;

/// Weights that cannot be flashed apart from the firmware.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The image has none.
    #[error(transparent)]
    Image(#[from] ElfError),
    /// The board cannot be reached or flashed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The weights are for another firmware than the one in the flash.
    #[error(
        "the board has another firmware than these weights are for (its flash differs at \
         {address:#010x}): another network, kernels, options or version of tadpool; flash all of \
         it, without `--weights-only`"
    )]
    OtherFirmware {
        /// The first address that differs.
        address: u64,
    },
    /// There is nothing to return to.
    #[error(
        "there are no weights to return to: slot 0 is {}, slot 1 is {}", told(&.0[0]), told(&.0[1])
    )]
    NothingBefore([Result<Header, Unusable>; 2]),
    /// The slots share a sector.
    #[error(
        "the slot at {origin:#010x} of board `{board}` is not whole sectors of its flash: a half \
         of the memory in `layout.weights` has to be a multiple of {sector_bytes} bytes"
    )]
    Sector {
        /// Name of the board.
        board: String,
        /// Where the slot begins.
        origin: u32,
        /// Bytes of the sector there.
        sector_bytes: u64,
    },
    /// All numbers of updates are used up.
    #[error("the slots have seen as many updates as can be; flash all of the image once")]
    LastUpdate,
}

fn told(slot: &Result<Header, Unusable>) -> String {
    match slot {
        Ok(header) => format!("update {}", header.update),
        Err(problem) => problem.to_string(),
    }
}

/// The slots of a board, and the one that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Each slot's header, or why it is not used.
    pub found: [Result<Header, Unusable>; 2],
    /// Index of the slot that the firmware takes at its next start.
    pub used: Option<usize>,
}

impl Slots {
    fn of(found: [Result<Header, Unusable>; 2]) -> Self {
        Self {
            used: newest(&found),
            found,
        }
    }

    /// The header of the slot that is used.
    pub fn header(&self) -> Option<Header> {
        self.used.and_then(|slot| self.found[slot].ok())
    }
}

impl Connection {
    /// The state of both slots of `board`, as the firmware that `update` is for would find them.
    ///
    /// # Errors
    /// A [`SlotError`].
    pub fn slots(&mut self, board: &Board, update: &Update) -> Result<Slots, SlotError> {
        let mut found = [Err(Unusable::Empty); 2];
        for (found, region) in found.iter_mut().zip(regions(board)) {
            let mut bytes = vec![0; HEADER_BYTES];
            self.read_flash(region.origin.into(), &mut bytes)?;
            *found = Header::read(&bytes).and_then(|header| {
                // More is not read than a slot has.
                match header.length.checked_add(HEADER_BYTES as u32) {
                    Some(length) if length <= region.length => Ok(header),
                    _ => Header::check(&bytes, header.program),
                }
            });
            if let Ok(header) = *found {
                bytes.resize(HEADER_BYTES + header.length as usize, 0);
                self.read_flash(region.origin.into(), &mut bytes)?;
                *found = Header::check(&bytes, update.program);
            }
        }
        Ok(Slots::of(found))
    }

    /// Writes the weights of `image`, whose `update` they are, into the slot that is not used,
    /// so that the firmware takes them from its next start on.
    ///
    /// # Errors
    /// A [`SlotError`], before anything is written: of another firmware among them. What is
    /// not written as a whole is not used, and is written anew by the next call.
    pub fn update_weights(
        &mut self,
        board: &Board,
        image: &Path,
        update: &Update,
        progress: &dyn Progress,
    ) -> Result<(Slots, Flashed), SlotError> {
        self.check_sectors(board)?;
        self.check_firmware(board, image)?;
        let before = self.slots(board, update)?;
        let target = before.used.map_or(0, |used| 1 - used);
        let number = before
            .header()
            .map_or(Some(1), |header| header.update.checked_add(1));
        let bytes = update.slot(target, number.ok_or(SlotError::LastUpdate)?);
        let address = regions(board)[target].origin;
        let flashed = self.flash_bytes(address.into(), &bytes, progress)?;
        Ok((self.slots(board, update)?, flashed))
    }

    /// Erases the weights that are used, so that the firmware takes those before from its next
    /// start on.
    ///
    /// # Errors
    /// A [`SlotError`] if there are none before, or the board has another firmware than
    /// `image`.
    pub fn roll_back_weights(
        &mut self,
        board: &Board,
        image: &Path,
        update: &Update,
    ) -> Result<Slots, SlotError> {
        self.check_sectors(board)?;
        self.check_firmware(board, image)?;
        let before = self.slots(board, update)?;
        let used = match (before.used, before.found) {
            (Some(used), [Ok(_), Ok(_)]) => used,
            (_, found) => return Err(SlotError::NothingBefore(found)),
        };
        let address = regions(board)[used].origin;
        self.flash_bytes(address.into(), &[0xff; HEADER_BYTES], &())?;
        self.slots(board, update)
    }

    /// Refuses slots that cannot be erased one without the other.
    fn check_sectors(&mut self, board: &Board) -> Result<(), SlotError> {
        for Region { origin, .. } in regions(board) {
            if let Some((start, sector_bytes)) = self.sector_at(origin.into())
                && start != u64::from(origin)
            {
                return Err(SlotError::Sector {
                    board: board.name.clone(),
                    origin,
                    sector_bytes,
                });
            }
        }
        Ok(())
    }

    /// Refuses a board that has another firmware than `image`, slots apart.
    fn check_firmware(&mut self, board: &Board, image: &Path) -> Result<(), SlotError> {
        let regions = regions(board).map(|Region { origin, length }| {
            let start = u64::from(origin);
            start..start + u64::from(length)
        });
        match self.first_difference(image, &regions)? {
            Some(address) => Err(SlotError::OtherFirmware { address }),
            None => Ok(()),
        }
    }

    fn read_flash(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), ProbeError> {
        let read = self
            .session
            .core(0)
            .and_then(|mut core| core.read(address, bytes));
        read.map_err(|error| ProbeError::Lost {
            doing: "its slots were read",
            cause: self.cause(&error),
        })
    }
}

/// The slots of a board that has them, as whoever has an [`Update`] for it knows.
fn regions(board: &Board) -> [Region; 2] {
    board.slots().unwrap_or(
        [Region {
            origin: 0,
            length: 0,
        }; 2],
    )
}
