//! Names of maps, for those that ask for one.

use super::{Layer, LayerName, MetaFormer, Part};

impl MetaFormer {
    /// The layer that writes the map called `name`: a layer's own name, or that of a
    /// stage, whose map is that of its last block, before a norm that ends the stage.
    pub fn map(&self, name: &str) -> Option<usize> {
        let own = |layer: &Layer| layer.op.part() != Part::Head && layer.name.to_string() == name;
        let in_stage = |layer: &Layer| {
            let ends_stage = matches!(layer.name, LayerName::Norm { .. });
            let stage = layer.name.stage().map(|stage| stage.to_string());
            !ends_stage && stage.as_deref() == Some(name)
        };
        let layers = &self.layers;
        layers
            .iter()
            .rposition(own)
            .or_else(|| layers.iter().rposition(in_stage))
    }

    /// Everything that [`MetaFormer::map`] knows.
    pub fn map_names(&self) -> Vec<String> {
        self.names_of(|layer| layer.op.part() != Part::Head)
    }

    /// The name of each stage, and of the layers that `named` holds for, in execution
    /// order.
    pub(crate) fn names_of(&self, named: impl Fn(&Layer) -> bool) -> Vec<String> {
        let mut names = Vec::new();
        let mut last = None;
        for layer in &self.layers {
            let stage = layer.name.stage();
            if stage.is_some() && stage != last {
                names.extend(stage.map(|stage| stage.to_string()));
                last = stage;
            }
            if named(layer) {
                names.push(layer.name.to_string());
            }
        }
        names
    }
}
