//! Nothing but the kernels that a PoolFormer uses, to see how large they are:
//! with the feature `empty`, not even those.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use panic_halt as _;

#[entry]
fn main() -> ! {
    #[cfg(not(feature = "empty"))]
    let _ = core::hint::black_box(poolformer::infer());
    loop {
        cortex_m::asm::wfi();
    }
}

#[cfg(not(feature = "empty"))]
mod poolformer {
    use core::hint::black_box;

    use tadpool_kernels::channel_mlp::{self, ChannelMlp};
    use tadpool_kernels::head::{self, Head};
    #[cfg(feature = "dsp")]
    use tadpool_kernels::layout::Dsp as Best;
    #[cfg(feature = "helium")]
    use tadpool_kernels::layout::Helium as Best;
    #[cfg(not(any(feature = "dsp", feature = "helium")))]
    use tadpool_kernels::layout::Rows as Best;
    use tadpool_kernels::linear::{NormedLinear, ResidualLinear};
    use tadpool_kernels::norm::{Norm, Stats};
    use tadpool_kernels::patch_embedding::{self, PatchEmbedding};
    use tadpool_kernels::pooling::{self, Pooling};
    use tadpool_kernels::weights::Weights;
    use tadpool_kernels::{Buffer, Fault};

    const NOWHERE: Buffer = Buffer { offset: 0, size: 0 };
    const NORM: Norm = Norm {
        elements: 1,
        epsilon: 0,
        about: None,
    };

    static EMBEDDING: PatchEmbedding<'static> = PatchEmbedding {
        input: NOWHERE,
        output: NOWHERE,
        scratch: NOWHERE,
        input_shape: [0; 3],
        output_shape: [0; 3],
        window: [0; 2],
        stride: [0; 2],
        padding: [0; 2],
        tile_tokens: 2,
        flip: 0,
        shift: &[],
        pad: &[],
        weights: Weights::Int8(&[]),
        bias: &[],
        multiplier: &[],
        zero_point: 0,
    };
    static POOLING: Pooling<'static> = Pooling {
        map: NOWHERE,
        scratch: NOWHERE,
        shape: [0; 3],
        norm: NORM,
        factor: &[],
        residual: 0,
        offset: 0,
    };
    static MLP: ChannelMlp<'static> = ChannelMlp {
        map: NOWHERE,
        scratch: NOWHERE,
        channels: 0,
        hidden: 0,
        tile_tokens: 2,
        norm: NORM,
        shift: &[],
        fc1: NormedLinear {
            weights: Weights::Int8(&[]),
            row_sums: &[],
            bias: &[],
            multiplier: &[],
        },
        hidden_zero: 0,
        activation: &[0; 256],
        fc2: ResidualLinear {
            weights: Weights::Int8(&[]),
            bias: &[],
            residual: &[],
            multiplier: &[],
            offset: &[],
            zero_point: 0,
        },
    };
    static HEAD: Head<'static> = Head {
        map: NOWHERE,
        output: NOWHERE,
        scratch: NOWHERE,
        tokens: 0,
        channels: 0,
        norm: Some(NORM),
        zero_point: 0,
        weights: Weights::Int8(&[]),
        row_sums: &[],
        multiplier: &[],
        bias: &[],
    };

    /// Every step once; what it works on is hidden from the compiler, and each
    /// stays a function of its own, whose size can be told.
    #[inline(never)]
    pub(crate) fn infer() -> Result<(), Fault> {
        let arena: &mut [u8] = black_box(&mut []);
        let stats = patch_embedding(arena)?;
        let stats = pooling(&stats, arena)?;
        let stats = channel_mlp(&stats, arena)?;
        head(&stats, arena)
    }

    #[inline(never)]
    fn patch_embedding(arena: &mut [u8]) -> Result<Stats, Fault> {
        patch_embedding::run::<Best>(black_box(&EMBEDDING), arena)
    }

    #[inline(never)]
    fn pooling(stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
        pooling::run::<Best>(black_box(&POOLING), stats, arena)
    }

    #[inline(never)]
    fn channel_mlp(stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
        channel_mlp::run::<Best>(black_box(&MLP), stats, arena)
    }

    #[inline(never)]
    fn head(stats: &Stats, arena: &mut [u8]) -> Result<(), Fault> {
        head::run(black_box(&HEAD), stats, arena)
    }
}
