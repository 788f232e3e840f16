//! Heads in flash: whatever is cut off, one whole head is loaded.

use std::fmt;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use tadpool_kernels::Logit;
use tadpool_learn::{
    ClassState, Learner, LoadError, Memory, Options, SaveError, Slots, SlotsError, saved_bytes,
};

const FEATURES: usize = 5;
const CLASSES: usize = 3;
const NETWORK: u32 = 0xc0ff_ee00;
const SLOTS: Slots = Slots {
    start: 64,
    slot_bytes: 256,
};

/// A flash whose power is lost after so many bytes were erased or written.
#[derive(Debug, Clone)]
struct Flash<const UNIT: usize> {
    bytes: Vec<u8>,
    left: usize,
    /// Whether pages are erased from their last byte on.
    erases_backwards: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PowerLost;

impl fmt::Display for PowerLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the power is lost")
    }
}

impl NorFlashError for PowerLost {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const UNIT: usize> Flash<UNIT> {
    fn new() -> Self {
        Self {
            bytes: vec![0x5a; 1024],
            left: usize::MAX,
            erases_backwards: false,
        }
    }

    fn change(&mut self, at: usize, change: impl Fn(u8) -> u8) -> Result<(), PowerLost> {
        let Some(left) = self.left.checked_sub(1) else {
            // The byte that was being changed holds anything.
            self.bytes[at] = change(self.bytes[at]) ^ 0x24;
            return Err(PowerLost);
        };
        self.left = left;
        self.bytes[at] = change(self.bytes[at]);
        Ok(())
    }
}

impl<const UNIT: usize> ErrorType for Flash<UNIT> {
    type Error = PowerLost;
}

impl<const UNIT: usize> ReadNorFlash for Flash<UNIT> {
    const READ_SIZE: usize = UNIT;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerLost> {
        assert!((offset as usize).is_multiple_of(UNIT) && bytes.len().is_multiple_of(UNIT));
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const UNIT: usize> NorFlash for Flash<UNIT> {
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = 64;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerLost> {
        assert!(from.is_multiple_of(64) && to.is_multiple_of(64));
        let mut places: Vec<usize> = (from as usize..to as usize).collect();
        if self.erases_backwards {
            places.reverse();
        }
        places
            .into_iter()
            .try_for_each(|at| self.change(at, |_| 0xff))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerLost> {
        assert!((offset as usize).is_multiple_of(UNIT) && bytes.len().is_multiple_of(UNIT));
        let mut bytes = (offset as usize..).zip(bytes);
        bytes.try_for_each(|(at, &byte)| {
            assert_eq!(self.bytes[at], 0xff, "written twice");
            self.change(at, |_| byte)
        })
    }
}

/// Runs `with` on a learner with room for `most` classes that has learned from `turns` images.
fn learner<T>(most: usize, turns: i16, with: impl FnOnce(&mut Learner<'_>) -> T) -> T {
    let mut weights = vec![0; FEATURES * most];
    let mut classes = vec![ClassState::NEW; most];
    let mut logits = vec![Logit::from_q16(0); most];
    let memory = Memory {
        weights: &mut weights,
        classes: &mut classes,
        logits: &mut logits,
        replay: &mut [0; 40],
    };
    let mut learner = Learner::empty(FEATURES, memory, Options::default()).unwrap();
    for _ in 0..most.min(CLASSES) {
        learner.add_class().unwrap();
    }
    for turn in 0..turns {
        let class = turn as usize % CLASSES;
        learner
            .learn(&[100 * turn, -900, 70, 1000 - turn, 1], class)
            .unwrap();
    }
    with(&mut learner)
}

fn checksum(turns: i16) -> u32 {
    learner(CLASSES, turns, |learner| learner.checksum())
}

/// The checksum of the head that is loaded, and the number of its save.
fn loaded<const UNIT: usize>(flash: &mut Flash<UNIT>) -> Result<(u32, u32), LoadError<PowerLost>> {
    learner(CLASSES + 1, 1, |learner| {
        let before = learner.checksum();
        let save = learner.load(flash, SLOTS, NETWORK);
        if save.is_err() {
            assert_eq!(learner.checksum(), before);
        } else {
            assert_eq!((learner.classes(), learner.replayed()), (CLASSES, 0));
        }
        save.map(|save| (learner.checksum(), save))
    })
}

fn saved<const UNIT: usize>(
    flash: &mut Flash<UNIT>,
    turns: i16,
) -> Result<u32, SaveError<PowerLost>> {
    learner(CLASSES, turns, |learner| {
        learner.save(flash, SLOTS, NETWORK)
    })
}

#[test]
fn what_was_saved_is_loaded() {
    let mut flash = Flash::<4>::new();
    assert_eq!(loaded(&mut flash), Err(LoadError::Nothing));
    for save in 1..6 {
        let turns = 10 * save as i16;
        assert_eq!(saved(&mut flash, turns), Ok(save));
        assert_eq!(loaded(&mut flash), Ok((checksum(turns), save)));
    }
    // Nothing around the slots is touched.
    assert!(flash.bytes[..64].iter().all(|&byte| byte == 0x5a));
    assert!(flash.bytes[64 + 512..].iter().all(|&byte| byte == 0x5a));
}

#[test]
fn wherever_the_power_is_lost_the_old_or_the_new_head_is_there() {
    fn check<const UNIT: usize>(erases_backwards: bool) {
        let mut before = Flash::<UNIT>::new();
        before.erases_backwards = erases_backwards;
        let (mut old, mut old_save) = (Err(LoadError::Nothing), 0);
        for turns in [4, 20, 33] {
            let new = Ok((checksum(turns), old_save + 1));
            let mut outcomes = [0, 0];
            for left in 0.. {
                let mut flash = before.clone();
                flash.left = left;
                let is_saved = saved(&mut flash, turns);
                flash.left = usize::MAX;
                let found = loaded(&mut flash);
                match is_saved {
                    Ok(save) => {
                        assert_eq!((found, save), (new, old_save + 1));
                        before = flash;
                        break;
                    }
                    Err(error) => assert_eq!(error, SaveError::Flash(PowerLost)),
                }
                assert!(found == old || found == new, "{left}: {found:?}");
                outcomes[usize::from(found == new)] += 1;
                // What comes next is saved all the same.
                assert!(saved(&mut flash, 50).is_ok());
                assert_eq!(loaded(&mut flash).unwrap().0, checksum(50));
            }
            // The slot is erased, and written once.
            assert_eq!(
                outcomes[0] + outcomes[1],
                256 + saved_bytes(FEATURES, CLASSES)
            );
            (old, old_save) = (new, old_save + 1);
        }
    }
    check::<1>(false);
    check::<4>(true);
    check::<32>(false);
}

#[test]
fn every_bit_that_flips_is_noticed() {
    let mut flash = Flash::<1>::new();
    saved(&mut flash, 4).unwrap();
    saved(&mut flash, 9).unwrap();
    for bit in 0..8 * saved_bytes(FEATURES, CLASSES) {
        let mut flash = flash.clone();
        flash.bytes[64 + 256 + bit / 8] ^= 1 << (bit % 8);
        let found = loaded(&mut flash).unwrap();
        // What is behind the end of the header counts for nothing.
        match (32..64).contains(&(bit / 8)) {
            true => assert_eq!(found, (checksum(9), 2)),
            false => assert_eq!(found, (checksum(4), 1), "bit {bit}"),
        }
    }
}

#[test]
fn heads_of_others_are_not_loaded() {
    let mut flash = Flash::<4>::new();
    saved(&mut flash, 9).unwrap();
    let other = learner(CLASSES, 1, |learner| learner.load(&mut flash, SLOTS, 7));
    assert_eq!(other, Err(LoadError::OtherNetwork { saved: NETWORK }));
    let small = learner(1, 0, |learner| learner.load(&mut flash, SLOTS, NETWORK));
    let (features, classes) = (5, 3);
    assert_eq!(small, Err(LoadError::OtherSize { features, classes }));
    // One that says to be larger than its slot.
    let huge = [1u32, 2, NETWORK, u32::MAX, u32::MAX, 0];
    let words = [u32::from_le_bytes(*b"TPLH")].into_iter().chain(huge);
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    let crc = tadpool_kernels::checksum::crc32(&bytes);
    flash.bytes[64 + 256..][..28].copy_from_slice(&bytes);
    flash.bytes[64 + 256 + 28..][..4].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(loaded(&mut flash), Ok((checksum(9), 1)));
}

#[test]
fn slots_that_do_not_suit_the_flash_are_refused() {
    fn refusal<const UNIT: usize>(start: u32, slot_bytes: u32) -> SlotsError {
        let mut flash = Flash::<UNIT>::new();
        let slots = Slots { start, slot_bytes };
        let error = learner(CLASSES, 1, |learner| {
            learner.save(&mut flash, slots, NETWORK)
        });
        assert!(flash.bytes.iter().all(|&byte| byte == 0x5a));
        match error {
            Err(SaveError::Slots(error)) => error,
            other => panic!("{other:?}"),
        }
    }
    let (bytes, block) = (24, 64);
    assert_eq!(refusal::<24>(0, 256), SlotsError::Unit { bytes, block });
    assert_eq!(refusal::<4>(32, 256), SlotsError::Erase { bytes: 64 });
    assert_eq!(refusal::<4>(0, 250), SlotsError::Erase { bytes: 64 });
    let (given, needed) = (128, 192);
    assert_eq!(refusal::<4>(0, 128), SlotsError::Size { given, needed });
    let bytes = 1024;
    assert_eq!(refusal::<4>(0, 576), SlotsError::Capacity { bytes });
    assert_eq!(
        refusal::<4>(u32::MAX - 63, 256),
        SlotsError::Capacity { bytes }
    );
}
