//! The depthwise mixer: `res_scale * x + layer_scale * (depthwise(norm(x)) + bias)`, in
//! place.
//!
//! As in ConvNeXt and RepMixer: a convolution of stride 1 with a window of its own for
//! each channel, any odd number of rows and of columns, zeros around the normalised map.
//!
//! The windows look at int8 values `v`: a ring of as many rows as the window has. The
//! lowest of them is made of a row of the stream that has not been written yet, then a
//! row of windows takes the place of the uppermost one and is added to the stream:
//!
//! ```text
//! t  = saturate(zero + requantize(start + sum of the taps' weight * v, multiplier))
//! q' = residual_c * q + factor_c * t + offset_c
//! ```
//!
//! `v`, `start` and `multiplier` depend on the norm. Fewer taps of a window over the
//! border count, so `start` depends on `W`, the sum of the weights of those inside:
//!
//! * **A norm that is folded** ([`DepthwiseMixer::norm`], GroupNorm of the whole map):
//!   `v` is `q`, or its rounding from 16 bits. With mean and deviation of the map,
//!
//!   ```text
//!   start      = (bias_c + beta_c * W) * sigma - 2^(8 - shift_c) * W * mean
//!   multiplier = multiplier_c / sigma
//!   ```
//!
//!   Beyond the map `v` is zero, so that neither mean nor beta of a tap outside counts.
//!   (`2^(8 - shift_c)` is one on an int8 stream.)
//! * **A norm that is written out** ([`DepthwiseMixer::normed`], LayerNorm of each
//!   token): `v` is the normalised value, `start = bias_c + beta_c * W`.
//! * **No norm**: `v` is `q`, or its rounding; `start = bias_c + beta_c * W`. Beyond the
//!   map `v` is the stream's zero point, so `beta` is empty.
//!
//! # Constants from real numbers
//!
//! With `w ~ weight_scale_c * weights` for the convolution's weights, `b` its bias,
//! `gamma` and `beta` those of the norm, `t_scale` the step of `t`, and the scales and
//! zero points of the stream that is read (`x_scale`, `x_zero`) and written:
//!
//! ```text
//! folded norm    multiplier = gamma * weight_scale / (2^(8 - shift) * t_scale)         Q28
//!                bias       = 2^(8 - shift) * b / (gamma * weight_scale)               Q8
//!                beta       = 2^(8 - shift) * beta / gamma                             Q8
//! written norm   multiplier = gamma * weight_scale * n_scale / t_scale                 Q32
//!                bias       = b / (gamma * weight_scale * n_scale)
//!                beta       = beta / (gamma * n_scale)
//! no norm        multiplier = x_scale * weight_scale / (2^(8 - shift) * t_scale)       Q32
//!                bias       = 2^(8 - shift) * (b / (x_scale * weight_scale)
//!                             - x_zero * sum of weights)
//! all            factor     = layer_scale * t_scale / written_scale                    Q24
//!                residual   = res_scale * x_scale / written_scale                      Q24
//!                offset     = written_zero + half a step - residual * x_zero - factor * zero
//!                                                                                      Q16
//! ```
//!
//! `n_scale` is the step of normalised values, `4096 / normed.multiplier`. Half a step of
//! an int16 stream is `1 / 512`, and its zero points are zero. A `gamma` of zero has to be
//! replaced by one that is small beside `beta`.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::depthwise::{self, Depthwise, Ring, Starts, padded_rows};
use crate::arithmetic::fixed::narrow;
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::norm::{Norm, NormScale, Stats};
use crate::arithmetic::normed::{Normaliser, Normed};
use crate::arithmetic::stream::{Scales, Stream};
use crate::present::{Present, missing};
use crate::steps::Step;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one depthwise mixer.
#[derive(Debug, Clone, Copy)]
pub struct DepthwiseMixer<'a> {
    /// The residual stream, read and written.
    pub map: Buffer,
    /// At least [`DepthwiseMixer::scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Rows, columns and channels.
    pub shape: [usize; 3],
    /// A norm of the whole map that is folded into `depthwise`, if there is one.
    pub norm: Option<Norm>,
    /// A norm that is written out before `depthwise`, if there is one; not both.
    pub normed: Option<Normed>,
    /// Bits per channel of an int16 stream that are rounded away where no norm is written
    /// out, at most eight; else empty.
    pub shift: &'a [u8],
    /// Over the channels. Behind a folded norm its bias is in units of `sigma`
    /// accumulator steps, Q8, and its multiplier for a deviation of one, Q28. Its padding
    /// is zero behind a norm.
    pub depthwise: Depthwise<'a>,
    /// The norm's bias per channel: added to the accumulator for each unit of the sum of
    /// weights, in the units of `depthwise.bias`; empty if the norm has no bias.
    pub beta: &'a [i32],
    /// Steps of the written stream for one of `t` per channel, Q24.
    pub factor: &'a [i32],
    /// Steps of the written stream for one that is read, per channel, Q24.
    pub residual: &'a [i32],
    /// Zero points and half a step per channel, Q16.
    pub offset: &'a [i32],
}

