//! The network as a type, and what runs it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use tadpool_kernels::layout::Layout;

use super::Choices;
use super::arena::bytes;
use super::calls::{advance, call};
use super::model::ident;
use super::tokens::{buffer, plain};
use crate::given::model_toml::Feed;
use crate::place::program::{Program, ProgramStep};

/// The type `Model`, names for what is its own, and its functions.
pub(super) fn network(program: &Program<'_>, choices: &Choices) -> TokenStream {
    let layout = choices.layout;
    let model_hash = choices.slots.then(|| {
        quote! {
            fn model_hash() -> u32 {
                *HASH_IN_SLOT
            }
        }
    });
    let bytes = bytes(program, layout);
    let run = run(program, layout);
    let pieces = pieces(program, layout);
    let trained_head = trained_head(program);
    let logits = match program.logits {
        Some(_) => quote!(Some(LOGITS)),
        None => quote!(None),
    };
    let outputs = match program.outputs.is_empty() {
        true => quote!(&[]),
        false => quote!(&OUTPUTS),
    };
    quote! {
        #[allow(unused_imports, reason = "for whoever uses this")]
        pub use tadpool_kernels::{
            Class, Fault, Logit, Memory, Network, Observer, Prediction, Probability, Status,
            TrainedHead,
        };

        /// The network as a type, for code that takes any [`Network`].
        #[derive(Debug, Clone, Copy)]
        pub enum Model {}

        /// All RAM of an inference but the stack; see [`tadpool_kernels::Arena`].
        pub type Arena = tadpool_kernels::Arena<Model>;

        /// An inference that runs a piece at a time; see [`tadpool_kernels::Inference`].
        pub type Inference<'a> = tadpool_kernels::Inference<'a, Model>;

        /// Runs the network on the image in `arena`, which is used up; what it writes lies
        /// there until the next image.
        ///
        /// # Errors
        /// [`Fault::NoImage`] if the image is missing or a part of it.
        pub fn infer(arena: &mut Arena) -> Result<Prediction<'_>, Fault> {
            arena.infer()
        }

        /// The same, and shows `observer` what each step writes.
        ///
        /// # Errors
        /// As [`infer`], and [`Fault::Stopped`] if `observer` ends it.
        pub fn infer_observed<'a>(
            arena: &'a mut Arena,
            observer: &mut impl Observer,
        ) -> Result<Prediction<'a>, Fault> {
            arena.infer_observed(observer)
        }

        /// Begins an inference that runs a piece at a time.
        ///
        /// # Errors
        /// As [`infer`].
        pub fn begin(arena: &mut Arena) -> Result<Inference<'_>, Fault> {
            arena.begin()
        }

        impl Network for Model {
            const NAME: &'static str = NAME;
            const INPUT_HEIGHT: usize = INPUT_HEIGHT;
            const INPUT_WIDTH: usize = INPUT_WIDTH;
            const INPUT_CHANNELS: usize = INPUT_CHANNELS;
            const LABELS: &'static [&'static str] = &LABELS;
            const ARENA_BYTES: usize = ARENA_BYTES;
            const STEP_NAMES: &'static [&'static str] = &STEP_NAMES;
            const OUTPUTS: &'static [tadpool_kernels::output::Output] = #outputs;
            const MODEL_HASH: u32 = MODEL_HASH;
            const LOGITS: Option<Buffer> = #logits;
            #model_hash
            #bytes
            #run
            #pieces
            #trained_head
        }
    }
}

