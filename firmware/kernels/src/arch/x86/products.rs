//! The products of a [`Rows`](crate::arithmetic::layout::Rows) tile: four outputs times
//! two tokens at a time, 16 inputs an instruction.

use core::arch::x86_64::*;

use super::block::Block;
use super::table::look_up_all;
use super::{Unaligned, has_avx2, has_vnni, padded, wide};
use crate::arch::cast;
use crate::arch::portable::rows::{halves, halves_mut};
use crate::arithmetic::matmul::Linear;
use crate::arithmetic::norm::Partial;
use crate::present::Present;

/// Inputs of a vector.
const INPUTS: usize = 16;

/// Brings tokens into a tile; false if they are to lie there as portable code has them.
pub(crate) fn expand(tokens: &[i8], stride: usize, inputs: usize, tile: &mut [i32]) -> bool {
    let is_wide = wide::is_here();
    if is_wide {
        wide::expand(tokens, stride, inputs, tile);
    }
    is_wide
}

/// Writes the requantized sums; none if the processor lacks what this takes.
pub(crate) fn write(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Option<Partial> {
    if wide::is_here() {
        return Some(wide::write(linear, None, tile, tokens));
    }
    let mut values = Values::new(linear, None, tokens);
    each_block(linear, tile, &mut values).then(|| values.written())
}

/// The same, added to the residual stream; none if the processor lacks what this takes.
pub(crate) fn update(
    linear: &Linear<'_>,
    residual: &[i32],
    tile: &[i32],
    tokens: &mut [i8],
) -> Option<Partial> {
    if wide::is_here() {
        return Some(wide::write(linear, Some(residual), tile, tokens));
    }
    let mut values = Values::new(linear, Some(linear.of(residual)), tokens);
    each_block(linear, tile, &mut values).then(|| values.written())
}

/// Writes the sums as they are; false if the processor lacks what this takes.
pub(crate) fn sums(linear: &Linear<'_>, tile: &[i32], sums: &mut [i32]) -> bool {
    if wide::is_here() {
        wide::sums(linear, tile, sums);
        return true;
    }
    let (first, second) = sums.split_at_mut(linear.outputs().min(sums.len()));
    each_block(linear, tile, &mut Sums([first, second]))
}

/// Looks the requantized sums up and puts them into the next tile; false if the
/// processor lacks what this takes.
pub(crate) fn activate(
    linear: &Linear<'_>,
    table: &[i8; 256],
    tile: &[i32],
    next: &mut [i32],
) -> bool {
    if wide::is_here() {
        wide::activate(linear, table, tile, next);
        return true;
    }
    let [first, second] = halves_mut(next, linear.width());
    let mut indices = Indices {
        tokens: [linear.of_mut(first), linear.of_mut(second)],
        zero: linear.zero(),
    };
    let is_done = each_block(linear, tile, &mut indices);
    if is_done {
        for token in indices.tokens {
            look_up_all(table, token);
        }
    }
    is_done
}

impl Block<__m256i> {
    /// The requantized sums with a zero point.
    #[inline(always)]
    unsafe fn requantized(&self, zero: i32) -> __m256i {
        // SAFETY: the processor has AVX2, as the caller says.
        unsafe {
            let half = _mm256_set1_epi64x(1 << 31);
            let product =
                |sums, multipliers| _mm256_add_epi64(_mm256_mul_epi32(sums, multipliers), half);
            let even = product(self.sums, self.multipliers);
            let odd = product(
                _mm256_srli_epi64::<32>(self.sums),
                _mm256_srli_epi64::<32>(self.multipliers),
            );
            let both = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
            _mm256_add_epi32(both, _mm256_set1_epi32(zero))
        }
    }
}

/// The use made of the sums.
trait Sink {
    /// # Safety
    /// The processor has AVX2.
    unsafe fn take(&mut self, block: Block<__m256i>);
}

/// Sums as they are.
struct Sums<'a>([&'a mut [i32]; 2]);

impl Sink for Sums<'_> {
    #[inline(always)]
    unsafe fn take(&mut self, block: Block<__m256i>) {
        // SAFETY: the processor has AVX2, and both types have 256 bits.
        let lanes = unsafe { core::mem::transmute::<__m256i, [[i32; 4]; 2]>(block.sums) };
        for (token, sums) in self.0.iter_mut().zip(lanes) {
            block.put(token, sums);
        }
    }
}