fields!(step depthwise_mixer::DepthwiseMixer<'_>:
    map, scratch, shape, norm, normed, shift, depthwise, beta, factor, residual, offset);

impl DepthwiseMixer<'_> {
    /// Scratch bytes that a run needs; `has_borders` if a norm is folded or has a bias.
    pub const fn scratch_size(
        [_, width, channels]: [usize; 3],
        [rows, columns]: [usize; 2],
        has_borders: bool,
    ) -> usize {
        let row_size = width.saturating_mul(channels);
        let ring = row_size.saturating_mul(rows).saturating_add(3) / 4;
        let gathered = depthwise::scratch_words(width, [rows, columns]);
        let starts = if has_borders {
            start_words(width, columns, channels)
        } else {
            0
        };
        ring.saturating_add(gathered)
            .saturating_add(starts)
            .saturating_mul(4)
    }

    /// Whether windows over the border have starts of their own.
    fn has_borders(&self) -> bool {
        self.norm.is_some() || !self.beta.is_empty()
    }

    fn check<S: Stream>(&self, map_size: usize) -> Result<(), Fault> {
        let [height, width, channels] = self.shape;
        ensure(map_size > 0 && map_size == volume(&[height, width, channels, S::BYTES]))?;
        self.depthwise.check(channels)?;
        ensure([self.factor, self.residual, self.offset].map(<[_]>::len) == [channels; 3])?;
        ensure(self.beta.is_empty() || self.beta.len() == channels)?;
        ensure(self.norm.is_none() || self.normed.is_none())?;
        let rounds = S::FRACTION > 0 && self.normed.is_none();
        ensure(self.shift.len() == if rounds { channels } else { 0 })?;
        ensure(self.shift.iter().all(|&shift| shift <= 8))
    }
}

/// Words of the starts: of each channel its multiplier and a start for every run of
/// windows, and the sums of a window's columns.
const fn start_words(width: usize, columns: usize, channels: usize) -> usize {
    let runs = most_runs(width, columns);
    channels.saturating_mul(1 + runs).saturating_add(columns)
}

/// Most runs of windows of a row with the same columns inside the map.
const fn most_runs(width: usize, columns: usize) -> usize {
    if width < columns { width } else { columns }
}

impl Step for DepthwiseMixer<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        Self::scratch_size(self.shape, self.depthwise.window, self.has_borders())
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        self.check::<I>(self.map.size)?;
        self.scratch.holds(Step::scratch_size::<I, O>(self))
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        advance::<I>(self, stats, progress, most, arena)
    }
}

#[cfg(feature = "visit")]
impl Described for DepthwiseMixer<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        false
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "depthwise_mixer::run",
            parameters: &[Parameter::Input],
        }
    }

    fn units(&self, _input: Values) -> Option<usize> {
        Some(self.shape[0] + self.depthwise.window[0] / 2 * 2)
    }
}

