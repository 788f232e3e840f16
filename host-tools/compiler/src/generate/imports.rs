//! The imports of generated source: of every name of the kernels those that it uses.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::{format_ident, quote};

use super::constants::Names;

/// Names in modules of the kernels that source may use besides those of its steps.
const NAMES: &[(&str, &[&str])] = &[
    ("head", &[]),
    ("int16", &[]),
    (
        "layout",
        &["Dsp", "DspPadded", "Helium", "HeliumPadded", "Rows"],
    ),
    ("norm", &["Stats"]),
    ("output", &["Output"]),
    ("progress", &["Progress"]),
    ("pushed_rows", &[]),
    ("slots", &["Placed"]),
    ("stream", &["Int16", "Int8"]),
    ("weights", &["Weights"]),
];

/// The imports of `source`, whose steps have the types `names`.
pub(super) fn imports(source: TokenStream, mut names: Names) -> TokenStream {
    for (module, others) in NAMES {
        names.entry(module).or_default().extend(*others);
    }
    let mut used = Used::default();
    used.add(source);
    let uses = names.iter().map(|(module, names)| {
        let names = names.iter().filter(|&&name| used.names.contains(name));
        let mut names: Vec<_> = names.map(|name| format_ident!("{name}")).collect();
        let calls = used.modules.contains(*module);
        let path = format_ident!("{module}");
        match (calls, names.len()) {
            (false, 0) => quote!(),
            (true, 0) => quote!(use tadpool_kernels::#path;),
            (false, 1) => {
                let name = names.remove(0);
                quote!(use tadpool_kernels::#path::#name;)
            }
            (false, _) => quote!(use tadpool_kernels::#path::{#(#names),*};),
            (true, _) => quote!(use tadpool_kernels::#path::{self, #(#names),*};),
        }
    });
    quote! {
        #(#uses)*
        use tadpool_kernels::Buffer;
    }
}

/// The first segments of the paths in `source`.
#[derive(Default)]
struct Used {
    /// Modules: something is taken out of them.
    modules: BTreeSet<String>,
    /// Anything, modules and names of fields included.
    names: BTreeSet<String>,
}

impl Used {
    fn add(&mut self, source: TokenStream) {
        let tokens: Vec<TokenTree> = source.into_iter().collect();
        let colon = |at: Option<usize>| {
            let token = at.and_then(|at| tokens.get(at));
            matches!(token, Some(TokenTree::Punct(mark)) if mark.as_char() == ':')
        };
        let colons = |at: Option<usize>| colon(at) && colon(at.map(|at| at + 1));
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.add(group.stream()),
                TokenTree::Ident(name) if !colons(at.checked_sub(2)) => {
                    self.names.insert(name.to_string());
                    if colons(Some(at + 1)) {
                        self.modules.insert(name.to_string());
                    }
                }
                _ => {}
            }
        }
    }
}