/// Sums as indices of a table with 256 values.
struct Indices<'a> {
    tokens: [&'a mut [i16]; 2],
    zero: i32,
}

impl Sink for Indices<'_> {
    #[inline(always)]
    unsafe fn take(&mut self, block: Block<__m256i>) {
        // SAFETY: the processor has AVX2, and both types have 256 bits.
        let lanes = unsafe {
            let values = block.requantized(self.zero);
            let values = _mm256_max_epi32(values, _mm256_setzero_si256());
            let values = _mm256_min_epi32(values, _mm256_set1_epi32(255));
            let packed = _mm256_packs_epi32(values, values);
            core::mem::transmute::<__m256i, [[[i16; 4]; 2]; 2]>(packed)
        };
        for (token, [indices, _]) in self.tokens.iter_mut().zip(lanes) {
            block.put(token, indices);
        }
    }
}

/// Sums as values of a map.
struct Values<'a> {
    /// The values of each token that are computed; none of a second token that is none.
    tokens: [&'a mut [i8]; 2],
    residual: Option<&'a [i32]>,
    zero: i32,
    /// Of what was written, lane by lane.
    sum: [[i32; 4]; 2],
    sum_of_squares: [[i32; 4]; 2],
}

impl<'a> Values<'a> {
    fn new(linear: &Linear<'_>, residual: Option<&'a [i32]>, tokens: &'a mut [i8]) -> Self {
        let mut tokens = tokens.chunks_exact_mut(linear.width().max(1));
        let mut token = || tokens.next().map(|token| linear.of_mut(token));
        Self {
            tokens: [token().unwrap_or_default(), token().unwrap_or_default()],
            residual,
            zero: linear.zero(),
            sum: Default::default(),
            sum_of_squares: Default::default(),
        }
    }

    /// The values written to the tokens that exist.
    fn written(&self) -> Partial {
        let tokens = self
            .tokens
            .iter()
            .zip(self.sum.iter().zip(&self.sum_of_squares));
        let mut written = Partial::default();
        for (_, (sums, squares)) in tokens.filter(|(token, _)| !token.is_empty()) {
            let squares = squares.iter().map(|&squares| squares as u32);
            written.merge(Partial::of(sums.iter().sum(), squares.sum()));
        }
        written
    }

    /// The first of a token's four values at an output, and those after it.
    #[inline(always)]
    fn four(&self, token: usize, output: usize) -> u32 {
        let token = self.tokens.get(token).and_then(|token| token.get(output..));
        let token = token.unwrap_or_default();
        u32::from_le_bytes(padded(token).map(|q: i8| q as u8))
    }
}

impl Sink for Values<'_> {
    #[inline(always)]
    unsafe fn take(&mut self, mut block: Block<__m256i>) {
        // SAFETY: the processor has AVX2, and types that are transmuted have 256 bits.
        let lanes = unsafe {
            if let Some(residual) = self.residual {
                let both = u64::from(self.four(1, block.output)) << 32
                    | u64::from(self.four(0, block.output));
                let old = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(both as i64));
                let factors = load_four(&padded(residual.get(block.output..).present()));
                block.sums = _mm256_add_epi32(block.sums, _mm256_mullo_epi32(factors, old));
            }
            let values = block.requantized(self.zero);
            let values = _mm256_max_epi32(values, _mm256_set1_epi32(i8::MIN.into()));
            let values = _mm256_min_epi32(values, _mm256_set1_epi32(i8::MAX.into()));
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 0, 1, 2, 3);
            let is_there = _mm256_cmpgt_epi32(_mm256_set1_epi32(block.count as i32), lane);
            let counted = _mm256_and_si256(values, is_there);
            let sum = core::mem::transmute::<[[i32; 4]; 2], __m256i>(self.sum);
            let squares = core::mem::transmute::<[[i32; 4]; 2], __m256i>(self.sum_of_squares);
            let square = _mm256_mullo_epi32(counted, counted);
            self.sum =
                core::mem::transmute::<__m256i, [[i32; 4]; 2]>(_mm256_add_epi32(sum, counted));
            self.sum_of_squares =
                core::mem::transmute::<__m256i, [[i32; 4]; 2]>(_mm256_add_epi32(squares, square));
            let packed = _mm256_packs_epi32(values, values);
            let packed = _mm256_packs_epi16(packed, packed);
            core::mem::transmute::<__m256i, [[[i8; 4]; 4]; 2]>(packed)
        };
        for (token, [values, ..]) in self.tokens.iter_mut().zip(lanes) {
            block.put(token, values);
        }
    }
}