/// Runs the step on a stream of type `S`; `stats` are those of the map as it is read,
/// and the sums of what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<S: Stream>(
    step: &DepthwiseMixer<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<S>(step, stats, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` rows, counting those that are read before the first is written; returns whether it is
/// complete.
///
/// # Errors
/// As [`run`].
pub fn advance<S: Stream>(
    step: &DepthwiseMixer<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let (map, mut scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    step.check::<S>(map.len())?;
    let map = S::values_mut(map)?;
    let ([height, width, channels], window) = (step.shape, step.depthwise.window);
    let [slots, columns] = window;
    let ring_size = volume(&[slots, width, channels]);
    let ring = arena::cut(&mut scratch, ring_size.div_ceil(4))?;
    let ring = cast::words_as_i8s_mut(ring).get_mut(..ring_size);
    let mut ring = Ring {
        slots: ring.ok_or(Fault::Buffer)?,
        oldest: 0,
        width,
        channels,
    };
    let gathered = arena::cut(&mut scratch, depthwise::scratch_words(width, window))?;
    if progress.begins() {
        step.depthwise.prepare(&ring, gathered);
    }
    let mut borders = if step.has_borders() {
        let words = arena::cut(&mut scratch, start_words(width, columns, channels))?;
        Some(Borders::new::<S>(step, stats, words))
    } else {
        None
    };
    let source = Source {
        norm: step.normed.as_ref().map(|normed| normed.of::<S>(stats)),
        shift: step.shift,
        channels,
    };

    let scales = Scales {
        factor: step.factor,
        residual: step.residual,
        offset: step.offset,
    };

    // Not zero, as was checked; said again where the compiler sees it.
    let (slots, row_size) = (slots.max(1), (width * channels).max(1));
    let above = slots / 2;
    let mut written = progress.written;
    // Rows are counted from the first one that a window looks at.
    let total = height + 2 * above;
    let piece = Piece::next(progress, total, most, 1);
    for row in piece.first..piece.end {
        let slot = ring.row_mut(row % slots);
        match row.checked_sub(above).filter(|&row| row < height) {
            Some(row) => {
                let values = map.get(row * row_size..(row + 1) * row_size);
                source.fill::<S>(values.ok_or(Fault::Geometry)?, slot);
            }
            None => slot.fill(step.depthwise.padding),
        }
        if let Some(row) = row.checked_sub(2 * above) {
            ring.oldest = row % slots;
            match &mut borders {
                Some(borders) => {
                    borders.reach([above.saturating_sub(row), slots.min(height + above - row)]);
                    step.depthwise.row_from(&*borders, &mut ring, gathered);
                }
                None => step.depthwise.row(&mut ring, gathered),
            }
            let values = map.get_mut(row * row_size..(row + 1) * row_size);
            let mixed = ring.row_mut(ring.oldest);
            written.add_all(S::add_branch(
                values.ok_or(Fault::Geometry)?,
                mixed,
                &scales,
            ));
        }
    }
    Ok(progress.reach(piece.end, total, written))
}

/// Makes the rows of the ring.
struct Source<'a> {
    /// A norm that is written out.
    norm: Option<Normaliser<'a>>,
    shift: &'a [u8],
    channels: usize,
}

impl Source<'_> {
    /// Makes int8 values of a row of the stream.
    fn fill<S: Stream>(&self, row: &[S::Value], slot: &mut [i8]) {
        let Some(norm) = &self.norm else {
            return S::narrow(row, self.shift, slot);
        };
        let channels = self.channels.max(1);
        for (token, normed) in row.chunks(channels).zip(slot.chunks_mut(channels)) {
            norm.token::<S>(token, normed);
        }
    }
}

/// The starts of a row of windows, which depend on the taps inside the map.
struct Borders<'a> {
    step: &'a DepthwiseMixer<'a>,
    /// Mean and deviation of a map whose norm is folded.
    norm: Option<NormScale>,
    /// Rows of the windows that lie inside the map, from the first to the one behind the
    /// last, of the starts.
    rows: [usize; 2],
    /// Sums of the weights of each column in these rows.
    sums: &'a mut [i32],
    /// A multiplier for each channel.
    multipliers: &'a mut [i32],
    /// For each channel a start for each run of windows.
    starts: &'a mut [i32],
}

impl<'a> Borders<'a> {
    /// `words` has [`start_words`].
    fn new<S: Stream>(step: &'a DepthwiseMixer<'a>, stats: &Stats, words: &'a mut [i32]) -> Self {
        let ([_, columns], [.., channels]) = (step.depthwise.window, step.shape);
        let norm = step.norm.as_ref().map(|norm| S::norm(stats, norm));
        let (sums, words) = words.split_at_mut_checked(columns).present();
        let (multipliers, starts) = words.split_at_mut_checked(channels).present();
        for (multiplier, &base) in multipliers.iter_mut().zip(step.depthwise.multiplier) {
            *multiplier = match &norm {
                Some(norm) => norm.multiplier(base),
                None => base,
            };
        }
        Self {
            step,
            norm,
            rows: [0; 2],
            sums,
            multipliers,
            starts,
        }
    }

    /// Makes the starts of windows with these rows inside the map.
    fn reach(&mut self, rows: [usize; 2]) {
        if self.rows == rows {
            return;
        }
        self.rows = rows;
        let [first, end] = rows;
        let ([_, width, _], [window_rows, columns]) = (self.step.shape, self.step.depthwise.window);
        let starts = self
            .starts
            .chunks_exact_mut(most_runs(width, columns).max(1));
        let channels = self.step.depthwise.windows().zip(starts);
        for (channel, (window, starts)) in channels.enumerate() {
            let column_weights = window.chunks_exact(padded_rows(window_rows).max(1));
            for (sum, weights) in self.sums.iter_mut().zip(column_weights) {
                let inside = weights.get(first..end).present();
                *sum = inside.iter().map(|&weight| i32::from(weight)).sum();
            }
            let bias = self.step.depthwise.bias.get(channel).copied().present();
            // There may be no beta, and no shift.
            let beta = self.step.beta.get(channel).copied().unwrap_or(0);
            let shift = self.step.shift.get(channel).copied().unwrap_or(8).min(8);
            let mut starts = starts.iter_mut();
            each_run(width, columns, |x, _| {
                let inside = (columns / 2).saturating_sub(x)..columns.min(width + columns / 2 - x);
                let sum: i32 = self.sums.get(inside).present().iter().sum();
                let bias = narrow(i64::from(bias) + i64::from(beta) * i64::from(sum), 0);
                let Some(start) = starts.next() else {
                    return missing();
                };
                *start = match &self.norm {
                    Some(norm) => norm.start(bias, sum << (8 - shift)),
                    None => bias,
                };
            });
        }
    }
}

impl Starts for Borders<'_> {
    type Channel = usize;

    fn channels(&self) -> impl Iterator<Item = (usize, i32)> {
        self.multipliers.iter().copied().enumerate()
    }

    fn each_run(&self, channel: usize, width: usize, mut each: impl FnMut(usize, usize, i32)) {
        let [_, columns] = self.step.depthwise.window;
        let count = most_runs(width, columns);
        let starts = self.starts.get(channel * count..(channel + 1) * count);
        let mut starts = starts.present().iter();
        each_run(width, columns, |first, count| {
            each(first, count, starts.next().copied().present());
        });
    }
}

/// Hands the runs of a row's windows with the same columns inside the map to `each`: the
/// first window and how many there are.
fn each_run(width: usize, columns: usize, mut each: impl FnMut(usize, usize)) {
    let left = columns / 2;
    let mut x = 0;
    while x < width {
        // Between the borders, if the map is wider than them.
        let count = if x == left && width > 2 * left {
            width - 2 * left
        } else {
            1
        };
        each(x, count);
        x += count;
    }
}
