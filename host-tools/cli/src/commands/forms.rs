//! `tadpool forms`.

use std::fmt;

use clap::Args;
use serde::Serialize;
use tadpool_compiler::import::{self, Entry};

use super::report::table;

#[derive(Debug, Args)]
pub(crate) struct Forms {}

#[derive(Debug, Serialize)]
pub(crate) struct FormList(import::Forms);

impl Forms {
    pub(crate) fn run(self) -> FormList {
        FormList(import::forms())
    }
}

impl fmt::Display for FormList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms = &self.0;
        let lists: [(_, _, &[Entry]); 6] = [
            (
                "layer of a block",
                "what it adds to x; n is the norm of x",
                &forms.blocks,
            ),
            ("layer elsewhere", "", &forms.around),
            ("norm", "", &forms.norms),
            ("activation", "", &forms.activations),
            ("operator", "where", &forms.operators),
            ("file that is refused", "remedy", &forms.refused),
        ];
        for (name, what, entries) in lists {
            let mut rows = table([name, what], 2);
            for entry in entries {
                rows.add_row([&entry.name, &entry.what]);
            }
            writeln!(f, "{rows}\n")?;
        }
        let mut rows = table(["spelling that is taken"], 1);
        for form in &forms.rewritten {
            rows.add_row([form]);
        }
        writeln!(f, "{rows}")
    }
}