/// How products are summed.
trait Multiply {
    /// Adds the products of 16-bit values, two neighbours together.
    ///
    /// # Safety
    /// The processor has what the implementation is named after.
    unsafe fn add(sums: __m256i, a: __m256i, b: __m256i) -> __m256i;
}

struct Avx2;
struct Vnni;

impl Multiply for Avx2 {
    #[inline(always)]
    unsafe fn add(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(a, b)) }
    }
}

impl Multiply for Vnni {
    #[inline(always)]
    unsafe fn add(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_dpwssd_epi32(sums, a, b) }
    }
}

/// Hands the sums of all outputs to `sink`; false if the processor lacks what this takes.
fn each_block(linear: &Linear<'_>, tile: &[i32], sink: &mut impl Sink) -> bool {
    let weights = cast::i8s(linear.weights());
    let tokens = halves(tile, linear.inputs());
    let last_row = (linear.outputs() - 1).saturating_mul(linear.row_size());
    let are_whole = tokens.iter().all(|token| token.len() == linear.inputs());
    if !has_avx2() || !are_whole || weights.len() < last_row.saturating_add(linear.inputs()) {
        return false;
    }
    // SAFETY: the processor has what the functions need, and rows and tokens are as long
    // as they have to be.
    unsafe {
        match has_vnni() {
            true => with_vnni(linear, weights, tokens, sink),
            false => with_avx2(linear, weights, tokens, sink),
        }
    }
    true
}

#[target_feature(enable = "avx2")]
unsafe fn with_avx2(
    linear: &Linear<'_>,
    weights: &[i8],
    tokens: [&[i16]; 2],
    sink: &mut (impl Sink + ?Sized),
) {
    // SAFETY: the caller's.
    unsafe { blocks::<Avx2>(linear, weights, tokens, sink) }
}

#[target_feature(enable = "avx2,avx512vnni,avx512vl")]
unsafe fn with_vnni(
    linear: &Linear<'_>,
    weights: &[i8],
    tokens: [&[i16]; 2],
    sink: &mut (impl Sink + ?Sized),
) {
    // SAFETY: the caller's.
    unsafe { blocks::<Vnni>(linear, weights, tokens, sink) }
}

/// # Safety
/// The processor has AVX2 and what `M` needs; `weights` holds a row of the layer's inputs
/// for each output, and `tokens` as many values.
#[inline(always)]
unsafe fn blocks<M: Multiply>(
    linear: &Linear<'_>,
    weights: &[i8],
    tokens: [&[i16]; 2],
    sink: &mut (impl Sink + ?Sized),
) {
    let (inputs, outputs) = (linear.inputs(), linear.outputs());
    let whole = inputs / INPUTS * INPUTS;
    let [first, second] = tokens;
    let (first_rest, second_rest) = (first.get(whole..).present(), second.get(whole..).present());
    // What is left of the tokens, with zeros behind it: whatever weights these meet.
    let rests: [[i16; INPUTS]; 2] = [padded(first_rest), padded(second_rest)];
    let mut output = 0;
    while output < outputs {
        let count = (outputs - output).min(4);
        let constants: [i32; 8] = padded(linear.constants().get(2 * output..).present());
        // SAFETY: there are at least `output + count` rows. A row has `inputs` weights and a
        // token as many values, so 16 can be read at each place below `whole`.
        unsafe {
            // Where there are fewer than four rows, the last one again.
            let row = |row: usize| {
                let row = output + row.min(count - 1);
                weights.as_ptr().add(row * linear.row_size())
            };
            let rows = [row(0), row(1), row(2), row(3)];
            let values = [first.as_ptr(), second.as_ptr()];
            let mut sums = sums_of_rows::<M>(rows, values, whole);
            if whole < inputs {
                for (index, (row, sums)) in rows.iter().zip(&mut sums).enumerate() {
                    let from = (output + index.min(count - 1)) * linear.row_size() + whole;
                    let weights = match weights.get(from..).present().first_chunk::<INPUTS>() {
                        Some(_) => load_weights(*row, whole),
                        None => {
                            let rest: [i8; INPUTS] = padded(weights.get(from..).present());
                            load_weights(rest.as_ptr(), 0)
                        }
                    };
                    for (sum, rest) in sums.iter_mut().zip(&rests) {
                        let values = load_values(rest.as_ptr(), 0);
                        *sum = M::add(*sum, weights, values);
                    }
                }
            }
            let constants = core::mem::transmute::<[i32; 8], __m256i>(constants);
            let starts = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
            let multipliers = _mm256_setr_epi32(1, 3, 5, 7, 1, 3, 5, 7);
            let starts = _mm256_permutevar8x32_epi32(constants, starts);
            sink.take(Block {
                output,
                count,
                sums: _mm256_add_epi32(starts, across(sums)),
                multipliers: _mm256_permutevar8x32_epi32(constants, multipliers),
            });
        }
        output += 4;
    }
}

