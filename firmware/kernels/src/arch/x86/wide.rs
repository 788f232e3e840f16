//! The products on processors that have AVX-512 with VNNI: eight outputs times two tokens at
//! a time, 64 inputs an instruction.
//!
//! Tiles hold bytes here, one token behind the other: all functions of this module or none.
//! The instruction takes unsigned weights, so 128 is added to each, and 128 times the sum of
//! a token is taken from its sums: all modulo `2^32`.

use core::arch::x86_64::*;

use super::block::Block;
use super::table::look_up_bytes;
use super::{Unaligned, padded};
use crate::arch::cast;
use crate::arithmetic::matmul::{Linear, TILE_HEADER};
use crate::arithmetic::norm::Partial;
use crate::present::{Present, missing};

/// Inputs of a vector.
const INPUTS: usize = 64;

/// Outputs that are computed at once.
const OUTPUTS: usize = 8;

/// Whether the processor has what this module needs.
pub(super) fn is_here() -> bool {
    std::is_x86_feature_detected!("avx512vnni")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512vl")
}

/// Brings up to two tokens of `inputs` values, `stride` apart, into a tile.
pub(super) fn expand(tokens: &[i8], stride: usize, inputs: usize, tile: &mut [i32]) {
    let places = both_mut(tile, inputs);
    let mut rows = tokens.chunks(stride.max(1));
    // Of no tokens nothing is read.
    let first = rows.next().unwrap_or(&[]);
    let second = rows.next().unwrap_or(first);
    for (place, row) in places.into_iter().zip([first, second]) {
        for (place, &value) in place.iter_mut().zip(row) {
            *place = value;
        }
    }
}

/// Writes the requantized sums, added to the residual stream if there is one.
pub(super) fn write(
    linear: &Linear<'_>,
    residual: Option<&[i32]>,
    tile: &[i32],
    tokens: &mut [i8],
) -> Partial {
    let mut tokens = tokens.chunks_exact_mut(linear.width().max(1));
    let mut token = || tokens.next().map(|token| linear.of_mut(token));
    let mut values = Values {
        tokens: [token().unwrap_or_default(), token().unwrap_or_default()],
        residual: residual.map(|residual| linear.of(residual)),
        zero: linear.zero(),
        sum: [0; 16],
        sum_of_squares: [0; 16],
    };
    run(linear, tile, &mut values);
    let sum = values.sum.iter().sum();
    let squares = values.sum_of_squares.iter().map(|&squares| squares as u32);
    Partial::of(sum, squares.sum())
}

/// Writes the sums as they are.
pub(super) fn sums(linear: &Linear<'_>, tile: &[i32], sums: &mut [i32]) {
    let (first, second) = sums.split_at_mut(linear.outputs().min(sums.len()));
    run(linear, tile, &mut Sums([first, second]));
}

/// Looks the requantized sums up and puts them into the next tile.
pub(super) fn activate(linear: &Linear<'_>, table: &[i8; 256], tile: &[i32], next: &mut [i32]) {
    let [first, second] = both_mut(next, linear.width());
    let mut indices = Indices {
        tokens: [linear.of_mut(first), linear.of_mut(second)],
        zero: linear.zero(),
    };
    run(linear, tile, &mut indices);
    for token in indices.tokens {
        look_up_bytes(table, token);
    }
}

/// The two tokens of a tile.
pub(super) fn both_mut(tile: &mut [i32], inputs: usize) -> [&mut [i8]; 2] {
    let values = cast::words_as_i8s_mut(tile.get_mut(TILE_HEADER..).present());
    let (first, rest) = values.split_at_mut(inputs.min(values.len()));
    [first, rest.get_mut(..inputs).present()]
}

impl Block<__m512i> {
    /// The requantized sums with a zero point.
    ///
    /// # Safety
    /// The processor has AVX-512.
    #[inline(always)]
    unsafe fn requantized(&self, zero: i32) -> __m512i {
        // SAFETY: the caller's.
        unsafe {
            let half = _mm512_set1_epi64(1 << 31);
            let product =
                |sums, multipliers| _mm512_add_epi64(_mm512_mul_epi32(sums, multipliers), half);
            let even = product(self.sums, self.multipliers);
            let odd = product(
                _mm512_srli_epi64::<32>(self.sums),
                _mm512_srli_epi64::<32>(self.multipliers),
            );
            let even = _mm512_srli_epi64::<32>(even);
            let both = _mm512_mask_blend_epi32(0xaaaa, even, odd);
            _mm512_add_epi32(both, _mm512_set1_epi32(zero))
        }
    }
}

