//! `model.rs`: constants, steps and `infer`.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::Buffer;
use tadpool_kernels::attention::Attention;
use tadpool_kernels::layout::Layout;
use tadpool_kernels::linear::{NormedLinear, ResidualLinear};
use tadpool_kernels::norm::Norm;
use tadpool_kernels::weights::Weights;

use super::tables::Tables;
use super::{Description, attention};
use crate::ir::Shape;
use crate::model_toml::Feed;
use crate::program::{Kernel, Program, ProgramOutput, ProgramStep};
use crate::quant_model::{Stream, WeightBits};

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
    let uses = uses(program, layout);
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
        Kernel::ChannelMlpInt16(op) => {
            takes(op.fc1.weights, op.channels) && takes(op.fc2.weights, op.hidden)
        }
        Kernel::Pooling(op) => layout.pools(op.shape[2]),
        Kernel::Identity(_) | Kernel::Head(_) => false,
    };
    if fits { layout } else { Layout::Rows }
}

fn layout_ident(layout: Layout) -> Ident {
    format_ident!("{}", layout.name())
}

fn uses(program: &Program<'_>, layout: Layout) -> TokenStream {
    let any = |matches: &dyn Fn(&ProgramStep<'_>) -> bool| program.steps.iter().any(matches);
    // The module of an int8 step is named where it is called.
    let step = |matches: fn(&Kernel<'_>) -> bool, name: &str, ty: &str| {
        let (name, ty) = (format_ident!("{name}"), format_ident!("{ty}"));
        if any(&|step| matches(&step.kernel) && step.input == Stream::Int8) {
            quote!(use tadpool_kernels::#name::{self, #ty};)
        } else if any(&|step| matches(&step.kernel)) {
            quote!(use tadpool_kernels::#name::#ty;)
        } else {
            quote!()
        }
    };
    let identity = step(|k| matches!(k, Kernel::Identity(_)), "identity", "Identity");
    let attends = |step: &ProgramStep<'_>| matches!(step.kernel, Kernel::Attention(_));
    let attention = any(&attends).then(|| {
        quote!(
            use tadpool_kernels::attention::{self, Attention};
        )
    });
    let normed = any(&attends).then(|| {
        quote!(
            use tadpool_kernels::normed::{NormScope, Normed};
        )
    });
    let pooling = step(|k| matches!(k, Kernel::Pooling(_)), "pooling", "Pooling");

    let narrow_mlp = any(&|step| matches!(step.kernel, Kernel::ChannelMlp(_)));
    let wide_mlp = any(&|step| matches!(step.kernel, Kernel::ChannelMlpInt16(_)));
    let embeds = |step: &ProgramStep<'_>| matches!(step.kernel, Kernel::PatchEmbedding(_));
    let channel_mlp = narrow_mlp.then(|| {
        quote!(
            use tadpool_kernels::channel_mlp::{self, ChannelMlp};
        )
    });
    let (has_mlp, has_attention) = (narrow_mlp || wide_mlp, any(&attends));
    let linear: Vec<Ident> = [
        (has_mlp, "NormedLinear"),
        (has_attention, "PlainLinear"),
        (has_mlp || has_attention, "ResidualLinear"),
    ]
    .into_iter()
    .filter(|(is_used, _)| *is_used)
    .map(|(_, name)| format_ident!("{name}"))
    .collect();
    let linear = (!linear.is_empty()).then(|| {
        quote!(
            use tadpool_kernels::linear::{#(#linear),*};
        )
    });
    let int16 =
        any(&|step| step.input == Stream::Int16 && !embeds(step) && !attends(step)).then(|| {
            quote!(
                use tadpool_kernels::int16;
            )
        });

    let mut layouts: Vec<Ident> = program
        .steps
        .iter()
        .filter(|step| {
            matches!(
                step.kernel,
                Kernel::PatchEmbedding(_)
                    | Kernel::Attention(_)
                    | Kernel::ChannelMlp(_)
                    | Kernel::ChannelMlpInt16(_)
            ) || matches!(
                (&step.kernel, step.input),
                (Kernel::Pooling(_), Stream::Int8)
            )
        })
        .map(|step| layout_ident(layout_of(step, layout)))
        .collect();
    layouts.sort();
    layouts.dedup();
    let mut streams: Vec<Ident> = program
        .steps
        .iter()
        .filter(|step| (embeds(step) && takes_any(program, step)) || attends(step))
        .flat_map(|step| [step.input, step.output].map(stream_ident))
        .collect();
    streams.sort();
    streams.dedup();
    let streams = (!streams.is_empty()).then(|| {
        quote!(
            use tadpool_kernels::stream::{#(#streams),*};
        )
    });
    let pushed = (program.feed == Feed::Rows).then(|| {
        quote!(
            use tadpool_kernels::pushed_rows::{self, Pushed};
        )
    });
    let head = (program.logits.size > 0).then(|| {
        quote!(
            use tadpool_kernels::head::{self, Head};
        )
    });
    let outputs = (!program.outputs.is_empty()).then(|| {
        quote!(
            use tadpool_kernels::output::Output;
        )
    });
    quote! {
        #attention
        #channel_mlp
        #head
        #identity
        #int16
        use tadpool_kernels::layout::{#(#layouts),*};
        #linear
        use tadpool_kernels::norm::Norm;
        #normed
        use tadpool_kernels::patch_embedding::{self, PatchEmbedding};
        #outputs
        #pooling
        #pushed
        #streams
        use tadpool_kernels::weights::Weights;
        use tadpool_kernels::{Buffer, Fault, Observer};
    }
}

/// Constants that an application reads.
fn face(program: &Program<'_>, description: &Description) -> TokenStream {
    let name = &description.name;
    let labels = &description.labels;
    let classes = plain(program.logits.size / 4);
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
    let logits = (program.logits.size > 0).then(|| {
        let logits = buffer(program.logits);
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

/// The arena and how an image gets into it.
fn arena(program: &Program<'_>, layout: Layout) -> TokenStream {
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
fn outputs(program: &Program<'_>) -> TokenStream {
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
    let logits = match program.logits.size {
        0 => quote!(Ok([])),
        _ => quote!(head::logits(LOGITS, arena)),
    };
    let errors = match program.feed {
        Feed::Image => {
            " None for an arena of this model; a [`Fault`] would tell of a broken build."
        }
        Feed::Rows => " [`Fault::Geometry`] if rows of the image are missing.",
    };
    quote! {
        /// Runs the network on the image in `arena`.
        ///
        /// # Errors
        #[doc = #errors]
        pub fn infer(arena: &mut Arena) -> Result<Logits, Fault> {
            infer_observed(arena, &mut ())
        }

        /// Runs the network on the image in `arena` and shows `observer` what each step writes.
        ///
        /// # Errors
        /// As [`infer`].
        pub fn infer_observed(
            arena: &mut Arena,
            observer: &mut impl Observer,
        ) -> Result<Logits, Fault> {
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
fn kernel_path(program: &Program<'_>, step: &ProgramStep<'_>, layout: Layout) -> TokenStream {
    let any = takes_any(program, step);
    let layout = layout_ident(layout_of(step, layout));
    match (&step.kernel, step.input) {
        (Kernel::PatchEmbedding(_), _) if any => {
            let [input, output] = [step.input, step.output].map(stream_ident);
            quote!(patch_embedding::run_mixed::<#layout, #input, #output>)
        }
        (Kernel::PatchEmbedding(_), _) => quote!(patch_embedding::run::<#layout>),
        (Kernel::Pooling(_), Stream::Int8) => quote!(pooling::run::<#layout>),
        (Kernel::Pooling(_), Stream::Int16) => quote!(int16::pooling::run),
        (Kernel::Identity(_), Stream::Int8) => quote!(identity::run),
        (Kernel::Identity(_), Stream::Int16) => quote!(int16::identity::run),
        (Kernel::Attention(_), stream) => {
            let stream = stream_ident(stream);
            quote!(attention::run::<#layout, #stream>)
        }
        (Kernel::ChannelMlp(_), _) if any => quote!(channel_mlp::run_int4::<#layout>),
        (Kernel::ChannelMlp(_), _) => quote!(channel_mlp::run::<#layout>),
        (Kernel::ChannelMlpInt16(_), _) => quote!(int16::channel_mlp::run::<#layout>),
        (Kernel::Head(_), Stream::Int16) => quote!(int16::head::run),
        (Kernel::Head(_), Stream::Int8) if any => quote!(head::run_int4),
        (Kernel::Head(_), Stream::Int8) => quote!(head::run),
    }
}

fn stream_ident(stream: Stream) -> Ident {
    match stream {
        Stream::Int8 => format_ident!("Int8"),
        Stream::Int16 => format_ident!("Int16"),
    }
}

fn output_field(kernel: &Kernel<'_>) -> Ident {
    match kernel {
        Kernel::PatchEmbedding(_) | Kernel::Head(_) => format_ident!("output"),
        Kernel::Pooling(_)
        | Kernel::Identity(_)
        | Kernel::Attention(_)
        | Kernel::ChannelMlp(_)
        | Kernel::ChannelMlpInt16(_) => format_ident!("map"),
    }
}

fn ident(step: &ProgramStep<'_>) -> Ident {
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
    let (ty, value) = kernel(&constant, step, layout, tables);
    quote! {
        static #ident: #ty<'static> = #value;
    }
}

/// Type and value of one step's constants.
fn kernel(
    step: &str,
    program_step: &ProgramStep<'_>,
    layout: Layout,
    tables: &mut Tables,
) -> (TokenStream, TokenStream) {
    let [bits, fc2_bits] = program_step.bits;
    match &program_step.kernel {
        Kernel::PatchEmbedding(op) => {
            let (input, output, scratch) =
                (buffer(op.input), buffer(op.output), buffer(op.scratch));
            let (input_shape, output_shape) = (array(op.input_shape), array(op.output_shape));
            let (kernel, stride, padding) = (array(op.kernel), array(op.stride), array(op.padding));
            let (tile_tokens, flip, zero_point) = (
                plain(op.tile_tokens),
                Literal::u8_unsuffixed(op.flip),
                signed(op.zero_point),
            );
            let pad = tables.i8s(step, "PAD", op.pad);
            let shift = match op.shift {
                [] => quote!(&[]),
                shift => tables.u8s(step, "SHIFT", shift),
            };
            let rows = op.weights.bytes();
            let weights = tables.weights(layout, rows, rows.len() / op.bias.len().max(1), bits);
            let bias = tables.i32s(step, "BIAS", op.bias);
            let multiplier = tables.i32s(step, "MULTIPLIER", op.multiplier);
            let value = quote!(PatchEmbedding {
                input: #input,
                output: #output,
                scratch: #scratch,
                input_shape: #input_shape,
                output_shape: #output_shape,
                kernel: #kernel,
                stride: #stride,
                padding: #padding,
                tile_tokens: #tile_tokens,
                flip: #flip,
                shift: #shift,
                pad: #pad,
                weights: #weights,
                bias: #bias,
                multiplier: #multiplier,
                zero_point: #zero_point,
            });
            (quote!(PatchEmbedding), value)
        }
        Kernel::Pooling(op) => {
            let (map, scratch, shape) = (buffer(op.map), buffer(op.scratch), array(op.shape));
            let (norm, residual, offset) = (norm(&op.norm), signed(op.residual), signed(op.offset));
            let factor = tables.i32s(step, "FACTOR", op.factor);
            let value = quote!(Pooling {
                map: #map,
                scratch: #scratch,
                shape: #shape,
                norm: #norm,
                factor: #factor,
                residual: #residual,
                offset: #offset,
            });
            (quote!(Pooling), value)
        }
        Kernel::Identity(op) => {
            let (map, channels, norm) = (buffer(op.map), plain(op.channels), norm(&op.norm));
            let residual = signed(op.residual);
            let factor = tables.i32s(step, "FACTOR", op.factor);
            let offset = tables.i32s(step, "OFFSET", op.offset);
            let value = quote!(Identity {
                map: #map,
                channels: #channels,
                norm: #norm,
                factor: #factor,
                offset: #offset,
                residual: #residual,
            });
            (quote!(Identity), value)
        }
        Kernel::Attention(op) => attention::constants(step, op, layout, program_step.bits, tables),
        Kernel::ChannelMlp(op) => {
            let (map, scratch, norm) = (buffer(op.map), buffer(op.scratch), norm(&op.norm));
            let (channels, hidden) = (plain(op.channels), plain(op.hidden));
            let (tile_tokens, hidden_zero) = (plain(op.tile_tokens), signed(op.hidden_zero));
            let fc1 = normed_linear(step, &op.fc1, op.channels, layout, bits, tables);
            let activation = tables.i8s(step, "ACTIVATION", op.activation);
            let fc2 = residual_linear(step, "FC2", &op.fc2, op.hidden, layout, fc2_bits, tables);
            let value = quote!(ChannelMlp {
                map: #map,
                scratch: #scratch,
                channels: #channels,
                hidden: #hidden,
                tile_tokens: #tile_tokens,
                norm: #norm,
                fc1: #fc1,
                hidden_zero: #hidden_zero,
                activation: #activation,
                fc2: #fc2,
            });
            (quote!(ChannelMlp), value)
        }
        Kernel::ChannelMlpInt16(op) => {
            let (map, scratch, norm) = (buffer(op.map), buffer(op.scratch), norm(&op.norm));
            let (channels, hidden) = (plain(op.channels), plain(op.hidden));
            let (tile_tokens, hidden_zero) = (plain(op.tile_tokens), signed(op.hidden_zero));
            let shift = tables.u8s(step, "SHIFT", op.shift);
            let fc1 = normed_linear(step, &op.fc1, op.channels, layout, bits, tables);
            let activation = tables.i8s(step, "ACTIVATION", op.activation);
            let fc2 = residual_linear(step, "FC2", &op.fc2, op.hidden, layout, fc2_bits, tables);
            let value = quote!(int16::channel_mlp::ChannelMlp {
                map: #map,
                scratch: #scratch,
                channels: #channels,
                hidden: #hidden,
                tile_tokens: #tile_tokens,
                norm: #norm,
                shift: #shift,
                fc1: #fc1,
                hidden_zero: #hidden_zero,
                activation: #activation,
                fc2: #fc2,
            });
            (quote!(int16::channel_mlp::ChannelMlp), value)
        }
        Kernel::Head(op) => {
            let (map, output, scratch) = (buffer(op.map), buffer(op.output), buffer(op.scratch));
            let (tokens, channels) = (plain(op.tokens), plain(op.channels));
            let zero_point = Literal::i8_unsuffixed(op.zero_point);
            let norm = match &op.norm {
                Some(op) => {
                    let norm = norm(op);
                    quote!(Some(#norm))
                }
                None => quote!(None::<Norm>),
            };
            let weights = tables.weights(Layout::Rows, op.weights.bytes(), op.channels, bits);
            let row_sums = tables.i32s(step, "ROW_SUMS", op.row_sums);
            let multiplier = tables.i32s(step, "MULTIPLIER", op.multiplier);
            let bias = tables.i32s(step, "BIAS", op.bias);
            let value = quote!(Head {
                map: #map,
                output: #output,
                scratch: #scratch,
                tokens: #tokens,
                channels: #channels,
                norm: #norm,
                zero_point: #zero_point,
                weights: #weights,
                row_sums: #row_sums,
                multiplier: #multiplier,
                bias: #bias,
            });
            (quote!(Head), value)
        }
    }
}

/// `fc1` of a channel MLP.
fn normed_linear(
    step: &str,
    fc1: &NormedLinear<'_>,
    inputs: usize,
    layout: Layout,
    bits: WeightBits,
    tables: &mut Tables,
) -> TokenStream {
    let weights = tables.weights(layout, fc1.weights.bytes(), inputs, bits);
    let row_sums = tables.i32s(step, "FC1_ROW_SUMS", fc1.row_sums);
    let bias = tables.i32s(step, "FC1_BIAS", fc1.bias);
    let multiplier = tables.i32s(step, "FC1_MULTIPLIER", fc1.multiplier);
    quote!(NormedLinear {
        weights: #weights,
        row_sums: #row_sums,
        bias: #bias,
        multiplier: #multiplier,
    })
}

/// The layer that ends a branch, called `part`.
pub(super) fn residual_linear(
    step: &str,
    part: &str,
    linear: &ResidualLinear<'_>,
    inputs: usize,
    layout: Layout,
    bits: WeightBits,
    tables: &mut Tables,
) -> TokenStream {
    let weights = tables.weights(layout, linear.weights.bytes(), inputs, bits);
    let bias = tables.i32s(step, &format!("{part}_BIAS"), linear.bias);
    let residual = tables.i32s(step, &format!("{part}_RESIDUAL"), linear.residual);
    let multiplier = tables.i32s(step, &format!("{part}_MULTIPLIER"), linear.multiplier);
    let offset = match linear.offset {
        [] => quote!(&[]),
        offset => tables.i32s(step, &format!("{part}_OFFSET"), offset),
    };
    let zero_point = signed(linear.zero_point);
    quote!(ResidualLinear {
        weights: #weights,
        bias: #bias,
        residual: #residual,
        multiplier: #multiplier,
        offset: #offset,
        zero_point: #zero_point,
    })
}

pub(super) fn buffer(buffer: Buffer) -> TokenStream {
    let (offset, size) = (plain(buffer.offset), plain(buffer.size));
    quote!(Buffer { offset: #offset, size: #size })
}

pub(super) fn norm(norm: &Norm) -> TokenStream {
    let elements = Literal::u32_unsuffixed(norm.elements);
    let epsilon = Literal::u64_unsuffixed(norm.epsilon);
    quote!(Norm { elements: #elements, epsilon: #epsilon })
}

/// A literal without its type's name.
pub(super) fn plain(value: usize) -> Literal {
    Literal::usize_unsuffixed(value)
}

pub(super) fn signed(value: i32) -> Literal {
    Literal::i32_unsuffixed(value)
}

fn array<const N: usize>(values: [usize; N]) -> TokenStream {
    let values = values.map(plain);
    quote!([#(#values),*])
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