/// The sums of the products of four rows with two tokens, lane by lane.
///
/// # Safety
/// The processor has AVX2 and what `M` needs; rows and tokens have `whole` values, a
/// multiple of 16.
#[inline(always)]
unsafe fn sums_of_rows<M: Multiply>(
    [a, b, c, d]: [*const i8; 4],
    [first, second]: [*const i16; 2],
    whole: usize,
) -> [[__m256i; 2]; 4] {
    // SAFETY: the caller's.
    unsafe {
        let zero = _mm256_setzero_si256();
        let (mut a0, mut b0, mut c0, mut d0) = (zero, zero, zero, zero);
        let (mut a1, mut b1, mut c1, mut d1) = (zero, zero, zero, zero);
        let mut at = 0;
        while at < whole {
            let (x0, x1) = (load_values(first, at), load_values(second, at));
            let w = load_weights(a, at);
            (a0, a1) = (M::add(a0, w, x0), M::add(a1, w, x1));
            let w = load_weights(b, at);
            (b0, b1) = (M::add(b0, w, x0), M::add(b1, w, x1));
            let w = load_weights(c, at);
            (c0, c1) = (M::add(c0, w, x0), M::add(c1, w, x1));
            let w = load_weights(d, at);
            (d0, d1) = (M::add(d0, w, x0), M::add(d1, w, x1));
            at += INPUTS;
        }
        [[a0, a1], [b0, b1], [c0, c1], [d0, d1]]
    }
}

/// 16 values of a token.
///
/// # Safety
/// The processor has AVX2, and there are 16 values from number `at` on.
#[inline(always)]
unsafe fn load_values(token: *const i16, at: usize) -> __m256i {
    // SAFETY: the caller's.
    unsafe { (*token.wrapping_add(at).cast::<Unaligned<__m256i>>()).0 }
}

/// 16 weights of a row.
///
/// # Safety
/// As [`load_values`].
#[inline(always)]
unsafe fn load_weights(row: *const i8, at: usize) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_cvtepi8_epi16((*row.wrapping_add(at).cast::<Unaligned<__m128i>>()).0) }
}

/// The sums over all lanes, of four outputs for two tokens.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn across(sums: [[__m256i; 2]; 4]) -> __m256i {
    let [[a0, a1], [b0, b1], [c0, c1], [d0, d1]] = sums;
    // SAFETY: the caller's.
    unsafe {
        let of_token =
            |a, b, c, d| _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        let (first, second) = (of_token(a0, b0, c0, d0), of_token(a1, b1, c1, d1));
        _mm256_add_epi32(
            _mm256_permute2x128_si256::<0x20>(first, second),
            _mm256_permute2x128_si256::<0x31>(first, second),
        )
    }
}

/// Four values, for the first token and for the second one.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn load_four(four: &[i32; 4]) -> __m256i {
    // SAFETY: the processor has AVX2, and the array has 128 bits.
    unsafe { _mm256_broadcastsi128_si256(core::mem::transmute::<[i32; 4], __m128i>(*four)) }
}

#[cfg(test)]
#[path = "products_tests.rs"]
mod tests;
