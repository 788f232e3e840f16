//! The arena of the generated source: how an image gets into it, and what stays there.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use tadpool_kernels::layout::Layout;

use super::model::{ident, kernel_path};
use super::tokens::{array, buffer, plain, signed};
use crate::given::model_toml::Feed;
use crate::network::Shape;
use crate::place::program::{Program, ProgramOutput, ProgramStep};
use crate::quantize::quant_model::Stream;

/// The arena and how an image gets into it.
pub(super) fn arena(program: &Program<'_>, layout: Layout) -> TokenStream {
    let (fields, values, feed) = match program.steps.first() {
        Some(step) if program.feed == Feed::Rows => (
            quote!([u8; ARENA_BYTES], Pushed),
            quote!([0; ARENA_BYTES], Pushed::new()),
            push_rows(program, step, layout),
        ),
        _ => (
            quote!([u8; ARENA_BYTES]),
            quote!([0; ARENA_BYTES]),
            put_image(),
        ),
    };
    let output = (!program.outputs.is_empty()).then(|| {
        quote! {
            /// The values of a map that the last inference left.
            pub fn output(&self, output: &Output) -> &[u8] {
                &self.0[output.map.offset..][..output.map.size]
            }
        }
    });
    quote! {
        /// All RAM of an inference but the stack.
        #[repr(C, align(8))]
        pub struct Arena(#fields);

        impl Arena {
            /// An arena of zeros, for a `static`.
            pub const fn new() -> Self {
                Self(#values)
            }

            #feed
            #output
        }

        impl Default for Arena {
            fn default() -> Self {
                Self::new()
            }
        }
    }
}

/// For images as a whole.
fn put_image() -> TokenStream {
    quote! {
        /// Where the image goes: rows of pixels, channels fastest. An inference
        /// overwrites it.
        pub fn input_mut(&mut self) -> &mut [u8; INPUT_BYTES] {
            const { assert!(IMAGE.offset + INPUT_BYTES <= ARENA_BYTES) };
            self.0[IMAGE.offset..].first_chunk_mut().unwrap()
        }

        /// Puts some of the image's bytes in their place, `start` bytes from its first.
        ///
        /// # Errors
        /// [`Fault::Geometry`] if they reach beyond the image.
        pub fn put_pixels(&mut self, start: usize, pixels: &[u8]) -> Result<(), Fault> {
            let place = self.input_mut().get_mut(start..start.saturating_add(pixels.len()));
            place.ok_or(Fault::Geometry)?.copy_from_slice(pixels);
            Ok(())
        }
    }
}

/// For images that come in rows.
fn push_rows(program: &Program<'_>, step: &ProgramStep<'_>, layout: Layout) -> TokenStream {
    let ident = ident(step);
    let run = kernel_path(program, step, layout);
    quote! {
        /// Takes the next pixels of the image: whole rows, or parts of them, channels
        /// fastest. An inference uses them up.
        ///
        /// # Errors
        /// [`Fault::Geometry`] if these are more than the image has.
        pub fn push_rows(&mut self, pixels: &[u8]) -> Result<(), Fault> {
            pushed_rows::push(&#ident, &mut self.1, pixels, &mut self.0, #run)
        }

        /// The same for pixels that lie `start` bytes behind the image's first; `0`
        /// begins a new image.
        ///
        /// # Errors
        /// [`Fault::Geometry`] if they do not follow those before them, or are more
        /// than the image has.
        pub fn put_pixels(&mut self, start: usize, pixels: &[u8]) -> Result<(), Fault> {
            if start == 0 {
                self.1 = Pushed::new();
            }
            if start != self.1.bytes() {
                return Err(Fault::Geometry);
            }
            self.push_rows(pixels)
        }
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
        /// Maps that an inference leaves in the arena; see [`Arena::output`].
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
