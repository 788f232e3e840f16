//! `model.rs`: constants, steps and `infer`.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::layout::Layout;
use tadpool_kernels::visit::{Call, Parameter};

use super::Description;
use super::arena::{arena, outputs};
use super::constants::{Names, constants, holds_matrices};
use super::imports::imports;
use super::tables::Tables;
use super::tokens::{buffer, plain, stream_ident};
use crate::given::model_toml::Feed;
use crate::place::program::{Program, ProgramStep};
use crate::quantize::quant_model::WeightBits;

/// The body of `model.rs`, formatted.
pub(super) fn generate(
    program: &Program<'_>,
    description: &Description,
    layout: Layout,
    tables: &mut Tables,
) -> String {
    let mut names = Names::new();
    let steps: Vec<TokenStream> = program
        .steps
        .iter()
        .map(|step| step_static(step, layout_of(step, layout), tables, &mut names))
        .collect();
    let face = face(program, description);
    let arena = arena(program, layout);
    let outputs = outputs(program);
    let infer = infer(program, layout);
    let uses = imports(quote!(#arena #outputs #infer #(#steps)*), names);
    let weights = weights(tables.weights.len());
    let file = quote! {
        #uses
        mod tables {
            include!("tables.rs");
        }
        #face
        #arena
        #outputs
        #infer
        #(#steps)*
        #weights
    };
    // The tokens above are a file by construction.
    let file = syn::parse2(file).expect("generated source parses");
    spaced(&prettyplease::unparse(&file))
}

/// A blank line before every item that has documentation or begins a block.
fn spaced(source: &str) -> String {
    let mut spaced = String::with_capacity(source.len());
    let mut previous = "";
    for line in source.lines() {
        let starts_item = ["///", "#[", "mod ", "pub ", "impl ", "static ", "const "]
            .iter()
            .any(|start| line.starts_with(start));
        let continues = previous.starts_with("///") || previous.starts_with("#[");
        if starts_item && !continues && !previous.is_empty() {
            spaced.push('\n');
        }
        spaced.push_str(line);
        spaced.push('\n');
        previous = line;
    }
    spaced
}

/// The layout whose kernel runs a step: `layout` if it takes all of it.
fn layout_of(step: &ProgramStep<'_>, layout: Layout) -> Layout {
    let kernel = &*step.kernel;
    if kernel.takes(layout, step.input.into()) && holds_matrices(layout, kernel) {
        layout
    } else {
        Layout::Rows
    }
}

fn layout_ident(layout: Layout) -> Ident {
    format_ident!("{}", layout.name())
}

/// Constants that an application reads.
fn face(program: &Program<'_>, description: &Description) -> TokenStream {
    let name = &description.name;
    let labels = &description.labels;
    let classes = plain(program.logits.map_or(0, |logits| logits.size / 4));
    let [height, width, channels] = [
        plain(program.input.height),
        plain(program.input.width),
        plain(program.input.channels),
    ];
    let arena_size = plain(program.arena_size);
    let image = match program.feed {
        Feed::Image => {
            let image = buffer(program.image);
            quote!(const IMAGE: Buffer = #image;)
        }
        Feed::Rows => quote!(),
    };
    let logits = program.logits.map(|logits| {
        let logits = buffer(logits);
        quote!(const LOGITS: Buffer = #logits;)
    });
    let comes_in_rows = program.feed == Feed::Rows;
    let steps = plain(program.steps.len());
    let names = program.steps.iter().map(|step| step.name.to_string());
    let macs = program
        .steps
        .iter()
        .map(|step| Literal::u64_unsuffixed(step.macs));
    quote! {
        /// Name of the network.
        pub const NAME: &str = #name;
        /// Rows of the image.
        pub const INPUT_HEIGHT: usize = #height;
        /// Columns of the image.
        pub const INPUT_WIDTH: usize = #width;
        /// Bytes of a pixel.
        pub const INPUT_CHANNELS: usize = #channels;
        /// Bytes of the image.
        pub const INPUT_BYTES: usize = INPUT_HEIGHT * INPUT_WIDTH * INPUT_CHANNELS;
        /// Number of logits.
        pub const CLASSES: usize = #classes;
        /// What each logit stands for.
        pub const LABELS: [&str; CLASSES] = [#(#labels),*];
        /// RAM of one inference, image and logits included.
        pub const ARENA_BYTES: usize = #arena_size;
        /// Number of kernel calls of one inference.
        pub const STEPS: usize = #steps;
        /// Place of each step in the network.
        pub const STEP_NAMES: [&str; STEPS] = [#(#names),*];
        /// Multiply-accumulates of each step.
        pub const STEP_MACS: [u32; STEPS] = [#(#macs),*];
        /// Logits in the network's own units, Q16.16.
        pub type Logits = [i32; CLASSES];

        /// Whether the image is computed on row by row as it comes.
        pub const COMES_IN_ROWS: bool = #comes_in_rows;

        #image
        #logits
    }
}

fn infer(program: &Program<'_>, layout: Layout) -> TokenStream {
    let calls = program.steps.iter().enumerate().map(|(number, step)| {
        let ident = ident(step);
        let field = format_ident!("{}", step.kernel.output_field());
        let call = match (number, program.feed) {
            (0, Feed::Rows) => quote!(pushed.take(&#ident)?;),
            _ => call(program, step, layout),
        };
        // The sums of the map, for the norm of the next step.
        let call = match program.steps.get(number + 1) {
            Some(next) if next.kernel.reads_sums() => quote!(let stats = #call),
            _ => call,
        };
        let number = plain(number);
        let copy = step.copy.map(|copy| {
            let copy = buffer(copy);
            quote!(#ident.#field.copy(#copy, arena)?;)
        });
        quote! {
            #call
            #copy
            observer.step(#number, #ident.#field.of(arena)?);
        }
    });
    let parts = match program.feed {
        Feed::Image => quote!(let arena = &mut arena.0;),
        Feed::Rows => quote!(let Arena(arena, pushed) = arena;),
    };
    let logits = match program.logits {
        None => quote!(Ok(&[])),
        Some(_) => quote!(head::logits(LOGITS, arena)),
    };
    let errors = match program.feed {
        Feed::Image => {
            " None for an arena of this model; a [`Fault`] would tell of a broken build."
        }
        Feed::Rows => " [`Fault::Geometry`] if rows of the image are missing.",
    };
    quote! {
        /// Runs the network on the image in `arena`; what it writes lies there until the
        /// next image.
        ///
        /// # Errors
        #[doc = #errors]
        pub fn infer(arena: &mut Arena) -> Result<&Logits, Fault> {
            infer_observed(arena, &mut ())
        }

        /// Runs the network on the image in `arena` and shows `observer` what each step writes.
        ///
        /// # Errors
        /// As [`infer`].
        pub fn infer_observed<'a>(
            arena: &'a mut Arena,
            observer: &mut impl Observer,
        ) -> Result<&'a Logits, Fault> {
            #parts
            #(#calls)*
            #logits
        }
    }
}

/// Whether the kernel that takes weights of four bits is to be called.
///
/// It serves all steps of a kind if one of them needs it, so that no image holds
/// two copies.
fn takes_int4(program: &Program<'_>, step: &ProgramStep<'_>) -> bool {
    let like = |other: &&ProgramStep<'_>| {
        other.kernel.name() == step.kernel.name()
            && (other.input, other.output) == (step.input, step.output)
    };
    let mut like = program.steps.iter().filter(like);
    like.any(|step| step.bits.contains(&WeightBits::Int4))
}

/// The call of a step's kernel.
fn call(program: &Program<'_>, step: &ProgramStep<'_>, layout: Layout) -> TokenStream {
    let (ident, run) = (ident(step), kernel_path(program, step, layout));
    let stats = match (step.kernel.reads_sums(), step.kernel.is_fixed()) {
        (true, _) => quote!(&stats,),
        (false, true) => quote!(&Default::default(),),
        (false, false) => quote!(),
    };
    quote!(#run(&#ident, #stats arena)?;)
}

/// The function that runs a step.
pub(super) fn kernel_path(
    program: &Program<'_>,
    step: &ProgramStep<'_>,
    layout: Layout,
) -> TokenStream {
    let function = step.kernel.function(&Call {
        input: step.input.into(),
        output: step.output.into(),
        int4: takes_int4(program, step),
    });
    let path = function
        .path
        .split("::")
        .map(|part| format_ident!("{part}"));
    let parameters = function.parameters.iter().map(|parameter| match parameter {
        Parameter::Layout => layout_ident(layout_of(step, layout)),
        Parameter::Input => stream_ident(step.input),
        Parameter::Output => stream_ident(step.output),
    });
    let parameters = (!function.parameters.is_empty()).then(|| quote!(::<#(#parameters),*>));
    quote!(#(#path)::* #parameters)
}

pub(super) fn ident(step: &ProgramStep<'_>) -> Ident {
    format_ident!("{}", constant_name(&step.name.to_string()))
}

/// `stage1.block0.mlp` as `STAGE1_BLOCK0_MLP`.
fn constant_name(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

fn step_static(
    step: &ProgramStep<'_>,
    layout: Layout,
    tables: &mut Tables,
    names: &mut Names,
) -> TokenStream {
    let ident = ident(step);
    let constant = constant_name(&step.name.to_string());
    let (ty, value) = constants(&constant, step, layout, tables, names);
    quote! {
        static #ident: #ty<'static> = #value;
    }
}

/// The blob and the function that cuts a matrix out of it while compiling.
fn weights(size: usize) -> TokenStream {
    quote! {
        #[repr(C, align(8))]
        struct Aligned<T>(T);

        static WEIGHTS: Aligned<[u8; #size]> = Aligned(*include_bytes!("weights.bin"));

        const fn weights(offset: usize, size: usize) -> &'static [u8] {
            WEIGHTS.0.split_at(offset).1.split_at(size).0
        }
    }
}
