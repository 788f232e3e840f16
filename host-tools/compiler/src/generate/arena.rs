//! The arena of the generated source: how an image gets into it, and what stays there.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use tadpool_kernels::layout::Layout;

use super::calls::kernel_path;
use super::model::ident;
use super::tokens::{array, buffer, plain, signed};
use crate::given::model_toml::Feed;
use crate::network::Shape;
use crate::place::program::{Program, ProgramOutput};
use crate::quantize::quant_model::Stream;

/// The arena's types, and how pixels get into it.
pub(super) fn bytes(program: &Program<'_>, layout: Layout) -> TokenStream {
    let (received, put, take) = match program.steps.first() {
        Some(step) if program.feed == Feed::Rows => {
            let (ident, run) = (ident(step), kernel_path(program, step, layout));
            (
                quote!(tadpool_kernels::pushed_rows::Pushed),
                quote!(pushed_rows::put(&#ident, received, start, pixels, arena, #run)),
                quote!(received.take(&#ident)),
            )
        }
        _ => (
            quote!(tadpool_kernels::network::Whole),
            quote!(received.put(IMAGE, arena, start, pixels)),
            quote!(received.take(INPUT_BYTES).map(|()| Stats::default())),
        ),
    };
    quote! {
        const ZEROS: [u8; ARENA_BYTES] = [0; ARENA_BYTES];
        type Bytes = [u8; ARENA_BYTES];
        type Received = #received;

        fn put(
            arena: &mut [u8],
            received: &mut Self::Received,
            start: usize,
            pixels: &[u8],
        ) -> Result<(), Fault> {
            #put
        }

        fn take(received: &mut Self::Received) -> Result<Stats, Fault> {
            #take
        }
    }
}

/// The arena's own way for an image as a whole, or for one that comes in rows.
pub(super) fn image(program: &Program<'_>, layout: Layout) -> TokenStream {
    match program.steps.first() {
        Some(step) if program.feed == Feed::Rows => {
            let (ident, run) = (ident(step), kernel_path(program, step, layout));
            quote! {
                impl tadpool_kernels::RowByRow for Model {
                    fn push(
                        arena: &mut [u8],
                        received: &mut Self::Received,
                        pixels: &[u8],
                    ) -> Result<(), Fault> {
                        pushed_rows::push(&#ident, received, pixels, arena, #run)
                    }
                }
            }
        }
        _ => quote! {
            impl tadpool_kernels::WholeImage for Model {
                type Image = [u8; INPUT_BYTES];

                fn image(arena: &mut Self::Bytes) -> &mut Self::Image {
                    const { assert!(IMAGE.offset + INPUT_BYTES <= ARENA_BYTES) };
                    arena[IMAGE.offset..].first_chunk_mut().unwrap()
                }
            }
        },
    }
}

/// Maps that an inference leaves in the arena.
pub(super) fn outputs(program: &Program<'_>) -> TokenStream {
    if program.outputs.is_empty() {
        return quote!();
    }
    let count = plain(program.outputs.len());
    let outputs = program.outputs.iter().map(|output| {
        let name = output.name;
        let map = buffer(output.map);
        let Shape {
            height,
            width,
            channels,
        } = output.shape;
        let shape = array([height, width, channels]);
        let value_bytes = plain(output.stream.value_bytes());
        let (zero_point, multiplier, shift) = meaning(output);
        quote!(Output {
            name: #name,
            map: #map,
            shape: #shape,
            value_bytes: #value_bytes,
            zero_point: #zero_point,
            multiplier: #multiplier,
            shift: #shift,
        })
    });
    quote! {
        /// Maps that an inference leaves in the arena; see
        /// [`output`](tadpool_kernels::Arena::output).
        pub const OUTPUTS: [Output; #count] = [#(#outputs),*];
    }
}

/// Zero point, multiplier and shift of an output's values as they are stored.
fn meaning(output: &ProgramOutput<'_>) -> (Literal, Literal, Literal) {
    let steps = match output.stream {
        Stream::Int8 => 1,
        Stream::Int16 => 256,
    };
    // The largest multiplier below 2^31.
    let scale = output.quant.scale / f64::from(steps);
    let shift = (30.0 - scale.log2().floor()).clamp(0.0, 62.0);
    let multiplier = (scale * shift.exp2()).round();
    (
        signed(output.quant.zero_point * steps),
        Literal::u32_unsuffixed(multiplier as u32),
        Literal::u32_unsuffixed(shift as u32),
    )
}
