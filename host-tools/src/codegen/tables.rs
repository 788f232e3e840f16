//! `tables.rs` and `weights.bin`: the numbers of all steps.

use std::fmt::{Display, Write as _};

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};

/// Numbers of a line.
const LINE_WIDTH: usize = 96;
/// Alignment of every matrix in the blob, for double loads.
const WEIGHT_ALIGNMENT: usize = 8;

/// Tables and weights, collected step by step.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Rust source.
    pub source: String,
    /// Weights of all matrices.
    pub weights: Vec<u8>,
}

impl Tables {
    /// Adds a table of 32-bit values and returns an expression for it.
    pub(super) fn i32s(&mut self, step: &str, name: &str, values: &[i32]) -> TokenStream {
        self.table(step, name, "i32", values)
    }

    /// Adds a table of 8-bit values and returns an expression for it.
    pub(super) fn i8s(&mut self, step: &str, name: &str, values: &[i8]) -> TokenStream {
        self.table(step, name, "i8", values)
    }

    /// Adds a matrix to the blob and returns an expression for it.
    pub(super) fn weights(&mut self, values: &[u8]) -> TokenStream {
        let offset = Literal::usize_unsuffixed(self.weights.len());
        let size = Literal::usize_unsuffixed(values.len());
        self.weights.extend_from_slice(values);
        self.weights
            .resize(self.weights.len().next_multiple_of(WEIGHT_ALIGNMENT), 0);
        quote!(weights(#offset, #size))
    }

    fn table<T: Display>(&mut self, step: &str, name: &str, ty: &str, values: &[T]) -> TokenStream {
        let ident = format_ident!("{step}_{name}");
        // Writing to a string cannot fail.
        let _ = write!(
            self.source,
            "\n#[rustfmt::skip]\npub(super) static {ident}: [{ty}; {}] = [",
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
        quote!(&tables::#ident)
    }
}
