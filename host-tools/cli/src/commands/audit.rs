//! `tadpool audit`.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tadpool_image::audit::{self, Audit as Findings};

use super::report::{Report, grouped, table};
use super::user_program;

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// The linked image, with its symbols.
    #[arg(value_name = "ELF")]
    image: PathBuf,
    /// Begin at this function, by its symbol or its name in the source, instead of at all of
    /// the processor's entries: reset, faults and interrupts.
    #[arg(long, value_name = "SYMBOL")]
    from: Option<String>,
}

#[derive(Debug)]
pub(crate) struct AuditReport {
    findings: Findings,
    passes: bool,
}

/// The same for a machine.
#[derive(Debug, Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    findings: &'a Findings,
    /// Whether the code can do nothing that it must not.
    passes: bool,
}

impl Audit {
    pub(crate) fn run(self) -> anyhow::Result<AuditReport> {
        let bytes = user_program::read(&self.image)?;
        let findings = match &self.from {
            Some(root) => audit::function(&self.image, &bytes, root)?,
            None => audit::image(&self.image, &bytes)?,
        };
        let passes = findings.check(&self.image).is_ok();
        Ok(AuditReport { findings, passes })
    }
}

impl Report for AuditReport {
    fn json(&self) -> serde_json::Result<String> {
        let Self { findings, passes } = self;
        serde_json::to_string(&Json {
            findings,
            passes: *passes,
        })
    }

    fn is_success(&self) -> bool {
        self.passes
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings {
            functions,
            panics,
            start_up_panics,
            floats,
            heap,
            unknown,
            stacks,
            ..
        } = &self.findings;
        writeln!(f, "{} functions can be reached", functions.len())?;
        let lists = [
            ("code that cannot be followed", unknown),
            ("ways to a panic or a trap", panics),
            (
                "ways to one from the set-up of the board only",
                start_up_panics,
            ),
            ("functions with floating point", floats),
            ("functions of the heap", heap),
        ];
        for (what, list) in lists {
            writeln!(f, "{what}: {}", if list.is_empty() { "none" } else { "" })?;
            for line in list {
                writeln!(f, "  {}", tadpool_input::text::escaped(line))?;
            }
        }
        let mut rows = table(["stack", "bytes", "exceptions", "of"], 1);
        for stack in stacks {
            rows.add_row([
                stack.name.clone(),
                grouped(stack.bytes.into()),
                grouped(stack.exception_bytes.into()),
                stack
                    .reserved_bytes
                    .map_or_else(|| "-".to_owned(), |bytes| grouped(bytes.into())),
            ]);
        }
        writeln!(f, "{rows}")?;
        if !unknown.is_empty() {
            writeln!(
                f,
                "what follows code that cannot be followed is not counted"
            )?;
        }
        Ok(())
    }
}
