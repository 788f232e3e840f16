//! Heads in flash: two slots, of which the newest whole one is used.
//!
//! A slot is a header and a payload, in blocks of [`BLOCK`] bytes; words are little-endian, and
//! bytes behind the end of either are `0xff`.
//!
//! | word of the header | what it is |
//! |---|---|
//! | 0 | `TPLH` |
//! | 1 | version of the format, 1 |
//! | 2 | number of the save; the valid slot with the larger one is used |
//! | 3 | what tells the network apart |
//! | 4 | features |
//! | 5 | classes |
//! | 6 | CRC-32 of the payload |
//! | 7 | CRC-32 of the words before |
//!
//! The payload is bias (two words), number of learned images and weights of each class. A save erases the
//! slot that is not used, writes its payload, reads that again, and writes the header last: until
//! its last byte is written, its CRC is wrong, and the other slot is used.

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use tadpool_kernels::checksum::crc32_on;

use crate::error::{LoadError, SaveError, SlotsError};
use crate::learner::{ClassState, Learner};

/// Bytes that are read and written at a time: a multiple of what flashes read and write.
const BLOCK: usize = 64;
const WORDS: usize = BLOCK / 4;
const HEADER_WORDS: usize = 8;
const MARK: u32 = u32::from_le_bytes(*b"TPLH");
const FORMAT: u32 = 1;

/// Bytes that a saved head takes of a slot.
pub const fn saved_bytes(features: usize, classes: usize) -> usize {
    let words = classes.saturating_mul(features.saturating_add(3));
    let blocks = words.div_ceil(WORDS).saturating_add(1);
    blocks.saturating_mul(BLOCK)
}

/// Where the two slots lie in a flash, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// The begin of the first one, a multiple of the bytes that are erased at a time.
    pub start: u32,
    /// Bytes of each, at least [`saved_bytes`], and such a multiple.
    pub slot_bytes: u32,
}

/// The header of a slot whose content is whole.
#[derive(Debug, Clone, Copy)]
struct Header {
    save: u32,
    network: u32,
    features: u32,
    classes: u32,
    crc: u32,
}

