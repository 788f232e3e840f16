//! `model.rs`: constants, steps and `infer`.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::attention::Attention;
use tadpool_kernels::layout::Layout;
use tadpool_kernels::weights::Weights;

use super::Description;
use super::arena::{arena, outputs};
use super::constants::constants;
use super::imports::imports;
use super::tables::Tables;
use super::tokens::{buffer, plain, stream_ident};
use crate::given::model_toml::Feed;
use crate::place::program::{Kernel, Program, ProgramStep};
use crate::quantize::quant_model::{Stream, WeightBits};

/// The body of `model.rs`, formatted.
pub(super) fn generate(
    program: &Program<'_>,
    description: &Description,
    layout: Layout,
    tables: &mut Tables,
) -> String {
    let steps: Vec<TokenStream> = program
        .steps
        .iter()
        .map(|step| step_static(step, layout_of(step, layout), tables))
        .collect();
    let face = face(program, description);
    let arena = arena(program, layout);
    let outputs = outputs(program);
    let infer = infer(program, layout);
    let uses = imports(quote!(#arena #outputs #infer #(#steps)*));
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
    let takes = |weights: Weights<'_>, inputs: usize| {
        let rows = weights.bytes();
        layout.fits(rows.len() / inputs, inputs) && layout.holds(bytemuck::cast_slice(rows), inputs)
    };
    let fits = match &step.kernel {
        Kernel::PatchEmbedding(op) => {
            let [.., outputs] = op.output_shape;
            takes(op.weights, op.weights.bytes().len() / outputs)
        }
        Kernel::Attention(op) => {
            let inner = op.heads * op.head_size;
            let tokens = op.map.size / (op.channels * step.input.value_bytes());
            Attention::fits(layout, tokens, op.head_size)
                && takes(op.qkv.weights, op.channels)
                && takes(op.projection.weights, inner)
        }
        Kernel::ChannelMlp(op) => {
            takes(op.fc1.weights, op.channels) && takes(op.fc2.weights, op.hidden)
        }
        Kernel::NormedMlp(op) => {
            takes(op.fc1.weights, op.channels) && takes(op.fc2.weights, op.hidden)
        }
        Kernel::Pooling(op) => layout.pools(op.shape[2]),
        Kernel::RandomMixing(op) => takes(op.weights, op.tokens),
        Kernel::SepConv(op) => {
            takes(op.fc1.weights, op.shape[2]) && takes(op.fc2.weights, op.hidden)
        }
        Kernel::ScaledPooling(_)
        | Kernel::NormedPooling(_)
        | Kernel::Identity(_)
        | Kernel::Head(_)
        | Kernel::WideHead(_) => false,
    };
    if fits { layout } else { Layout::Rows }
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
    let names = program.steps.iter().map(|step| step.name);
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
        let field = output_field(&step.kernel);
        let call = match (number, program.feed) {
            (0, Feed::Rows) => quote!(pushed.take(&#ident)?;),
            _ => call(program, step, layout),
        };
        // The sums of the map, for the norm of the next step.
        let call = match program.steps.get(number + 1).map(|next| &next.kernel) {
            None | Some(Kernel::PatchEmbedding(_)) => call,
            Some(_) => quote!(let stats = #call),
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

/// Whether the kernel that takes weights of any number of bits is to be called,
/// and of patch embeddings the one for streams of any width.
///
/// It serves all steps of a kind if one of them needs it, so that no image holds
/// two copies.
fn takes_any(program: &Program<'_>, step: &ProgramStep<'_>) -> bool {
    let like = |other: &&ProgramStep<'_>| {
        std::mem::discriminant(&other.kernel) == std::mem::discriminant(&step.kernel)
            && (other.input, other.output) == (step.input, step.output)
    };
    let mut like = program.steps.iter().filter(like);
    let embeds = matches!(step.kernel, Kernel::PatchEmbedding(_));
    (embeds && [step.input, step.output].contains(&Stream::Int16))
        || like.any(|step| step.bits.contains(&WeightBits::Int4))
}

/// The call of a step's kernel.
fn call(program: &Program<'_>, step: &ProgramStep<'_>, layout: Layout) -> TokenStream {
    let (ident, run) = (ident(step), kernel_path(program, step, layout));
    let takes_stats = !matches!(step.kernel, Kernel::PatchEmbedding(_));
    let stats = takes_stats.then(|| quote!(&stats,));
    quote!(#run(&#ident, #stats arena)?;)
}

/// The function that runs a step.
pub(super) fn kernel_path(
    program: &Program<'_>,
    step: &ProgramStep<'_>,
    layout: Layout,
) -> TokenStream {
    let any = takes_any(program, step);
    let layout = layout_ident(layout_of(step, layout));
    let stream = stream_ident(step.input);
    match (&step.kernel, step.input) {
        (Kernel::PatchEmbedding(_), _) if any => {
            let output = stream_ident(step.output);
            quote!(patch_embedding::run_mixed::<#layout, #stream, #output>)
        }
        (Kernel::PatchEmbedding(_), _) => quote!(patch_embedding::run::<#layout>),
        (Kernel::Pooling(_), Stream::Int8) => quote!(pooling::run::<#layout>),
        (Kernel::Pooling(_), Stream::Int16) => quote!(int16::pooling::run),
        (Kernel::ScaledPooling(_), _) => quote!(scaled_pooling::run::<#stream>),
        (Kernel::NormedPooling(_), _) => quote!(normed_pooling::run::<#stream>),
        (Kernel::Identity(_), _) => quote!(identity::run::<#stream>),
        (Kernel::RandomMixing(_), _) => quote!(random_mixing::run::<#layout, #stream>),
        (Kernel::SepConv(_), _) => quote!(sep_conv::run::<#layout, #stream>),
        (Kernel::Attention(_), _) => quote!(attention::run::<#layout, #stream>),
        (Kernel::ChannelMlp(_), Stream::Int16) => quote!(int16::channel_mlp::run::<#layout>),
        (Kernel::ChannelMlp(_), Stream::Int8) if any => quote!(channel_mlp::run_int4::<#layout>),
        (Kernel::ChannelMlp(_), Stream::Int8) => quote!(channel_mlp::run::<#layout>),
        (Kernel::NormedMlp(_), _) => quote!(normed_mlp::run::<#layout, #stream>),
        (Kernel::Head(_), Stream::Int16) => quote!(int16::head::run),
        (Kernel::Head(_), Stream::Int8) if any => quote!(head::run_int4),
        (Kernel::Head(_), Stream::Int8) => quote!(head::run),
        (Kernel::WideHead(_), _) => quote!(wide_head::run::<#stream>),
    }
}

fn output_field(kernel: &Kernel<'_>) -> Ident {
    match kernel {
        Kernel::PatchEmbedding(_) | Kernel::Head(_) | Kernel::WideHead(_) => {
            format_ident!("output")
        }
        Kernel::Pooling(_)
        | Kernel::ScaledPooling(_)
        | Kernel::NormedPooling(_)
        | Kernel::Identity(_)
        | Kernel::RandomMixing(_)
        | Kernel::SepConv(_)
        | Kernel::Attention(_)
        | Kernel::ChannelMlp(_)
        | Kernel::NormedMlp(_) => format_ident!("map"),
    }
}

pub(super) fn ident(step: &ProgramStep<'_>) -> Ident {
    format_ident!("{}", constant_name(step.name))
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

fn step_static(step: &ProgramStep<'_>, layout: Layout, tables: &mut Tables) -> TokenStream {
    let ident = ident(step);
    let constant = constant_name(step.name);
    let (ty, value) = constants(&constant, step, layout, tables);
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
