//! Heads that are learned on the board.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::Sources;
use super::text::{grouped, percent, table};

/// Where steps were counted.
const BOARD: &str = "qemu-mps2-an386";

impl Sources {
    /// Accuracies of learned heads, and what learning costs.
    pub(super) fn of_learning(&self) -> Result<BTreeMap<&'static str, String>> {
        let learning = &self.figures.learning;
        let mut boards = self.figures.boards.rows.iter();
        let inference = boards
            .find(|row| row.board == BOARD)
            .with_context(|| format!("no instructions of an inference on {BOARD}"))?;
        let of_inference = |instructions: u64| {
            let all = inference.instructions;
            percent(100.0 * instructions as f64 / all as f64)
        };
        let heads = learning.seeds.iter().map(|(seed, top1)| {
            let lost = learning.trained_top1 - top1;
            vec![seed.to_string(), percent(*top1), format!("{lost:.2}")]
        });
        let classes = learning.left_out.iter().map(|row| {
            let lost = row.others_before - row.others_after;
            vec![
                row.class.clone(),
                percent(row.top1),
                percent(row.trained_top1),
                percent(row.others_before),
                percent(row.others_after),
                format!("{lost:.2}"),
            ]
        });
        let header = [
            "class left out",
            "top-1 on it",
            "as trained",
            "others before",
            "others after",
            "points lost",
        ];
        let all = learning.features_instructions + learning.step_instructions;
        Ok(BTreeMap::from([
            ("learn_trained", percent(learning.trained_top1)),
            (
                "learn_heads",
                table(&["seed", "top-1", "points below"], heads),
            ),
            ("learn_classes", table(&header, classes)),
            ("learn_ram", grouped(learning.ram_bytes)),
            ("learn_struct", grouped(learning.learner_bytes)),
            ("learn_features", grouped(learning.features_instructions)),
            ("learn_step", grouped(learning.step_instructions)),
            ("learn_share", of_inference(all)),
            ("learn_measured", learning.measured.clone()),
            ("learn_command", learning.command.clone()),
            ("learn_classes_command", learning.classes_command.clone()),
            ("learn_step_command", learning.step_command.clone()),
        ]))
    }
}