impl Learner<'_> {
    /// Saves the head into the slot that is not used, and returns the number of the save.
    /// `network` tells the network apart, as `Network::model_hash` does. The images of the
    /// replay are not saved.
    ///
    /// Whenever the power is lost meanwhile, what is loaded next is the head that was saved
    /// before, or this one.
    ///
    /// # Errors
    /// A [`SaveError`] if the slots do not suit `flash`, or it fails.
    pub fn save<F: NorFlash>(
        &self,
        flash: &mut F,
        slots: Slots,
        network: u32,
    ) -> Result<u32, SaveError<F::Error>> {
        let (features, classes) = (self.features(), self.classes());
        let size = saved_bytes(features, classes);
        slots.check(flash, size)?;
        check_erase::<F>(slots)?;
        let newest = slots.newest(flash).map_err(SaveError::Flash)?;
        let (place, save) = match newest {
            Some((place, header)) => (1 ^ place, header.save.wrapping_add(1)),
            None => (0, 1),
        };
        let start = slots.offset(place);
        let end = start.saturating_add(slots.slot_bytes);
        flash.erase(start, end).map_err(SaveError::Flash)?;
        let mut crc = 0;
        let mut offset = start;
        let mut words = self.words();
        for _ in 0..payload_blocks(features, classes) {
            let block = block(&mut words);
            crc = crc32_on(crc, &block);
            offset = offset.saturating_add(BLOCK as u32);
            flash.write(offset, &block).map_err(SaveError::Flash)?;
        }
        let header = Header {
            save,
            network,
            features: features as u32,
            classes: classes as u32,
            crc,
        };
        let found = header.payload_crc(flash, start);
        if found.map_err(SaveError::Flash)? != crc {
            return Err(SaveError::NotWritten);
        }
        let bytes = block(&mut header.words().into_iter());
        flash.write(start, &bytes).map_err(SaveError::Flash)?;
        match slots.header(flash, place).map_err(SaveError::Flash)? {
            Some(found) if found.save == save => Ok(save),
            _ => Err(SaveError::NotWritten),
        }
    }

    /// Loads the head that was saved last for the `network`. The replay is empty then.
    ///
    /// # Errors
    /// A [`LoadError`] if there is none, or it does not fit, or the flash fails.
    pub fn load<F: ReadNorFlash>(
        &mut self,
        flash: &mut F,
        slots: Slots,
        network: u32,
    ) -> Result<u32, LoadError<F::Error>> {
        slots.check(flash, BLOCK)?;
        let newest = slots.newest(flash).map_err(LoadError::Flash)?;
        let (place, header) = newest.ok_or(LoadError::Nothing)?;
        if header.network != network {
            return Err(LoadError::OtherNetwork {
                saved: header.network,
            });
        }
        let classes = header.classes as usize;
        let fits = header.features as usize == self.features();
        if !fits || classes > self.head.states.len() {
            return Err(LoadError::OtherSize {
                features: header.features,
                classes: header.classes,
            });
        }
        self.reset();
        self.head.classes = classes;
        match self.read(flash, slots.offset(place), &header) {
            Ok(true) => Ok(header.save),
            Ok(false) => {
                self.reset();
                Err(LoadError::Unsteady)
            }
            Err(error) => {
                self.reset();
                Err(LoadError::Flash(error))
            }
        }
    }

    /// Reads a payload, and tells whether its CRC is right.
    fn read<F: ReadNorFlash>(
        &mut self,
        flash: &mut F,
        start: u32,
        header: &Header,
    ) -> Result<bool, F::Error> {
        let mut reader = Reader::new(start);
        for (weights, state) in self.head.rows_mut() {
            *state = ClassState::NEW;
            let [low, high] = [reader.word(flash)?, reader.word(flash)?];
            state.bias = i64::from(high as i32) << 32 | i64::from(low);
            state.learned = reader.word(flash)?;
            for weight in weights {
                *weight = reader.word(flash)? as i32;
            }
        }
        Ok(reader.crc == header.crc)
    }

    /// The words of the payload.
    fn words(&self) -> impl Iterator<Item = u32> {
        self.head.rows().flat_map(|(weights, state)| {
            let weights = weights.iter().map(|&weight| weight as u32);
            let bias = [state.bias as u32, (state.bias >> 32) as u32];
            bias.into_iter().chain([state.learned]).chain(weights)
        })
    }
}

impl Slots {
    /// Whether the slots lie in `flash` and have room for so many bytes.
    fn check<F: ReadNorFlash>(self, flash: &F, needed: usize) -> Result<(), SlotsError> {
        check_unit(F::READ_SIZE)?;
        let given = self.slot_bytes;
        if (given as usize) < needed {
            return Err(SlotsError::Size { given, needed });
        }
        let end = u64::from(self.start).saturating_add(u64::from(given).saturating_mul(2));
        let bytes = flash.capacity();
        match end > bytes as u64 || end > u64::from(u32::MAX) {
            true => Err(SlotsError::Capacity { bytes }),
            false => Ok(()),
        }
    }

    fn offset(self, place: usize) -> u32 {
        match place {
            0 => self.start,
            _ => self.start.saturating_add(self.slot_bytes),
        }
    }

    /// The slot that is used, and its header.
    fn newest<F: ReadNorFlash>(self, flash: &mut F) -> Result<Option<(usize, Header)>, F::Error> {
        let [first, second] = [self.header(flash, 0)?, self.header(flash, 1)?];
        Ok(match (first, second) {
            (Some(first), Some(second)) if second.save > first.save => Some((1, second)),
            (Some(first), _) => Some((0, first)),
            (None, second) => second.map(|second| (1, second)),
        })
    }

    /// The header of a slot, if all of that is whole.
    fn header<F: ReadNorFlash>(
        self,
        flash: &mut F,
        place: usize,
    ) -> Result<Option<Header>, F::Error> {
        let start = self.offset(place);
        let mut block = [0; BLOCK];
        flash.read(start, &mut block)?;
        let Some(header) = Header::of(&block) else {
            return Ok(None);
        };
        let size = saved_bytes(header.features as usize, header.classes as usize);
        if size > self.slot_bytes as usize || header.payload_crc(flash, start)? != header.crc {
            return Ok(None);
        }
        Ok(Some(header))
    }
}

