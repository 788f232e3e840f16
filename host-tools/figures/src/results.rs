//! `cargo xtask results`: writes `RESULTS.md` from committed figures, or checks that it
//! is what they say.
//!
//! Prose is in `results/template.md`, with names in braces where figures and tables go.

mod committed;
mod costs;
mod damaged_input;
mod figures;
mod forms;
mod kernels;
mod learning;
mod tables;
mod text;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, bail, ensure};

use self::committed::Generated;
use self::figures::Figures;
use crate::bench::Saved;
use crate::repository::root;

const RESULTS: &str = "RESULTS.md";
const FIGURES: &str = "models/results.toml";
const TEMPLATE: &str = include_str!("results/template.md");

/// Everything that figures are taken from.
struct Sources {
    figures: Figures,
    counts: Saved,
    full_size: BTreeMap<String, committed::Sum>,
    generated: Generated,
    /// Rows of the table of imported networks.
    imported: Vec<Vec<String>>,
    forms: forms::Forms,
    /// Rows of the table of networks with fresh parameters.
    spread: forms::Spread,
}

/// Writes `RESULTS.md`.
pub(crate) fn results() -> Result<()> {
    let path = root().join(RESULTS);
    fs::write(&path, rendered()?).with_context(|| path.display().to_string())?;
    println!("wrote {RESULTS}");
    Ok(())
}

/// Fails if `RESULTS.md` is not what [`results`] would write.
pub(crate) fn check() -> Result<()> {
    let (written, rendered) = (read(RESULTS)?, rendered()?);
    let difference = written
        .lines()
        .zip(rendered.lines())
        .position(|(written, rendered)| written != rendered);
    let lines = written.lines().count().min(rendered.lines().count());
    ensure!(
        written == rendered,
        "line {} of {RESULTS} is not what the committed figures say; run `cargo xtask results`",
        difference.unwrap_or(lines) + 1
    );
    println!("{RESULTS} is what the committed figures say");
    Ok(())
}

fn rendered() -> Result<String> {
    let sources = Sources {
        figures: toml::from_str(&read(FIGURES)?).with_context(|| FIGURES.to_owned())?,
        counts: Saved::parse(&read("firmware/kernel-bench/counts.tsv")?),
        full_size: committed::full_size(&read("models/export/full_size.tsv")?)?,
        generated: Generated::parse(&read("firmware/model/src/model.rs")?)?,
        imported: committed::imported(&read("tests/fixtures/family/manifest.toml")?)?,
        forms: forms::Forms::parse(&read("models/export/forms.tsv")?)?,
        spread: forms::Spread::parse(&read("models/export/distribution.tsv")?)?,
    };
    fill(TEMPLATE, &sources.values()?)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// Puts `values` in the place of their names in braces; an error if a name has no value
/// or a value no place.
fn fill(template: &str, values: &BTreeMap<&'static str, String>) -> Result<String> {
    let mut text = String::new();
    let mut unused: Vec<&str> = values.keys().copied().collect();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').context("a brace is not closed")?;
        let Some(value) = values.get(name) else {
            bail!("the template names `{name}`, which no figure is for");
        };
        text.push_str(before);
        text.push_str(value);
        unused.retain(|&unused| unused != name);
        rest = after;
    }
    text.push_str(rest);
    ensure!(
        unused.is_empty(),
        "the template has no place for {unused:?}"
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_the_place_of_their_names() {
        let values = BTreeMap::from([("a", "1".to_owned()), ("b", "2".to_owned())]);
        assert_eq!(fill("{a}, {b} and {a}.", &values).unwrap(), "1, 2 and 1.");
        let unknown = fill("{a} {b} {c}", &values).unwrap_err().to_string();
        assert!(unknown.contains("`c`"), "{unknown}");
        let unused = fill("{a}", &values).unwrap_err().to_string();
        assert!(unused.contains("\"b\""), "{unused}");
        assert!(fill("{a", &values).is_err());
    }

    #[test]
    fn the_committed_file_is_fresh() {
        if let Err(error) = check() {
            panic!("{error:#}");
        }
    }
}