/// The use made of the sums.
trait Sink {
    /// # Safety
    /// The processor has what [`is_here`] asks for.
    unsafe fn take(&mut self, block: Block<__m512i>);
}

/// Sums as they are.
struct Sums<'a>([&'a mut [i32]; 2]);

impl Sink for Sums<'_> {
    #[inline(always)]
    unsafe fn take(&mut self, block: Block<__m512i>) {
        // SAFETY: both types have 512 bits.
        let lanes = unsafe { core::mem::transmute::<__m512i, [[i32; OUTPUTS]; 2]>(block.sums) };
        for (token, sums) in self.0.iter_mut().zip(lanes) {
            block.put(token, sums);
        }
    }
}

/// Sums as indices of a table with 256 values.
struct Indices<'a> {
    tokens: [&'a mut [i8]; 2],
    zero: i32,
}

impl Sink for Indices<'_> {
    #[inline(always)]
    unsafe fn take(&mut self, block: Block<__m512i>) {
        // SAFETY: the processor has AVX-512, and both types have 128 bits.
        let lanes = unsafe {
            let values = block.requantized(self.zero);
            let values = _mm512_max_epi32(values, _mm512_setzero_si512());
            core::mem::transmute::<__m128i, [[i8; OUTPUTS]; 2]>(_mm512_cvtusepi32_epi8(values))
        };
        for (token, indices) in self.tokens.iter_mut().zip(lanes) {
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
    sum: [i32; 16],
    sum_of_squares: [i32; 16],
}

impl Values<'_> {
    /// A token's eight values from an output on, and zeros where there are none.
    #[inline(always)]
    fn eight(&self, token: usize, output: usize) -> i64 {
        let token = self.tokens.get(token).and_then(|token| token.get(output..));
        let token = token.unwrap_or_default();
        i64::from_le_bytes(padded(token).map(|q: i8| q as u8))
    }
}

impl Sink for Values<'_> {
    #[inline(always)]
    unsafe fn take(&mut self, mut block: Block<__m512i>) {
        // SAFETY: the processor has AVX-512, and types that are transmuted have one size.
        let lanes = unsafe {
            if let Some(residual) = self.residual {
                let old = _mm_set_epi64x(self.eight(1, block.output), self.eight(0, block.output));
                let factors = padded(residual.get(block.output..).present());
                let factors = core::mem::transmute::<[i32; OUTPUTS], __m256i>(factors);
                let factors = _mm512_broadcast_i64x4(factors);
                let old = _mm512_cvtepi8_epi32(old);
                block.sums = _mm512_add_epi32(block.sums, _mm512_mullo_epi32(factors, old));
            }
            let values = block.requantized(self.zero);
            let packed = _mm512_cvtsepi32_epi8(values);
            // Not counted are outputs beyond the last one, and a second token that is none.
            let lanes = (1_u16 << block.count) - 1;
            let [first, second] = [0, 1].map(|token| match self.tokens.get(token) {
                Some(token) if !token.is_empty() => lanes,
                _ => 0,
            });
            let written = _mm512_maskz_cvtepi8_epi32(first | second << 8, packed);
            let sum = core::mem::transmute::<[i32; 16], __m512i>(self.sum);
            let squares = core::mem::transmute::<[i32; 16], __m512i>(self.sum_of_squares);
            let square = _mm512_mullo_epi32(written, written);
            self.sum = core::mem::transmute::<__m512i, [i32; 16]>(_mm512_add_epi32(sum, written));
            self.sum_of_squares =
                core::mem::transmute::<__m512i, [i32; 16]>(_mm512_add_epi32(squares, square));
            core::mem::transmute::<__m128i, [[i8; OUTPUTS]; 2]>(packed)
        };
        for (token, values) in self.tokens.iter_mut().zip(lanes) {
            block.put(token, values);
        }
    }
}

/// Hands the sums of all outputs to `sink`.
fn run(linear: &Linear<'_>, tile: &[i32], sink: &mut impl Sink) {
    let weights = cast::i8s(linear.weights());
    let inputs = linear.inputs();
    let values = cast::i8s(cast::words_as_bytes(tile.get(TILE_HEADER..).present()));
    let last_row = (linear.outputs() - 1).saturating_mul(linear.row_size());
    if values.len() < 2 * inputs || weights.len() < last_row.saturating_add(inputs) {
        return missing();
    }
    let (first, rest) = values.split_at(inputs);
    // SAFETY: the processor has what the function needs, as this module's callers asked;
    // rows and tokens are as long as they have to be.
    unsafe { blocks(linear, weights, [first.as_ptr(), rest.as_ptr()], sink) }
}

