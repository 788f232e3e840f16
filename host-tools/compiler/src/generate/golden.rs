//! Images with the logits that a network gives for them, for tests on the target.

use tadpool_kernels::Fault;

use super::HEADER;
use super::tokens::plain;
use crate::place::program::{Arena, Program};

/// An image and what the network says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    /// Where the image is from.
    pub name: String,
    /// Raw pixels as the firmware takes them.
    pub pixels: Vec<u8>,
    /// Logits, Q16.16.
    pub logits: Vec<i32>,
}

impl Golden {
    /// Runs `program` on an image, on the host.
    ///
    /// # Errors
    /// A [`Fault`] if the image has another size than the network's input.
    pub fn of(
        program: &Program<'_>,
        name: &str,
        pixels: Vec<u8>,
        arena: &mut Arena,
    ) -> Result<Self, Fault> {
        let logits = program.infer(&pixels, arena, &mut ())?;
        Ok(Self {
            name: name.to_owned(),
            pixels,
            logits,
        })
    }
}

/// The module `golden.rs` of a generated crate, and the images that lie beside it; nothing
/// without images.
pub(super) fn files(golden: &[Golden]) -> Vec<(String, Vec<u8>)> {
    if golden.is_empty() {
        return Vec::new();
    }
    let images = golden.iter().enumerate();
    let images = images.map(|(number, vector)| (file(number), vector.pixels.clone()));
    let source = format!("{HEADER}\n{}", source(golden)).into_bytes();
    images.chain([("golden.rs".to_owned(), source)]).collect()
}

fn source(golden: &[Golden]) -> String {
    let vectors = golden.iter().enumerate().map(|(number, vector)| {
        let (name, logits) = (&vector.name, &vector.logits);
        let file = file(number);
        quote::quote!(Golden {
            name: #name,
            pixels: include_bytes!(#file),
            logits: &[#(Logit::from_q16(#logits)),*],
        })
    });
    let count = plain(golden.len());
    let source = quote::quote! {
        use tadpool_kernels::{Golden, Logit};

        /// Images, and what the host says of each.
        pub static GOLDEN: [Golden; #count] = [#(#vectors),*];
    };
    // The tokens above are a file by construction.
    prettyplease::unparse(&syn::parse2(source).expect("generated source parses"))
}

/// The name of an image's file.
fn file(number: usize) -> String {
    format!("golden{number}.bin")
}
