//! `tables.rs` and `weights.bin`: the numbers of all steps.

use std::fmt::{Display, Write as _};

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::layout::Layout;

use crate::quantize::quant_model::WeightBits;

/// Numbers of a line.
const LINE_WIDTH: usize = 96;
/// Alignment of every matrix, for double loads.
const WEIGHT_ALIGNMENT: usize = 8;

/// Tables and weights, collected step by step.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Rust source.
    pub source: String,
    /// Weights of all matrices.
    pub weights: Vec<u8>,
    /// The part of them that each step has, in the order of the steps.
    pub parts: Vec<Part>,
    /// The section of the weights and the tables, if they have one of their own.
    pub section: Option<String>,
}

/// The weights of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The static that holds them.
    pub name: String,
    /// The place of the first one among those of all steps.
    pub start: usize,
    /// Bytes, with what aligns the next part.
    pub size: usize,
}

impl Tables {
    /// Adds a table of 32-bit values and returns an expression for it.
    pub(super) fn i32s(&mut self, step: &str, name: &str, values: &[i32]) -> TokenStream {
        self.table(step, name, "i32", values)
    }

    /// Adds a table of bytes and returns an expression for it.
    pub(super) fn u8s(&mut self, step: &str, name: &str, values: &[u8]) -> TokenStream {
        self.table(step, name, "u8", values)
    }

    /// Adds a table of 8-bit values and returns an expression for it.
    pub(super) fn i8s(&mut self, step: &str, name: &str, values: &[i8]) -> TokenStream {
        self.table(step, name, "i8", values)
    }

    /// Adds a row-major matrix to the weights of `step`, packed to `bits` a weight, and
    /// returns an expression for it.
    ///
    /// `layout` takes the matrix, as [`Layout::fits`] and [`Layout::holds`] told, and
    /// `bits` do.
    pub(super) fn weights(
        &mut self,
        step: &str,
        layout: Layout,
        rows: &[u8],
        inputs: usize,
        bits: WeightBits,
    ) -> TokenStream {
        let outputs = rows.len() / inputs.max(1);
        let rows = bytemuck::cast_slice(rows);
        let (mut packed, pack, kind): (_, fn(_, &_, _, &mut _) -> _, _) = match bits {
            WeightBits::Int8 => {
                let size = layout.packed_size(outputs, inputs);
                (vec![0; size], Layout::pack, quote!(Weights::Int8))
            }
            WeightBits::Int4 => {
                let size = layout.packed_size_int4(outputs, inputs);
                (vec![0; size], Layout::pack_int4, quote!(Weights::Int4))
            }
        };
        pack(layout, rows, inputs, &mut packed).expect("the matrix fits its layout");
        let size = Literal::usize_unsuffixed(packed.len());
        let room = packed.len().next_multiple_of(WEIGHT_ALIGNMENT);
        packed.resize(room, 0);
        let name = weights_name(step);
        let ident = format_ident!("{name}");
        if self.parts.last().is_none_or(|part| part.name != name) {
            self.parts.push(Part {
                name,
                start: self.weights.len(),
                size: 0,
            });
        }
        let mut offset = 0;
        if let Some(part) = self.parts.last_mut() {
            offset = part.size;
            part.size += room;
        }
        let offset = Literal::usize_unsuffixed(offset);
        self.weights.append(&mut packed);
        quote!(#kind(weights(&#ident.0, #offset, #size)))
    }

    fn table<T: Display>(&mut self, step: &str, name: &str, ty: &str, values: &[T]) -> TokenStream {
        let ident = ident(step, name);
        let section = self.section.as_ref().map_or_else(String::new, |name| {
            format!(
                "#[cfg_attr(target_os = \"none\", allow(unsafe_code))]\n\
                 #[cfg_attr(target_os = \"none\", unsafe(link_section = {name:?}))]\n"
            )
        });
        // Writing to a string cannot fail.
        let _ = write!(
            self.source,
            "\n#[rustfmt::skip]\n{section}pub(super) static {ident}: [{ty}; {}] = [",
            values.len()
        );
        let mut column = LINE_WIDTH;
        for value in values {
            let text = format!(" {value},");
            if column + text.len() > LINE_WIDTH {
                self.source.push_str("\n   ");
                column = 3;
            }
            column += text.len();
            self.source.push_str(&text);
        }
        self.source.push_str("\n];\n");
        Self::reference(step, name)
    }

    /// An expression for a table.
    pub(super) fn reference(step: &str, name: &str) -> TokenStream {
        let ident = ident(step, name);
        quote!(&tables::#ident)
    }
}

/// The static with the weights of a step; `step` is the name of the static with its constants.
pub(super) fn weights_name(step: &str) -> String {
    format!("{step}_WEIGHTS")
}

fn ident(step: &str, name: &str) -> Ident {
    format_ident!("{step}_{name}")
}