/// # Safety
/// The processor has what [`is_here`] asks for; `weights` holds a row of the layer's inputs
/// for each output, and the tokens have as many values.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn blocks(
    linear: &Linear<'_>,
    weights: &[i8],
    [first, second]: [*const i8; 2],
    sink: &mut impl Sink,
) {
    let (inputs, outputs) = (linear.inputs(), linear.outputs());
    let whole = inputs / INPUTS * INPUTS;
    let rest: __mmask64 = (1 << (inputs - whole)) - 1;
    let zero = _mm512_setzero_si512();
    // SAFETY: 64 values lie at each place below `whole`, and no more than there are in `rest`.
    let load = |row: *const i8, at: usize| unsafe {
        match at < whole {
            true => (*row.wrapping_add(at).cast::<Unaligned<__m512i>>()).0,
            false => _mm512_maskz_loadu_epi8(rest, row.wrapping_add(at)),
        }
    };
    let mut token_sums = [zero; 2];
    for at in (0..inputs).step_by(INPUTS) {
        for (sum, token) in token_sums.iter_mut().zip([first, second]) {
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi8(1), load(token, at));
        }
    }
    let [a, b] = token_sums.map(|sum| _mm512_reduce_add_epi32(sum).wrapping_mul(-128));
    let offsets = _mm512_mask_blend_epi32(0xff00, _mm512_set1_epi32(a), _mm512_set1_epi32(b));
    let flip = _mm512_set1_epi8(i8::MIN);
    let mut output = 0;
    while output < outputs {
        let count = (outputs - output).min(OUTPUTS);
        // Where there are fewer than eight rows, the last one again.
        let row = |row: usize| {
            let row = output + row.min(count - 1);
            weights.as_ptr().wrapping_add(row * linear.row_size())
        };
        let rows: [*const i8; OUTPUTS] = core::array::from_fn(row);
        let mut sums = [[zero; 2]; OUTPUTS];
        let mut at = 0;
        while at < inputs {
            let (x, y) = (load(first, at), load(second, at));
            for (row, [a, b]) in rows.iter().zip(&mut sums) {
                let weights = _mm512_xor_si512(load(*row, at), flip);
                *a = _mm512_dpbusd_epi32(*a, weights, x);
                *b = _mm512_dpbusd_epi32(*b, weights, y);
            }
            at += INPUTS;
        }
        let constants: [i32; 16] = padded(linear.constants().get(2 * output..).present());
        // SAFETY: both types have 512 bits; the processor has what the sink needs.
        unsafe {
            let constants = core::mem::transmute::<[i32; 16], __m512i>(constants);
            let starts = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
            let multipliers = _mm512_or_si512(starts, _mm512_set1_epi32(1));
            let starts = _mm512_permutexvar_epi32(starts, constants);
            sink.take(Block {
                output,
                count,
                sums: _mm512_add_epi32(_mm512_add_epi32(starts, offsets), across(sums)),
                multipliers: _mm512_permutexvar_epi32(multipliers, constants),
            });
        }
        output += OUTPUTS;
    }
}

/// The sums over all lanes, of eight outputs for two tokens.
#[inline]
#[target_feature(enable = "avx512f")]
fn across(sums: [[__m512i; 2]; OUTPUTS]) -> __m512i {
    // Of four vectors one, in each quarter of which lies a part of the sum of each.
    let four = |a, b, c, d| {
        let two = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (first, second) = (two(a, b), two(c, d));
        _mm512_add_epi32(
            _mm512_unpacklo_epi64(first, second),
            _mm512_unpackhi_epi64(first, second),
        )
    };
    // Of the quarters of two vectors the sums of two and two.
    let halved = |a, b| {
        _mm512_add_epi32(
            _mm512_shuffle_i64x2::<0b01_00_01_00>(a, b),
            _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b),
        )
    };
    let of_token =
        |[a, b, c, d, e, f, g, h]: [__m512i; OUTPUTS]| halved(four(a, b, c, d), four(e, f, g, h));
    let first = of_token(sums.map(|[first, _]| first));
    let second = of_token(sums.map(|[_, second]| second));
    _mm512_add_epi32(
        _mm512_shuffle_i64x2::<0b10_00_10_00>(first, second),
        _mm512_shuffle_i64x2::<0b11_01_11_01>(first, second),
    )
}
