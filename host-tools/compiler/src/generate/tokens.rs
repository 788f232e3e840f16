//! Small pieces of generated source.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::Buffer;

use crate::quantize::quant_model::Stream;

/// A place in the arena.
pub(super) fn buffer(buffer: Buffer) -> TokenStream {
    let (offset, size) = (plain(buffer.offset), plain(buffer.size));
    quote!(Buffer { offset: #offset, size: #size })
}

/// A literal without its type's name.
pub(super) fn plain(value: usize) -> Literal {
    Literal::usize_unsuffixed(value)
}

/// The same of a value with a sign.
pub(super) fn signed(value: i32) -> Literal {
    Literal::i32_unsuffixed(value)
}

/// A list of sizes.
pub(super) fn array<const N: usize>(values: [usize; N]) -> TokenStream {
    let values = values.map(plain);
    quote!([#(#values),*])
}

/// The type of a stream.
pub(super) fn stream_ident(stream: Stream) -> Ident {
    match stream {
        Stream::Int8 => format_ident!("Int8"),
        Stream::Int16 => format_ident!("Int16"),
    }
}
