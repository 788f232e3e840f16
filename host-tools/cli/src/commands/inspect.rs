//! `tadpool inspect`.

use std::fmt;

use clap::Args;
use serde::Serialize;

use super::model::ModelArgs;
use super::report::{grouped, table};

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Debug, Serialize)]
pub(crate) struct Inspection {
    name: String,
    input: String,
    classes: usize,
    parameters: u64,
    macs: u64,
    layers: Vec<LayerRow>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LayerRow {
    name: String,
    kind: &'static str,
    output: String,
    parameters: u64,
    macs: u64,
    nodes: Vec<String>,
}

impl Inspect {
    pub(crate) fn run(self) -> anyhow::Result<Inspection> {
        let model = self.model.load()?;
        let network = &model.network;
        Ok(Inspection {
            name: model.description.name.clone(),
            input: network.input.to_string(),
            classes: network.classes(),
            parameters: network.parameters() as u64,
            macs: network.macs(),
            layers: network
                .layers
                .iter()
                .map(|layer| LayerRow {
                    name: layer.name.to_string(),
                    kind: layer.op.kind(),
                    output: layer.output.to_string(),
                    parameters: layer.parameters() as u64,
                    macs: layer.macs(),
                    nodes: layer.nodes.clone(),
                })
                .collect(),
            notes: model.notes.clone(),
        })
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(["layer", "kind", "output", "parameters", "MACs"], 2);
        for layer in &self.layers {
            rows.add_row([
                layer.name.to_string(),
                layer.kind.to_owned(),
                layer.output.clone(),
                grouped(layer.parameters),
                grouped(layer.macs),
            ]);
        }
        rows.add_row([
            "total".to_owned(),
            String::new(),
            String::new(),
            grouped(self.parameters),
            grouped(self.macs),
        ]);
        writeln!(
            f,
            "{}: {} pixels to {} classes\n{rows}",
            self.name, self.input, self.classes
        )?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
