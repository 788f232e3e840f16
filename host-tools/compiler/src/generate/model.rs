//! `model.rs`: constants, steps and `infer`.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::layout::Layout;
use tadpool_kernels::visit::{AnyStep, Values};

use super::arena::{image, outputs};
use super::constants::{Names, constants, holds_matrices};
use super::imports::imports;
use super::network::network;
use super::tables::Tables;
use super::tokens::{buffer, plain};
use super::{Choices, Description};
use crate::given::model_toml::Feed;
use crate::place::program::{Program, ProgramStep};

/// The body of `model.rs`, formatted.
pub(super) fn generate(
    program: &Program<'_>,
    description: &Description,
    choices: &Choices,
    tables: &mut Tables,
) -> String {
    let layout = choices.layout;
    let mut names = Names::new();
    let steps: Vec<TokenStream> = program
        .steps
        .iter()
        .map(|step| step_static(step, choices, tables, &mut names))
        .collect();
    let face = face(program, description);
    let outputs = outputs(program);
    let network = network(program, choices);
    let image = image(program, layout);
    let weights = weights(tables);
    // The hash of what is in the slot, beside that of what the program was linked with.
    let hash = choices.slots.then(|| {
        quote! {
            const HASH_IN_SLOT: Placed<u32> = Placed::new(&LINKED_HASH);
            static LINKED_HASH: u32 = MODEL_HASH;
        }
    });
    let used = quote!(#outputs #network #image #(#steps)* #hash);
    let uses = imports(used, names);
    let file = quote! {
        #uses

        tadpool_kernels::interface!(3);

        mod tables {
            include!("tables.rs");
        }
        #face
        #outputs
        #network
        #image
        #(#steps)*
        #hash
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

/// The layout whose kernel runs a step: `layout` if it takes all of it, or else padded.
pub(super) fn layout_of(step: &ProgramStep<'_>, layout: Layout) -> Layout {
    layout_of_kernel(&*step.kernel, step.input.into(), layout)
}

/// The same of a kernel that reads such values.
pub(super) fn layout_of_kernel(kernel: &dyn AnyStep, input: Values, layout: Layout) -> Layout {
    let takes = |&layout: &Layout| kernel.takes(layout, input) && holds_matrices(layout, kernel);
    let mut layouts = [layout, layout.padded()].into_iter();
    layouts.find(takes).unwrap_or(Layout::Rows)
}

pub(super) fn layout_ident(layout: Layout) -> Ident {
    format_ident!("{}", layout.name())
}

/// Constants that an application reads.
fn face(program: &Program<'_>, description: &Description) -> TokenStream {
    let name = &description.name;
    let labels = &description.labels;
    let classes = plain(program.logits.map_or(0, |logits| logits.size / 4));
    let features = plain(program.trained_head().map_or(0, |head| head.features()));
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
        /// Values that the head reads; see [`tadpool_kernels::Arena::features`].
        pub const FEATURES: usize = #features;
        /// The class of each logit.
        pub const LABELS: [&str; CLASSES] = [#(#labels),*];
        /// RAM of one inference, image and logits included.
        pub const ARENA_BYTES: usize = #arena_size;
        /// Number of kernel calls of one inference.
        pub const STEPS: usize = #steps;
        /// Place of each step in the network.
        pub const STEP_NAMES: [&str; STEPS] = [#(#names),*];
        /// Multiply-accumulates of each step.
        pub const STEP_MACS: [u32; STEPS] = [#(#macs),*];
        /// Whether the image is computed on row by row as it comes.
        pub const COMES_IN_ROWS: bool = #comes_in_rows;

        #image
        #logits
    }
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

/// The constants of a step: a static, or one that is placed in the slot in use.
fn step_static(
    step: &ProgramStep<'_>,
    choices: &Choices,
    tables: &mut Tables,
    names: &mut Names,
) -> TokenStream {
    let ident = ident(step);
    let constant = constant_name(&step.name.to_string());
    let layout = layout_of(step, choices.layout);
    let (ty, value) = constants(&constant, step, layout, tables, names);
    if choices.slots {
        let linked = format_ident!("LINKED_{ident}");
        return quote! {
            const #ident: Placed<#ty<'static>> = Placed::new(&#linked);
            static #linked: #ty<'static> = #value;
        };
    }
    quote! {
        static #ident: #ty<'static> = #value;
    }
}

/// The weights, a static for each step, and the functions that cut them out of the file and
/// matrices out of them while compiling. A linker script can tell the steps apart.
fn weights(tables: &Tables) -> TokenStream {
    let section = tables.section.as_deref().map(section);
    let parts = tables.parts.iter().map(|part| {
        let name = format_ident!("{}", part.name);
        let [start, size] = [part.start, part.size].map(Literal::usize_unsuffixed);
        quote! {
            #section
            static #name: Aligned<[u8; #size]> = Aligned(part(#start));
        }
    });
    quote! {
        #[repr(C, align(8))]
        struct Aligned<T>(T);

        #(#parts)*

        const fn part<const SIZE: usize>(start: usize) -> [u8; SIZE] {
            const ALL: &[u8] = include_bytes!("weights.bin");
            match ALL.split_at(start).1.first_chunk() {
                Some(part) => *part,
                None => panic!("weights.bin is not the file that was generated"),
            }
        }

        const fn weights(step: &'static [u8], offset: usize, size: usize) -> &'static [u8] {
            step.split_at(offset).1.split_at(size).0
        }
    }
}

/// The attributes of a static in a section of its own; those of a host's linker have other
/// names.
pub(super) fn section(name: &str) -> TokenStream {
    quote! {
        #[cfg_attr(target_os = "none", allow(unsafe_code))]
        #[cfg_attr(target_os = "none", unsafe(link_section = #name))]
    }
}
