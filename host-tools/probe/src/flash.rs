//! Writing an image into a board's flash.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use probe_rs::MemoryInterface as _;
use probe_rs::flashing::{
    self, BootInfo, DownloadOptions, ElfLoader, ElfOptions, FileDownloadError, FlashError,
    FlashLoader, FlashProgress, ProgressEvent, ProgressOperation,
};

use super::connect::Connection;
use super::error::{ProbeError, causes, is_lost};
use tadpool_compiler::progress::Progress;
use tadpool_image::elf::ElfError;

/// Flash that is read at a time.
const PIECE_BYTES: usize = 4096;

/// An image that is in a board's flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flashed {
    /// Bytes of the image.
    pub bytes: u64,
    /// Time that it took; none if the image was there before.
    pub time: Option<Duration>,
}

impl Connection {
    /// Writes `image` into the flash and reads it back.
    ///
    /// # Errors
    /// A [`ProbeError`]. An image that was not written as a whole is written
    /// anew by the next call.
    pub fn flash(&mut self, image: &Path, progress: &dyn Progress) -> Result<Flashed, ProbeError> {
        let loader = self.loader(image)?;
        let flashed = self.commit(&loader, progress)?;
        self.is_loaded = true;
        Ok(flashed)
    }

    /// Writes `bytes` to `address` of the flash and reads them back. The rest of the sectors
    /// that they are in is erased.
    ///
    /// # Errors
    /// A [`ProbeError`].
    pub fn flash_bytes(
        &mut self,
        address: u64,
        bytes: &[u8],
        progress: &dyn Progress,
    ) -> Result<Flashed, ProbeError> {
        let mut loader = self.session.target().flash_loader();
        let added = loader.add_data(address, bytes);
        added.map_err(|error| self.flash_error(&error, 0, bytes.len() as u64))?;
        self.commit(&loader, progress)
    }

    fn commit(
        &mut self,
        loader: &FlashLoader,
        progress: &dyn Progress,
    ) -> Result<Flashed, ProbeError> {
        let bytes = length(loader);
        let start = Instant::now();
        let mut written_bytes = 0;
        let mut options = DownloadOptions::default();
        options.verify = true;
        options.progress = FlashProgress::new(|event| {
            if let ProgressEvent::Progress {
                operation: ProgressOperation::Program,
                size,
                ..
            } = event
            {
                written_bytes += size;
            }
            show(progress, &event);
        });
        let result = loader.commit(&mut self.session, options);
        progress.end();
        result.map_err(|error| self.flash_error(&error, written_bytes, bytes))?;
        Ok(Flashed {
            bytes,
            time: Some(start.elapsed()),
        })
    }

    /// As [`Self::flash`], unless `image` is in the flash already. One that is to lie in RAM
    /// is always written: the firmware may have changed what it left there.
    ///
    /// # Errors
    /// A [`ProbeError`].
    pub fn flash_if_needed(
        &mut self,
        image: &Path,
        progress: &dyn Progress,
    ) -> Result<Flashed, ProbeError> {
        let is_blank = self.emulator.is_some();
        if !is_blank {
            let loader = self.loader(image)?;
            if ram_start(&loader).is_some() {
                return self.flash(image, progress);
            }
            let mut silent = FlashProgress::empty();
            match loader.verify(&mut self.session, &mut silent) {
                Ok(()) => {
                    return Ok(Flashed {
                        bytes: length(&loader),
                        time: None,
                    });
                }
                Err(FlashError::Verify) => {}
                Err(error) => return Err(self.flash_error(&error, 0, length(&loader))),
            }
        }
        self.flash(image, progress)
    }