impl Header {
    fn words(&self) -> [u32; HEADER_WORDS] {
        let words = [
            MARK,
            FORMAT,
            self.save,
            self.network,
            self.features,
            self.classes,
            self.crc,
        ];
        let [a, b, c, d, e, f, g] = words;
        [a, b, c, d, e, f, g, crc_of_words(&words)]
    }

    /// The header in a block, if it is one.
    fn of(block: &[u8; BLOCK]) -> Option<Self> {
        let (words, _) = block.as_chunks::<4>();
        let words: &[[u8; 4]; HEADER_WORDS] = words.first_chunk()?;
        let words @ [mark, format, save, network, features, classes, crc, own] =
            words.map(u32::from_le_bytes);
        let [summed @ .., _] = &words;
        let is_one = mark == MARK && format == FORMAT && own == crc_of_words(summed);
        is_one.then_some(Self {
            save,
            network,
            features,
            classes,
            crc,
        })
    }

    /// The CRC-32 of the payload behind the header at `start`.
    fn payload_crc<F: ReadNorFlash>(&self, flash: &mut F, start: u32) -> Result<u32, F::Error> {
        let mut reader = Reader::new(start);
        for _ in 0..payload_blocks(self.features as usize, self.classes as usize) {
            reader.next(flash)?;
        }
        Ok(reader.crc)
    }
}

/// Reads a payload a word at a time, by blocks.
struct Reader {
    offset: u32,
    block: [u8; BLOCK],
    /// Words of the block that were taken.
    taken: usize,
    /// Of all blocks so far.
    crc: u32,
}

impl Reader {
    /// Behind the header at `start`.
    fn new(start: u32) -> Self {
        Self {
            offset: start,
            block: [0; BLOCK],
            taken: WORDS,
            crc: 0,
        }
    }

    fn next<F: ReadNorFlash>(&mut self, flash: &mut F) -> Result<(), F::Error> {
        self.offset = self.offset.saturating_add(BLOCK as u32);
        flash.read(self.offset, &mut self.block)?;
        self.crc = crc32_on(self.crc, &self.block);
        self.taken = 0;
        Ok(())
    }

    fn word<F: ReadNorFlash>(&mut self, flash: &mut F) -> Result<u32, F::Error> {
        if self.taken >= WORDS {
            self.next(flash)?;
        }
        let word = self.block.as_chunks::<4>().0.get(self.taken).copied();
        self.taken = self.taken.saturating_add(1);
        Ok(u32::from_le_bytes(word.unwrap_or_default()))
    }
}

fn payload_blocks(features: usize, classes: usize) -> usize {
    (saved_bytes(features, classes) / BLOCK).saturating_sub(1)
}

/// The next words as bytes, filled up with `0xff`.
fn block(words: &mut impl Iterator<Item = u32>) -> [u8; BLOCK] {
    let mut block = [0xff; BLOCK];
    for (place, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    block
}

fn crc_of_words(words: &[u32]) -> u32 {
    let add = |crc, word: &u32| crc32_on(crc, &word.to_le_bytes());
    words.iter().fold(0, add)
}

/// Whether a block is a multiple of what a flash reads or writes.
fn check_unit(bytes: usize) -> Result<(), SlotsError> {
    match BLOCK.checked_rem(bytes) {
        Some(0) => Ok(()),
        _ => Err(SlotsError::Unit {
            bytes,
            block: BLOCK,
        }),
    }
}

/// Whether the slots can be erased and written.
fn check_erase<F: NorFlash>(slots: Slots) -> Result<(), SlotsError> {
    check_unit(F::WRITE_SIZE)?;
    let bytes = F::ERASE_SIZE;
    let is_multiple = |value: u32| (value as usize).checked_rem(bytes) == Some(0);
    match is_multiple(slots.start) && is_multiple(slots.slot_bytes) {
        true => Ok(()),
        false => Err(SlotsError::Erase { bytes }),
    }
}
