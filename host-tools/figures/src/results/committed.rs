//! Figures that committed files hold: the counts of steps of full-size networks, the
//! generated crate, and the fixtures that are imported.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// Instructions and multiply-accumulates of a network's steps, summed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) board: String,
    pub(super) instructions: u64,
    pub(super) macs: u64,
}

/// Sums of `models/export/full_size.tsv`, by network.
pub(super) fn full_size(text: &str) -> Result<BTreeMap<String, Sum>> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let [network, board, _step, instructions, macs] = fields[..] else {
            anyhow::bail!("`{line}` has {} fields, not five", fields.len());
        };
        let sum = sums.entry(network.to_owned()).or_default();
        ensure!(
            sum.board.is_empty() || sum.board == board,
            "{network} was counted on {board} and on {}",
            sum.board
        );
        board.clone_into(&mut sum.board);
        sum.instructions += instructions.parse::<u64>().context("instructions")?;
        sum.macs += macs.parse::<u64>().context("multiply-accumulates")?;
    }
    Ok(sums)
}

/// The network's figures as the generated crate in `firmware/model` states them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Generated {
    pub(super) arena_bytes: u64,
    pub(super) macs: u64,
}

impl Generated {
    /// Reads the constants of the crate's `model.rs`.
    pub(super) fn parse(source: &str) -> Result<Self> {
        let numbers = |name: &str| -> Result<Vec<u64>> {
            let (_, rest) = source
                .split_once(&format!("pub const {name}:"))
                .with_context(|| format!("the generated crate has no {name}"))?;
            let (_, value) = rest.split_once('=').context("no value")?;
            let (value, _) = value.split_once(';').context("no end")?;
            let words = value.split(|c: char| !c.is_ascii_digit());
            words
                .filter(|word| !word.is_empty())
                .map(|word| Ok(word.parse()?))
                .collect()
        };
        let arena = numbers("ARENA_BYTES")?;
        ensure!(arena.len() == 1, "ARENA_BYTES is not one number");
        Ok(Self {
            arena_bytes: arena[0],
            macs: numbers("STEP_MACS")?.iter().sum(),
        })
    }
}

/// One of the fixtures in `tests/fixtures/family`.
#[derive(Debug, Deserialize)]
pub(super) struct Member {
    network: String,
    source: String,
    exporter: String,
    opset: u32,
    simplified: bool,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    model: Vec<Member>,
}

/// The fixtures that are imported, a row a network and who wrote it.
pub(super) fn imported(manifest: &str) -> Result<Vec<Vec<String>>> {
    let manifest: Manifest = toml::from_str(manifest)?;
    let mut rows: BTreeMap<(&str, &str), [BTreeSet<u32>; 2]> = BTreeMap::new();
    let mut simplified = BTreeSet::new();
    for member in &manifest.model {
        let key = (member.network.as_str(), member.source.as_str());
        let [script, dynamo] = rows.entry(key).or_default();
        match member.exporter.as_str() {
            "torchscript" => script.insert(member.opset),
            "dynamo" => dynamo.insert(member.opset),
            other => anyhow::bail!("no column is for the exporter `{other}`"),
        };
        if member.simplified {
            simplified.insert(key);
        }
    }
    let listed = |opsets: &BTreeSet<u32>| {
        let opsets: Vec<String> = opsets.iter().map(u32::to_string).collect();
        opsets.join(", ")
    };
    let row = |(key, opsets): (&(&str, &str), &[BTreeSet<u32>; 2])| {
        let [script, dynamo] = opsets;
        let is_simplified = if simplified.contains(key) { "yes" } else { "" };
        vec![
            key.0.to_owned(),
            key.1.to_owned(),
            listed(script),
            listed(dynamo),
            is_simplified.to_owned(),
        ]
    };
    Ok(rows.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_summed() {
        let text = "# A comment.\nnetwork\tboard\tstep\tinstructions\tmultiply-accumulates\n\
                    a\tm7\tx\t10\t4\na\tm7\ty\t20\t0\nb\tm55\tx\t7\t3\n";
        let sums = full_size(text).unwrap();
        let sum = |board: &str, instructions, macs| Sum {
            board: board.into(),
            instructions,
            macs,
        };
        assert_eq!(sums["a"], sum("m7", 30, 4));
        assert_eq!(sums["b"], sum("m55", 7, 3));
        assert!(full_size("header\na\tm7\tx\t1\t1\na\tm4\ty\t1\t1\n").is_err());
        assert!(full_size("header\na\tm7\tx\t1\n").is_err());
    }

    #[test]
    fn constants_of_the_crate_are_read() {
        let source = "pub const ARENA_BYTES: usize = 96;\n\
                      pub const STEP_MACS: [u32; STEPS] = [\n    5, 0, 12,\n];\n";
        let expected = Generated {
            arena_bytes: 96,
            macs: 17,
        };
        assert_eq!(Generated::parse(source).unwrap(), expected);
        assert!(Generated::parse("pub const ARENA_BYTES: usize = 96;").is_err());
    }

    #[test]
    fn fixtures_make_a_row_each_network_and_source() {
        let member = |exporter: &str, opset: u32, simplified: bool| {
            format!(
                "[[model]]\nfile = \"f\"\nnetwork = \"n\"\nsource = \"timm\"\n\
                 exporter = \"{exporter}\"\nopset = {opset}\nsimplified = {simplified}\n"
            )
        };
        let manifest = [
            member("torchscript", 17, false),
            member("torchscript", 13, true),
            member("dynamo", 18, false),
        ];
        let rows = imported(&manifest.concat()).unwrap();
        assert_eq!(rows, [["n", "timm", "13, 17", "18", "yes"]]);
        assert!(imported(&member("other", 17, false)).is_err());
    }
}