    /// The first address at which the flash does not hold what `image` has there, but for what
    /// it has in the regions `except`; the core goes on running.
    ///
    /// # Errors
    /// A [`ProbeError`] if the image or the flash cannot be read.
    pub(super) fn first_difference(
        &mut self,
        image: &Path,
        except: &[Range<u64>],
    ) -> Result<Option<u64>, ProbeError> {
        let loader = self.loader(image)?;
        let mut found = [0; PIECE_BYTES];
        for (address, bytes) in loader.data() {
            let pieces = (address..).step_by(PIECE_BYTES);
            for (address, piece) in pieces.zip(bytes.chunks(PIECE_BYTES)) {
                let found = &mut found[..piece.len()];
                let read = self
                    .session
                    .core(0)
                    .and_then(|mut core| core.read(address, found));
                read.map_err(|error| ProbeError::Lost {
                    doing: "its flash was compared",
                    cause: self.cause(&error),
                })?;
                let differing = (address..).zip(found.iter().zip(piece));
                let mut differing = differing.filter(|(_, (a, b))| a != b);
                let first = differing
                    .find(|(address, _)| !except.iter().any(|region| region.contains(address)));
                if let Some((address, _)) = first {
                    return Ok(Some(address));
                }
            }
        }
        Ok(None)
    }

    /// Start and length of the flash's sector at `address`; none if it is no flash.
    pub(super) fn sector_at(&mut self, address: u64) -> Option<(u64, u64)> {
        let algorithms = &self.session.target().flash_algorithms;
        let mut properties = algorithms
            .iter()
            .map(|algorithm| &algorithm.flash_properties);
        let flash = properties.find(|flash| flash.address_range.contains(&address))?;
        let within = address - flash.address_range.start;
        let sector = flash
            .sectors
            .iter()
            .rfind(|sector| sector.address <= within)?;
        let before = (within - sector.address) / sector.size.max(1) * sector.size;
        let start = flash.address_range.start + sector.address + before;
        Some((start, sector.size))
    }

    pub(super) fn loader(&mut self, image: &Path) -> Result<FlashLoader, ProbeError> {
        let format = ElfLoader(ElfOptions::default());
        flashing::build_loader(&mut self.session, image, format, None).map_err(|error| match &error
        {
            FileDownloadError::IO(cause) => ElfError::new(image, cause).into(),
            FileDownloadError::Elf(cause) => ElfError::new(image, cause).into(),
            FileDownloadError::NoLoadableSegments => {
                ElfError::new(image, "it has nothing to load").into()
            }
            error => ProbeError::Unsuited {
                image: image.to_owned(),
                chip: self.chip.clone(),
                cause: causes(error),
            },
        })
    }

    fn flash_error(
        &mut self,
        error: &FlashError,
        written_bytes: u64,
        total_bytes: u64,
    ) -> ProbeError {
        let chip = self.chip.clone();
        match error {
            FlashError::Verify => ProbeError::Verify { chip },
            error if is_lost(error) => ProbeError::LostInFlash {
                written_bytes: written_bytes.min(total_bytes),
                total_bytes,
                cause: self.cause(error),
            },
            error => ProbeError::Flash {
                chip,
                cause: causes(error),
            },
        }
    }
}

/// Where the vector table is of an image that is loaded into RAM; none if it starts from
/// flash, by a reset.
pub(super) fn ram_start(loader: &FlashLoader) -> Option<u64> {
    match loader.boot_info() {
        BootInfo::FromRam {
            vector_table_addr, ..
        } => Some(vector_table_addr),
        BootInfo::Other => None,
    }
}

fn length(loader: &FlashLoader) -> u64 {
    loader.data().map(|(_, bytes)| bytes.len() as u64).sum()
}

/// Shows an event as progress in KiB.
fn show(progress: &dyn Progress, event: &ProgressEvent) {
    const KIB: u64 = 1024;
    match event {
        ProgressEvent::AddProgressBar {
            operation,
            total: Some(total),
        } => {
            let what = match operation {
                ProgressOperation::Fill => "read flash, KiB",
                ProgressOperation::Erase => "erase flash, KiB",
                ProgressOperation::Program => "write flash, KiB",
                ProgressOperation::Verify => "check flash, KiB",
            };
            progress.begin(what, (total / KIB) as usize);
        }
        ProgressEvent::Progress { size, .. } => {
            for _ in 0..size / KIB {
                progress.advance();
            }
        }
        _ => {}
    }
}
