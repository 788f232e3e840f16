//! The firmware's log, decoded with the image's table of messages.

use std::fmt;
use std::path::Path;

use defmt_decoder::{DecodeError, StreamDecoder, Table};
use serde::Serialize;

use tadpool_image::elf::ElfError;

/// The messages of an image.
#[derive(Debug)]
pub struct LogTable(Table);

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// When, in ticks of the board's counter.
    pub ticks: String,
    /// How much it matters: `info`, `warn`, ...
    pub level: &'static str,
    /// The message.
    pub message: String,
}

impl LogTable {
    /// The messages of the image in `bytes`, from the file at `path`.
    ///
    /// # Errors
    /// An [`ElfError`] if it has none.
    pub fn of(path: &Path, bytes: &[u8]) -> Result<Self, ElfError> {
        match Table::parse(bytes) {
            Ok(Some(table)) => Ok(Self(table)),
            Ok(None) => Err(ElfError::new(path, "it has no log messages")),
            Err(error) => Err(ElfError::new(path, error)),
        }
    }

    /// The lines in `bytes`, which hold whole frames. A frame that is broken
    /// becomes a line that says so.
    pub fn decode(&self, bytes: &[u8]) -> Vec<LogLine> {
        self.decoder().decode(bytes)
    }

    /// Decodes a log that comes in pieces.
    pub fn decoder(&self) -> LogDecoder<'_> {
        LogDecoder(self.0.new_stream_decoder())
    }
}

/// Decodes a log that comes in pieces.
pub struct LogDecoder<'a>(Box<dyn StreamDecoder + Send + Sync + 'a>);

impl fmt::Debug for LogDecoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogDecoder").finish_non_exhaustive()
    }
}

impl LogDecoder<'_> {
    /// The lines that are complete with `bytes`, the next that came. A frame
    /// that is broken becomes a line that says so.
    pub fn decode(&mut self, bytes: &[u8]) -> Vec<LogLine> {
        self.0.received(bytes);
        let mut lines = Vec::new();
        loop {
            match self.0.decode() {
                Ok(frame) => lines.push(LogLine {
                    ticks: frame
                        .display_timestamp()
                        .map_or_else(String::new, |t| t.to_string()),
                    level: frame.level().map_or("print", |level| level.as_str()),
                    message: frame.display_message().to_string(),
                }),
                Err(DecodeError::Malformed) => lines.push(LogLine {
                    ticks: String::new(),
                    level: "error",
                    message: "a log frame arrived broken".into(),
                }),
                Err(DecodeError::UnexpectedEof) => return lines,
            }
        }
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12} {:<5} {}", self.ticks, self.level, self.message)
    }
}
