//! The functions that run a step, as a whole and in pieces.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::layout::Layout;
use tadpool_kernels::visit::{Call, Function, Parameter};

use super::model::{ident, layout_ident, layout_of};
use super::tokens::stream_ident;
use crate::place::program::{Program, ProgramStep};
use crate::quantize::quant_model::WeightBits;

/// Pieces that an inference is divided into, at least; a tile of a matrix product is not.
const PIECES: u64 = 100;
/// The cost of computing a value beside its multiply-accumulates, in these.
const VALUE_COST: u64 = 8;

/// The call of a step's kernel: the sums of what it wrote.
pub(super) fn call(program: &Program<'_>, step: &ProgramStep<'_>, layout: Layout) -> TokenStream {
    let (ident, run) = (ident(step), kernel_path(program, step, layout));
    let stats = sums(step, quote!(&stats));
    quote!(#run(&#ident, #stats arena))
}

/// The same for a piece: whether the step is complete.
pub(super) fn advance(
    program: &Program<'_>,
    step: &ProgramStep<'_>,
    layout: Layout,
) -> TokenStream {
    let ident = ident(step);
    let stats = sums(step, quote!(stats));
    let Some(units) = step.kernel.units(step.input.into()) else {
        let run = kernel_path(program, step, layout);
        return quote!({
            #run(&#ident, #stats arena)?;
            true
        });
    };
    let total = program.steps.iter().map(cost).sum::<u64>();
    let most = (units as u64).saturating_mul(total) / (PIECES * cost(step)).max(1);
    let most = Literal::u64_unsuffixed(most.clamp(1, units.max(1) as u64));
    let advance = path(program, step, layout, |name| {
        name.replacen("run", "advance", 1)
    });
    quote!(#advance(&#ident, #stats progress, #most, arena)?)
}

/// The argument for the sums of the map that a step reads: those of the step before, or
/// none where the norm's statistics are fixed.
fn sums(step: &ProgramStep<'_>, before: TokenStream) -> TokenStream {
    match (step.kernel.reads_sums(), step.kernel.is_fixed()) {
        (true, _) => quote!(#before,),
        (false, true) => quote!(&Default::default(),),
        (false, false) => quote!(),
    }
}

/// A measure of how long a step takes, to compare steps by.
fn cost(step: &ProgramStep<'_>) -> u64 {
    let values = step.kernel.output().size / step.output.value_bytes();
    step.macs + VALUE_COST * values as u64
}

/// The function that runs a step.
pub(super) fn kernel_path(
    program: &Program<'_>,
    step: &ProgramStep<'_>,
    layout: Layout,
) -> TokenStream {
    path(program, step, layout, str::to_owned)
}

/// That function with another name.
fn path(
    program: &Program<'_>,
    step: &ProgramStep<'_>,
    layout: Layout,
    name: impl Fn(&str) -> String,
) -> TokenStream {
    let function = function(program, step);
    let (module, last) = function
        .path
        .rsplit_once("::")
        .unwrap_or(("", function.path));
    let last = name(last);
    let path = module.split("::").chain([&*last]);
    let path = path.map(|part| format_ident!("{part}"));
    let parameters = function.parameters.iter().map(|parameter| match parameter {
        Parameter::Layout => layout_ident(layout_of(step, layout)),
        Parameter::Input => stream_ident(step.input),
        Parameter::Output => stream_ident(step.output),
    });
    let parameters = (!function.parameters.is_empty()).then(|| quote!(::<#(#parameters),*>));
    quote!(#(#path)::* #parameters)
}

/// The step's kernel and the name of its function.
pub(super) fn function(program: &Program<'_>, step: &ProgramStep<'_>) -> Function {
    step.kernel.function(&Call {
        input: step.input.into(),
        output: step.output.into(),
        int4: takes_int4(program, step),
    })
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
