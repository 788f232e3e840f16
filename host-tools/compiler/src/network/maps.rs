//! Names of maps, for those that ask for one.

use super::{Layer, MetaFormer, Part};

impl MetaFormer {
    /// The layer that writes the map called `name`: a layer's own name, or that of a
    /// stage, whose map is that of its last block, before a norm that ends the stage.
    pub fn map(&self, name: &str) -> Option<usize> {
        let is_map = |layer: &Layer| layer.op.part() != Part::Head;
        let in_stage = |layer: &Layer| {
            let rest = layer
                .name
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('.'));
            name.starts_with("stage") && rest.is_some_and(|rest| rest != "norm")
        };
        let own = self
            .layers
            .iter()
            .rposition(|layer| layer.name == name && is_map(layer));
        own.or_else(|| self.layers.iter().rposition(in_stage))
    }

    /// Everything that [`MetaFormer::map`] knows.
    pub fn map_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for layer in &self.layers {
            let stage = layer.name.split_once('.').map(|(stage, _)| stage);
            names.extend(stage.filter(|stage| !names.contains(stage)));
            if layer.op.part() != Part::Head {
                names.push(&layer.name);
            }
        }
        names
    }
}
