//! The constants of one step, as source: whatever its fields are.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::layout::Layout;
use tadpool_kernels::visit::{Field, Fields, Matrix, Packing, Visitor};

use super::tables::Tables;
use super::tokens::buffer;
use crate::place::program::ProgramStep;
use crate::quantize::quant_model::WeightBits;

/// Types of the kernels that source names, by their module.
pub(super) type Names = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// Type and value of one step's constants; `step` is the beginning of its tables' names.
pub(super) fn constants(
    step: &str,
    program_step: &ProgramStep<'_>,
    layout: Layout,
    tables: &mut Tables,
    names: &mut Names,
) -> (TokenStream, TokenStream) {
    let fields = &*program_step.kernel;
    let [first, second] = program_step.bits;
    let mut source = Source {
        step,
        path: Vec::new(),
        layout,
        bits: (first, second),
        tables,
        names,
        late: None,
        fields: TokenStream::new(),
    };
    let value = source.literal(fields);
    source.write_late();
    let ty = format_ident!("{}", fields.name());
    (quote!(#ty), value)
}

/// Writes fields as those of a struct's literal, and lists as tables.
struct Source<'a> {
    step: &'a str,
    /// The layers that the field is in.
    path: Vec<&'static str>,
    layout: Layout,
    /// Of the next matrix, and of those behind it.
    bits: (WeightBits, WeightBits),
    tables: &'a mut Tables,
    names: &'a mut Names,
    /// Name and bytes of a table that is written behind those of the next field.
    late: Option<(String, Vec<u8>)>,
    fields: TokenStream,
}

impl Visitor for Source<'_> {
    fn field(&mut self, name: &'static str, field: Field<'_>) {
        let late = self.late.take();
        let written = self.tables.source.len();
        let value = self.value(name, field);
        if late.is_some() {
            let follows = self.tables.source.len() > written;
            self.late = late;
            if follows {
                self.write_late();
            }
        }
        let name = format_ident!("{name}");
        self.fields.extend(quote!(#name: #value,));
    }
}

impl Source<'_> {
    fn literal(&mut self, fields: &dyn Fields) -> TokenStream {
        self.name(fields.module(), fields.name());
        let outer = std::mem::take(&mut self.fields);
        fields.visit(self);
        let inner = std::mem::replace(&mut self.fields, outer);
        let name = format_ident!("{}", fields.name());
        quote!(#name { #inner })
    }

    fn value(&mut self, name: &'static str, field: Field<'_>) -> TokenStream {
        match field {
            Field::Buffer(place) => buffer(place),
            Field::Integer(value) => {
                let value = Literal::i128_unsuffixed(value);
                quote!(#value)
            }
            Field::Sizes(sizes) => {
                let sizes = sizes.iter().map(|&size| Literal::usize_unsuffixed(size));
                quote!([#(#sizes),*])
            }
            Field::Variant(variant) => {
                self.name(variant.module, variant.ty);
                let (ty, name) = (
                    format_ident!("{}", variant.ty),
                    format_ident!("{}", variant.name),
                );
                quote!(#ty::#name)
            }
            Field::I8s([]) | Field::U8s([]) | Field::I32s([]) => quote!(&[]),
            Field::I8s(values) => self.tables.i8s(self.step, &self.table(name), values),
            Field::I32s(values) => self.tables.i32s(self.step, &self.table(name), values),
            Field::U8s(values) => {
                let table = self.table(name);
                let value = Tables::reference(self.step, &table);
                self.late = Some((table, values.to_vec()));
                value
            }
            Field::Matrix(matrix) => self.matrix(&matrix),
            Field::Part(fields) => self.literal(fields),
            Field::Layer(fields) => {
                self.path.push(name);
                let value = self.literal(fields);
                self.path.pop();
                value
            }
            Field::Option(None) => quote!(None),
            Field::Option(Some(value)) => {
                let value = self.value(name, value.field());
                quote!(Some(#value))
            }
        }
    }

    fn matrix(&mut self, matrix: &Matrix<'_>) -> TokenStream {
        let layout = match matrix.packing {
            Packing::Step => self.layout,
            Packing::Rows => Layout::Rows,
        };
        let bits = self.bits.0;
        self.bits.0 = self.bits.1;
        let rows = matrix.weights.bytes();
        let inputs = matrix.inputs();
        self.tables.weights(self.step, layout, rows, inputs, bits)
    }

    fn write_late(&mut self) {
        if let Some((table, values)) = self.late.take() {
            self.tables.u8s(self.step, &table, &values);
        }
    }

    fn table(&self, name: &str) -> String {
        let path = self.path.iter().copied().chain([name]);
        path.collect::<Vec<_>>().join("_").to_ascii_uppercase()
    }

    fn name(&mut self, module: &'static str, name: &'static str) {
        self.names.entry(module).or_default().insert(name);
    }
}

/// Whether a layout holds all matrices of a step.
pub(super) fn holds_matrices(layout: Layout, step: &dyn Fields) -> bool {
    struct Held {
        layout: Layout,
        all: bool,
    }
    impl Held {
        fn check(&mut self, field: Field<'_>) {
            match field {
                Field::Matrix(matrix) => {
                    let (rows, inputs) = (matrix.weights.bytes(), matrix.inputs());
                    self.all &= self.layout.fits(matrix.outputs, inputs)
                        && self.layout.holds(bytemuck::cast_slice(rows), inputs);
                }
                Field::Part(fields) | Field::Layer(fields) => fields.visit(self),
                Field::Option(Some(value)) => self.check(value.field()),
                Field::Option(None)
                | Field::Buffer(_)
                | Field::Integer(_)
                | Field::Sizes(_)
                | Field::Variant(_)
                | Field::I8s(_)
                | Field::U8s(_)
                | Field::I32s(_) => {}
            }
        }
    }
    impl Visitor for Held {
        fn field(&mut self, _name: &'static str, field: Field<'_>) {
            self.check(field);
        }
    }
    let mut held = Held { layout, all: true };
    step.visit(&mut held);
    held.all
}