/// The linear layer at the end.
fn trained_head(program: &Program<'_>) -> TokenStream {
    let last = program.steps.last();
    let head = match last.filter(|step| step.kernel.trained_head().is_some()) {
        Some(step) => {
            let constants = ident(step);
            let of = format_ident!("of_{}", step.kernel.module());
            quote!(Some(TrainedHead::#of(&#constants)))
        }
        None => quote!(None),
    };
    quote! {
        fn trained_head() -> Option<TrainedHead<'static>> {
            #head
        }
    }
}

/// All steps, one after the other.
fn run(program: &Program<'_>, layout: Layout) -> TokenStream {
    let name = |number: usize| format_ident!("step_{number}");
    let reads = |number: usize| {
        let step = program.steps.get(number);
        step.is_some_and(|step| step.kernel.reads_sums())
    };
    let is_done = |number: usize| number == 0 && program.feed == Feed::Rows;
    let copy = |step: &ProgramStep<'_>| {
        let (ident, field) = (ident(step), format_ident!("{}", step.kernel.output_field()));
        step.copy.map(|copy| {
            let copy = buffer(copy);
            quote!(#ident.#field.copy(#copy, arena)?;)
        })
    };
    // Each step is a function without type parameters: it is compiled once, with the options
    // of this crate, whoever observes it.
    let functions = program.steps.iter().enumerate().map(|(number, step)| {
        if is_done(number) {
            return quote!();
        }
        let (name, copy) = (name(number), copy(step));
        let call = call(program, step, layout);
        let stats = reads(number).then(|| quote!(stats: Stats,));
        // The sums of the map are for the norm of the next step.
        let (result, body) = match (reads(number + 1), copy) {
            (true, None) => (quote!(Stats), call),
            (true, copy) => (quote!(Stats), quote!(let stats = #call?; #copy Ok(stats))),
            (false, copy) => (quote!(()), quote!(#call?; #copy Ok(()))),
        };
        quote! {
            fn #name(#stats arena: &mut [u8]) -> Result<#result, Fault> {
                #body
            }
        }
    });
    let calls = program.steps.iter().enumerate().map(|(number, step)| {
        let (ident, field) = (ident(step), format_ident!("{}", step.kernel.output_field()));
        let name = name(number);
        let stats = reads(number).then(|| quote!(stats,));
        let call = match (is_done(number), reads(number + 1)) {
            (true, _) => copy(step),
            (false, true) => Some(quote!(let stats = #name(#stats arena)?;)),
            (false, false) => Some(quote!(#name(#stats arena)?;)),
        };
        let number = plain(number);
        quote! {
            if observer.goes_on(#number).is_break() {
                return Err(Fault::Stopped);
            }
            #call
            observer.step(#number, #ident.#field.of(arena)?);
        }
    });
    // Of an image that came row by row, the first step has run.
    let stats = match program.feed {
        Feed::Rows => reads(1).then(|| quote!(let stats = *stats;)),
        Feed::Image => reads(0).then(|| quote!(let stats = *stats;)),
    };
    let name = match stats.is_some() {
        true => format_ident!("stats"),
        false => format_ident!("_stats"),
    };
    quote! {
        fn run(arena: &mut [u8], stats: &Stats) -> Result<(), Fault> {
            Self::run_observed(arena, stats, &mut ())
        }

        fn run_observed<O: Observer>(
            arena: &mut [u8],
            #name: &Stats,
            observer: &mut O,
        ) -> Result<(), Fault> {
            #(#functions)*
            #stats
            #(#calls)*
            Ok(())
        }
    }
}

/// A piece of any step.
fn pieces(program: &Program<'_>, layout: Layout) -> TokenStream {
    let pieces = program.steps.iter().enumerate().map(|(number, step)| {
        // Of an image that came row by row, the first step has run: its sums go on.
        let advance = match number == 0 && program.feed == Feed::Rows {
            true => quote!(progress.pass(stats)),
            false => advance(program, step, layout),
        };
        let number = plain(number);
        let (ident, field) = (ident(step), format_ident!("{}", step.kernel.output_field()));
        match step.copy.map(buffer) {
            None => quote!(#number => #advance,),
            Some(copy) => quote!(#number => {
                let complete = #advance;
                if complete {
                    #ident.#field.copy(#copy, arena)?;
                }
                complete
            }),
        }
    });
    let written = program.steps.iter().enumerate().map(|(number, step)| {
        let number = plain(number);
        let (ident, field) = (ident(step), format_ident!("{}", step.kernel.output_field()));
        quote!(#number => #ident.#field,)
    });
    quote! {
        fn piece(
            step: usize,
            stats: &Stats,
            progress: &mut Progress,
            arena: &mut [u8],
        ) -> Result<bool, Fault> {
            Ok(match step {
                #(#pieces)*
                _ => true,
            })
        }

        fn written(step: usize) -> Buffer {
            match step {
                #(#written)*
                _ => Buffer { offset: 0, size: 0 },
            }
        }
    }
}
