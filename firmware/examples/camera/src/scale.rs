//! From the camera's rows to the model's pixels: the middle of the picture, each
//! pixel the mean of a square.

use tadpool_model::{INPUT_CHANNELS, INPUT_HEIGHT, INPUT_WIDTH};

use crate::Frame;

/// Columns of the camera's picture.
pub(crate) const COLUMNS: usize = 160;
/// Rows of the camera's picture.
pub(crate) const ROWS: usize = 120;
/// Bytes of one of its rows, RGB565 with the high byte first.
pub(crate) const ROW_BYTES: usize = 2 * COLUMNS;

/// Side of the square that becomes a pixel.
const SIDE: usize = if COLUMNS / INPUT_WIDTH < ROWS / INPUT_HEIGHT {
    COLUMNS / INPUT_WIDTH
} else {
    ROWS / INPUT_HEIGHT
};
const LEFT: usize = (COLUMNS - SIDE * INPUT_WIDTH) / 2;
const TOP: usize = (ROWS - SIDE * INPUT_HEIGHT) / 2;

const _: () = assert!(INPUT_CHANNELS == 3 && SIDE > 0);

/// Sums of the squares of one row of pixels.
#[derive(Debug)]
pub(crate) struct Scaler {
    sums: [[u16; 3]; INPUT_WIDTH],
}

impl Scaler {
    pub(crate) const fn new() -> Self {
        Self {
            sums: [[0; 3]; INPUT_WIDTH],
        }
    }

    /// Takes row number `row` of the camera's picture; the last one of each
    /// square completes a row of `frame`.
    pub(crate) fn take(&mut self, row: usize, bytes: &[u8; ROW_BYTES], frame: &mut Frame) {
        let Some(row) = row
            .checked_sub(TOP)
            .filter(|row| *row < SIDE * INPUT_HEIGHT)
        else {
            return;
        };
        let (pixels, _) = bytes.as_chunks::<2>();
        let squares = pixels.get(LEFT..).unwrap_or_default().chunks_exact(SIDE);
        for (sums, square) in self.sums.iter_mut().zip(squares) {
            for pixel in square {
                for (sum, value) in sums.iter_mut().zip(rgb(*pixel)) {
                    *sum += u16::from(value);
                }
            }
        }
        if row % SIDE == SIDE - 1 {
            let line = frame.chunks_exact_mut(3 * INPUT_WIDTH).nth(row / SIDE);
            let (pixels, _) = line.unwrap_or_default().as_chunks_mut::<3>();
            for (pixel, sums) in pixels.iter_mut().zip(&mut self.sums) {
                *pixel = sums.map(|sum| (sum / (SIDE * SIDE) as u16) as u8);
                *sums = [0; 3];
            }
        }
    }
}

/// Red, green and blue of an RGB565 pixel, from 0 to 255.
fn rgb(pixel: [u8; 2]) -> [u8; 3] {
    let bits = u16::from_be_bytes(pixel);
    let [red, green, blue] = [bits >> 11, bits >> 5 & 0x3f, bits & 0x1f];
    [
        (red << 3 | red >> 2) as u8,
        (green << 2 | green >> 4) as u8,
        (blue << 3 | blue >> 2) as u8,
    ]
}
