//! `model.rs`: constants, steps and `infer`.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::Buffer;
use tadpool_kernels::layout::Layout;
use tadpool_kernels::norm::Norm;

use super::Description;
use super::tables::Tables;
use crate::program::{Kernel, Program, ProgramStep};

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
        .map(|step| step_static(step, layout_of(&step.kernel, layout), tables))
        .collect();
    let face = face(program, description);
    let arena = arena();
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
fn layout_of(kernel: &Kernel<'_>, layout: Layout) -> Layout {
    let takes = |weights: &[u8], inputs: usize| {
        layout.fits(weights.len() / inputs, inputs)
            && layout.holds(bytemuck::cast_slice(weights), inputs)
    };
    let fits = match kernel {
        Kernel::PatchEmbedding(op) => {
            let [.., outputs] = op.output_shape;
            takes(op.weights, op.weights.len() / outputs)
        }
        Kernel::ChannelMlp(op) => {
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
    let uses = |matches: fn(&Kernel<'_>) -> bool, tokens: TokenStream| {
        let used = program.steps.iter().any(|step| matches(&step.kernel));
        used.then_some(tokens)
    };
    let channel_mlp = uses(
        |kernel| matches!(kernel, Kernel::ChannelMlp(_)),
        quote!(
            use tadpool_kernels::channel_mlp::{self, ChannelMlp, NormedLinear, ResidualLinear};
        ),
    );
    let identity = uses(
        |kernel| matches!(kernel, Kernel::Identity(_)),
        quote!(
            use tadpool_kernels::identity::{self, Identity};
        ),
    );
    let pooling = uses(
        |kernel| matches!(kernel, Kernel::Pooling(_)),
        quote!(
            use tadpool_kernels::pooling::{self, Pooling};
        ),
    );
    let mut layouts: Vec<Ident> = program
        .steps
        .iter()
        .filter(|step| {
            matches!(
                step.kernel,
                Kernel::PatchEmbedding(_) | Kernel::Pooling(_) | Kernel::ChannelMlp(_)
            )
        })
        .map(|step| layout_ident(layout_of(&step.kernel, layout)))
        .collect();
    layouts.sort();
    layouts.dedup();
    quote! {
        #channel_mlp
        use tadpool_kernels::head::{self, Head};
        #identity
        use tadpool_kernels::layout::{#(#layouts),*};
        use tadpool_kernels::norm::Norm;
        use tadpool_kernels::patch_embedding::{self, PatchEmbedding};
        #pooling
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
    let (image, logits) = (buffer(program.image), buffer(program.logits));
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

        const IMAGE: Buffer = #image;
        const LOGITS: Buffer = #logits;
    }
}

fn arena() -> TokenStream {
    quote! {
        /// All RAM of an inference but the stack.
        #[repr(C, align(8))]
        pub struct Arena([u8; ARENA_BYTES]);

        impl Arena {
            /// An arena of zeros, for a `static`.
            pub const fn new() -> Self {
                Self([0; ARENA_BYTES])
            }

            /// Where the image goes: rows of pixels, channels fastest. An inference
            /// overwrites it.
            pub fn input_mut(&mut self) -> &mut [u8; INPUT_BYTES] {
                const { assert!(IMAGE.offset + INPUT_BYTES <= ARENA_BYTES) };
                self.0[IMAGE.offset..].first_chunk_mut().unwrap()
            }
        }

        impl Default for Arena {
            fn default() -> Self {
                Self::new()
            }
        }
    }
}

fn infer(program: &Program<'_>, layout: Layout) -> TokenStream {
    let calls = program.steps.iter().enumerate().map(|(number, step)| {
        let ident = ident(step);
        let (module, field) = kernel_module(&step.kernel);
        let layout = layout_ident(layout_of(&step.kernel, layout));
        let call = match &step.kernel {
            Kernel::PatchEmbedding(_) => quote!(#module::run::<#layout>(&#ident, arena)?;),
            Kernel::Pooling(_) | Kernel::ChannelMlp(_) => {
                quote!(#module::run::<#layout>(&#ident, &stats, arena)?;)
            }
            _ => quote!(#module::run(&#ident, &stats, arena)?;),
        };
        // The sums of the map, for the norm of the next step.
        let call = match program.steps.get(number + 1).map(|next| &next.kernel) {
            None | Some(Kernel::PatchEmbedding(_)) => call,
            Some(_) => quote!(let stats = #call),
        };
        let number = plain(number);
        quote! {
            #call
            observer.step(#number, #ident.#field.of(arena)?);
        }
    });
    quote! {
        /// Classifies the image in `arena`.
        ///
        /// # Errors
        /// None for an arena of this model; a [`Fault`] would tell of a broken build.
        pub fn infer(arena: &mut Arena) -> Result<Logits, Fault> {
            infer_observed(arena, &mut ())
        }

        /// Classifies the image in `arena` and shows `observer` what each step writes.
        ///
        /// # Errors
        /// As [`infer`].
        pub fn infer_observed(
            arena: &mut Arena,
            observer: &mut impl Observer,
        ) -> Result<Logits, Fault> {
            let arena = &mut arena.0;
            #(#calls)*
            head::logits(LOGITS, arena)
        }
    }
}

fn kernel_module(kernel: &Kernel<'_>) -> (Ident, Ident) {
    let (module, field) = match kernel {
        Kernel::PatchEmbedding(_) => ("patch_embedding", "output"),
        Kernel::Pooling(_) => ("pooling", "map"),
        Kernel::Identity(_) => ("identity", "map"),
        Kernel::ChannelMlp(_) => ("channel_mlp", "map"),
        Kernel::Head(_) => ("head", "output"),
    };
    (format_ident!("{module}"), format_ident!("{field}"))
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
    let (ty, value) = kernel(&constant, &step.kernel, layout, tables);
    quote! {
        static #ident: #ty<'static> = #value;
    }
}

/// Type and value of one step's constants.
fn kernel(
    step: &str,
    kernel: &Kernel<'_>,
    layout: Layout,
    tables: &mut Tables,
) -> (Ident, TokenStream) {
    match kernel {
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
            let inputs = op.weights.len() / op.bias.len().max(1);
            let weights = tables.weights(layout, op.weights, inputs);
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
                pad: #pad,
                weights: #weights,
                bias: #bias,
                multiplier: #multiplier,
                zero_point: #zero_point,
            });
            (format_ident!("PatchEmbedding"), value)
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
            (format_ident!("Pooling"), value)
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
            (format_ident!("Identity"), value)
        }
        Kernel::ChannelMlp(op) => {
            let (map, scratch, norm) = (buffer(op.map), buffer(op.scratch), norm(&op.norm));
            let (channels, hidden) = (plain(op.channels), plain(op.hidden));
            let tile_tokens = plain(op.tile_tokens);
            let (hidden_zero, zero_point) = (signed(op.hidden_zero), signed(op.fc2.zero_point));
            let fc1_weights = tables.weights(layout, op.fc1.weights, op.channels);
            let row_sums = tables.i32s(step, "FC1_ROW_SUMS", op.fc1.row_sums);
            let fc1_bias = tables.i32s(step, "FC1_BIAS", op.fc1.bias);
            let fc1_multiplier = tables.i32s(step, "FC1_MULTIPLIER", op.fc1.multiplier);
            let activation = tables.i8s(step, "ACTIVATION", op.activation);
            let fc2_weights = tables.weights(layout, op.fc2.weights, op.hidden);
            let fc2_bias = tables.i32s(step, "FC2_BIAS", op.fc2.bias);
            let residual = tables.i32s(step, "FC2_RESIDUAL", op.fc2.residual);
            let fc2_multiplier = tables.i32s(step, "FC2_MULTIPLIER", op.fc2.multiplier);
            let value = quote!(ChannelMlp {
                map: #map,
                scratch: #scratch,
                channels: #channels,
                hidden: #hidden,
                tile_tokens: #tile_tokens,
                norm: #norm,
                fc1: NormedLinear {
                    weights: #fc1_weights,
                    row_sums: #row_sums,
                    bias: #fc1_bias,
                    multiplier: #fc1_multiplier,
                },
                hidden_zero: #hidden_zero,
                activation: #activation,
                fc2: ResidualLinear {
                    weights: #fc2_weights,
                    bias: #fc2_bias,
                    residual: #residual,
                    multiplier: #fc2_multiplier,
                    zero_point: #zero_point,
                },
            });
            (format_ident!("ChannelMlp"), value)
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
            let weights = tables.weights(Layout::Rows, op.weights, op.channels);
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
            (format_ident!("Head"), value)
        }
    }
}

fn buffer(buffer: Buffer) -> TokenStream {
    let (offset, size) = (plain(buffer.offset), plain(buffer.size));
    quote!(Buffer { offset: #offset, size: #size })
}

fn norm(norm: &Norm) -> TokenStream {
    let elements = Literal::u32_unsuffixed(norm.elements);
    let epsilon = Literal::u64_unsuffixed(norm.epsilon);
    quote!(Norm { elements: #elements, epsilon: #epsilon })
}

/// A literal without its type's name.
fn plain(value: usize) -> Literal {
    Literal::usize_unsuffixed(value)
}

fn signed(value: i32) -> Literal {
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
