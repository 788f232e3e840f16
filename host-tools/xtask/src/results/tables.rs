//! The figures and tables of `RESULTS.md`, by their names in the template.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use tadpool_boards::find;

use super::Sources;
use super::figures::Weights;
use crate::bench::operations;

/// Matrix products, by their tokens, inputs and outputs.
const PRODUCTS: [[u32; 3]; 8] = [
    [64, 64, 256],
    [64, 256, 64],
    [196, 32, 128],
    [196, 128, 32],
    [49, 320, 1280],
    [49, 1280, 320],
    [16, 48, 192],
    [16, 192, 48],
];

/// Steps of the PoolFormer: how they are described, and their names in the saved counts.
const STEPS: [(&str, &str); 12] = [
    (
        "patch embedding 32x32x3, 5x5, stride 2 -> 32",
        "patch embedding 32x32x3 k5 s2 p2 -> 32",
    ),
    (
        "downsampling 16x16x32, 3x3, stride 2 -> 64",
        "patch embedding 16x16x32 k3 s2 p1 -> 64",
    ),
    (
        "downsampling 8x8x64, 3x3, stride 2 -> 128",
        "patch embedding 8x8x64 k3 s2 p1 -> 128",
    ),
    ("pooling mixer 16x16x32", "pooling mixer 16x16x32"),
    ("pooling mixer 8x8x64", "pooling mixer 8x8x64"),
    ("pooling mixer 4x4x128", "pooling mixer 4x4x128"),
    (
        "channel MLP 256 x (32 -> 128 -> 32)",
        "channel MLP 256x(32->128->32)",
    ),
    (
        "channel MLP 64 x (64 -> 256 -> 64)",
        "channel MLP 64x(64->256->64)",
    ),
    (
        "channel MLP 16 x (128 -> 512 -> 128)",
        "channel MLP 16x(128->512->128)",
    ),
    (
        "channel MLP 64 x (64 -> 256 -> 64), int4 weights, 4 tokens at once",
        "channel MLP 64x(64->256->64) int4, 4 at once",
    ),
    (
        "channel MLP 64 x (64 -> 256 -> 64), int4 weights, 16 tokens at once",
        "channel MLP 64x(64->256->64) int4, 16 at once",
    ),
    ("whole network", NETWORK),
];

const MIXERS: [(&str, &str); 8] = [
    (
        "depthwise mixer 14x14x64, 3x3",
        "depthwise mixer 14x14x64 k3x3",
    ),
    (
        "depthwise mixer 14x14x64, 7x7",
        "depthwise mixer 14x14x64 k7x7",
    ),
    (
        "depthwise mixer 14x14x64, 7x7, behind a norm of each token",
        "depthwise mixer 14x14x64 k7x7 of normed tokens",
    ),
    (
        "separable convolution 14x14x64, 128 hidden, 7x7",
        "separable convolution 14x14x64 k7 (128 hidden)",
    ),
    (
        "random mixing of 196 tokens, 64 channels",
        "random mixing 196x64",
    ),
    (
        "random mixing of 49 tokens, 64 channels",
        "random mixing 49x64",
    ),
    (
        "self-attention of 196 tokens, 64 channels, 2 heads",
        "self-attention 196x64, 2 heads of 32",
    ),
    (
        "self-attention of 49 tokens, 64 channels, 2 heads",
        "self-attention 49x64, 2 heads of 32",
    ),
];

const NETWORK: &str = "CIFAR-10 PoolFormer, all steps";
/// Cores whose cycles are estimated.
const ESTIMATED: [&str; 3] = ["Cortex-M4", "Cortex-M7", "Cortex-M55"];

impl Sources {
    /// Every figure and table, by its name.
    pub(super) fn values(&self) -> Result<BTreeMap<&'static str, String>> {
        let mut values = self.of_networks()?;
        values.extend(self.of_the_image()?);
        values.extend(self.of_full_size()?);
        values.extend(self.of_kernels()?);
        Ok(values)
    }

    /// Accuracy and what quantization does.
    fn of_networks(&self) -> Result<BTreeMap<&'static str, String>> {
        let figures = &self.figures;
        let (accuracy, simple) = (&figures.accuracy, &figures.simple_choices);
        let (ort, outliers) = (&figures.onnxruntime, &figures.outliers);
        let fixtures = &figures.fixtures;
        let [pooling_int8, pooling_int16] = fixtures.pooling_and_identity_db;
        let [mixers_int8, mixers_int16] = fixtures.other_mixers_lowest_db;
        Ok(BTreeMap::from([
            ("accuracy", self.accuracy()),
            ("accuracy_measured", accuracy.measured.clone()),
            ("accuracy_command", accuracy.command.clone()),
            ("bytes_command", accuracy.bytes_command.clone()),
            ("bytes_measured", accuracy.bytes_measured.clone()),
            ("simple", {
                let rows = simple.rows.iter();
                table(
                    &["weights", "top-1", "against float", "same prediction"],
                    rows.map(|row| agreement(row, simple.float_top1)),
                )
            }),
            ("simple_measured", simple.measured.clone()),
            ("simple_command", simple.command.clone()),
            ("ort_version", ort.version.clone()),
            ("ort_measured", ort.measured.clone()),
            ("ort_command", ort.command.clone()),
            (
                "ort_poolformer",
                format!("{:.2}", ort.poolformer_float_top1),
            ),
            (
                "ort_identityformer",
                format!("{:.2}", ort.identityformer_float_top1),
            ),
            ("onnxruntime", self.onnxruntime()),
            ("outlier_size", outliers.size.to_string()),
            (
                "outlier_int8",
                format!("{:.1}", outliers.int8_worst_step_db),
            ),
            (
                "outlier_auto",
                format!("{:.1}", outliers.auto_worst_step_db),
            ),
            ("outlier_limit_size", outliers.limit_size.to_string()),
            ("outlier_limit", format!("{:.1}", outliers.limit_logits_db)),
            ("outlier_measured", outliers.measured.clone()),
            ("outlier_command", outliers.command.clone()),
            ("pooling_int8", pooling_int8.to_string()),
            ("pooling_int16", pooling_int16.to_string()),
            ("mixers_int8", format!("{mixers_int8:.1}")),
            ("mixers_int16", format!("{mixers_int16:.1}")),
            ("fixtures_measured", fixtures.measured.clone()),
            ("fixtures_command", fixtures.command.clone()),
            (
                "imported",
                table(
                    &[
                        "network",
                        "written by",
                        "TorchScript, opsets",
                        "dynamo, opsets",
                        "onnxsim",
                    ],
                    self.imported.iter().cloned(),
                ),
            ),
        ]))
    }

    fn accuracy(&self) -> String {
        let mut rows = Vec::new();
        for network in &self.figures.accuracy.networks {
            rows.push(vec![
                network.name.clone(),
                "float".into(),
                percent(network.float_top1),
                String::new(),
                String::new(),
                String::new(),
            ]);
            for weights in &network.rows {
                let mut row = vec![String::new()];
                row.extend(agreement(weights, network.float_top1));
                row.push(
                    weights
                        .weights_section_bytes
                        .map_or_else(String::new, grouped),
                );
                rows.push(row);
            }
        }
        let networks = &self.figures.accuracy.networks;
        let parameters: Vec<String> = networks
            .iter()
            .map(|network| format!("{}: {}", network.name, grouped(network.parameters)))
            .collect();
        let table = table(
            &[
                "network",
                "weights",
                "top-1",
                "against its float network",
                "same prediction",
                "`.weights` section, bytes",
            ],
            rows,
        );
        format!("{table}\n\nParameters: {}.", parameters.join("; "))
    }

    fn onnxruntime(&self) -> String {
        let rows = self.figures.onnxruntime.rows.iter().map(|row| {
            let figures = [row.poolformer, row.identityformer].concat();
            let figures = figures.into_iter().map(percent);
            std::iter::once(row.calibration.clone())
                .chain(figures)
                .collect()
        });
        table(
            &[
                "calibration",
                "PoolFormer",
                "same prediction",
                "IdentityFormer",
                "same prediction",
            ],
            rows,
        )
    }

    /// Instructions and memory of the CIFAR-10 PoolFormer's image.
    fn of_the_image(&self) -> Result<BTreeMap<&'static str, String>> {
        let figures = &self.figures;
        let (boards, image, int4) = (&figures.boards, &figures.image, &figures.int4);
        let (exact, host) = (&figures.bit_exact, &figures.host);
        let (tflm, macs) = (&figures.tflite_micro, self.generated.macs);
        let [check_1000, check_10000] = host.check_peak_mib;
        Ok(BTreeMap::from([
            ("macs", grouped(macs)),
            ("boards", self.boards()?),
            ("boards_measured", boards.measured.clone()),
            ("boards_command", boards.command.clone()),
            (
                "tflm_instructions",
                format!("{:.2}", tflm.instructions as f64 / 1e6),
            ),
            ("tflm_per_mac", ratio(tflm.instructions, macs, 2)),
            ("tflm_arena", grouped(tflm.arena_bytes)),
            ("tflm_measured", tflm.measured.clone()),
            ("int4", self.int4()),
            ("int4_measured", int4.measured.clone()),
            ("int4_command", int4.command.clone()),
            ("exact_images", grouped(exact.images)),
            ("exact_measured", exact.measured.clone()),
            ("exact_command", exact.command.clone()),
            ("memory", self.memory()),
            ("image_measured", image.measured.clone()),
            ("compile_command", image.compile_command.clone()),
            ("run_command", image.run_command.clone()),
            ("logits_within", image.logits_within.to_string()),
            ("host_machine", capitalised(&host.machine)),
            ("host_int8", host.int8_images_per_second.to_string()),
            ("host_int4", host.int4_images_per_second.to_string()),
            ("host_measured", host.measured.clone()),
            ("host_command", host.command.clone()),
            ("check_1000", check_1000.to_string()),
            ("check_10000", check_10000.to_string()),
        ]))
    }

    fn boards(&self) -> Result<String> {
        let row = |name: &str, instructions| -> Result<Vec<String>> {
            let board = find(name)?;
            Ok(vec![
                format!("`{name}`"),
                board.core.clone(),
                board.kernels.name().to_owned(),
                grouped(instructions),
                ratio(instructions, self.generated.macs, 2),
            ])
        };
        let rows = self.figures.boards.rows.iter();
        let rows: Vec<_> = rows
            .map(|counted| row(&counted.board, counted.instructions))
            .collect::<Result<_>>()?;
        Ok(table(
            &[
                "board",
                "core",
                "kernels",
                "instructions",
                "per multiply-accumulate",
            ],
            rows,
        ))
    }

    fn int4(&self) -> String {
        let rows = self.figures.int4.rows.iter().map(|row| {
            vec![
                row.weights.clone(),
                grouped(row.instructions),
                ratio(row.instructions, self.generated.macs, 2),
                grouped(row.weights_section_bytes),
                grouped(row.arena_bytes),
            ]
        });
        table(
            &[
                "weights",
                "instructions",
                "per multiply-accumulate",
                "`.weights` section, bytes",
                "arena, bytes",
            ],
            rows,
        )
    }

    fn memory(&self) -> String {
        let image = &self.figures.image;
        let rows = [
            (
                "arena, image and logits included (proved smallest for this schedule)",
                self.generated.arena_bytes,
            ),
            ("stack used, request loop included", image.stack_used_bytes),
            (
                "`.weights` section: weights, tables and the steps' constants",
                image.weights_section_bytes,
            ),
            ("code of the inference alone", image.inference_code_bytes),
            (
                "code of the whole image: boot, request loop, protocol, logs, fault reports",
                image.image_code_bytes,
            ),
        ];
        let rows = rows.map(|(what, bytes)| vec![what.to_owned(), grouped(bytes)]);
        table(&["memory", "bytes"], rows)
    }

    /// Networks of the papers.
    fn of_full_size(&self) -> Result<BTreeMap<&'static str, String>> {
        let (full, tflm) = (&self.figures.full_size, &self.figures.tflite_micro);
        let mut rows = Vec::new();
        for network in &full.networks {
            let sum = self.full_size.get(&network.id);
            let sum = sum.with_context(|| format!("`{}` has no saved counts", network.id))?;
            rows.push(vec![
                network.name.clone(),
                network.parameters.clone(),
                grouped(network.arena_bytes),
                ratio(network.arena_bytes, full.first_stage_bytes, 2),
                find(&sum.board)?.core,
                grouped(sum.instructions),
                ratio(sum.instructions, sum.macs, 2),
            ]);
        }
        let header = [
            "network",
            "parameters",
            "arena, bytes",
            "over the stream",
            "emulated core",
            "instructions",
            "per multiply-accumulate",
        ];
        Ok(BTreeMap::from([
            ("full_size", table(&header, rows)),
            ("full_measured", full.measured.clone()),
            ("full_command", full.command.clone()),
            ("full_image", grouped(full.image_bytes)),
            ("full_stream", grouped(full.first_stage_bytes)),
            ("rows_arena", grouped(full.rows_arena_bytes)),
            ("tflm_s12_arena", grouped(tflm.s12_arena_bytes)),
            ("compile_seconds", full.compile_seconds.to_string()),
            ("compile_gb", full.compile_gb.to_string()),
            ("static_seconds", full.onnxruntime_seconds.to_string()),
            ("static_gb", format!("{:.1}", full.onnxruntime_gb)),
        ]))
    }

    /// What kernels cost.
    fn of_kernels(&self) -> Result<BTreeMap<&'static str, String>> {
        let cycles = |core| -> Result<u64> {
            let cycles = self.counts.cycles(core, NETWORK);
            cycles.with_context(|| format!("the {core} has no saved estimate"))
        };
        let other = &self.figures.dsp_loop_on_m7;
        let more =
            self.count("Cortex-M7", NETWORK)? as f64 / self.count("Cortex-M4", NETWORK)? as f64;
        let millions = |cycles: u64| format!("{:.2}", cycles as f64 / 1e6);
        let m0 = "matrix product 8x(32->64)";
        Ok(BTreeMap::from([
            ("compiler", self.counts.compiler.clone()),
            ("products", self.products()?),
            ("m0_product", self.per_operation("Cortex-M0", m0, m0, 3)?),
            (
                "m0_plain",
                self.per_operation("Cortex-M0", &format!("{m0}, plain loop"), m0, 3)?,
            ),
            ("steps", self.costs("step", &STEPS)?),
            ("mixers", self.costs("step", &MIXERS)?),
            (
                "kernel_code",
                grouped(self.count("Cortex-M4", "code, all of a PoolFormer")?),
            ),
            ("m7_more", format!("{:.0}", 100.0 * (more - 1.0))),
            ("m7_cycles", millions(cycles("Cortex-M7")?)),
            ("m7_other", millions(other.cycles_estimate)),
            ("m7_measured", other.measured.clone()),
            ("m7_command", other.command.clone()),
        ]))
    }

    fn products(&self) -> Result<String> {
        let mut rows = Vec::new();
        for [tokens, inputs, outputs] in PRODUCTS {
            let what = format!("matrix product {tokens}x({inputs}->{outputs})");
            let plain = format!("{what}, plain loop");
            let mut row = vec![
                format!("{tokens} x ({inputs} -> {outputs})"),
                self.per_operation("Cortex-M3", &what, &what, 3)?,
                self.per_operation("Cortex-M3", &plain, &what, 3)?,
            ];
            for core in ESTIMATED {
                row.push(self.per_operation(core, &what, &what, 3)?);
            }
            for core in ESTIMATED {
                row.push(self.cycles_per_operation(core, &what)?);
            }
            rows.push(row);
        }
        let header = [
            "shape",
            "M3",
            "M3, plain loop",
            "M4",
            "M7",
            "M55",
            "cycles (estimate): M4",
            "M7",
            "M55",
        ];
        Ok(table(&header, rows))
    }

    /// Instructions and estimates of cycles for each operation, of rows by their names in
    /// the saved counts.
    fn costs(&self, what: &str, rows: &[(&str, &str)]) -> Result<String> {
        let mut cells = Vec::new();
        for (description, name) in rows {
            let mut row = vec![(*description).to_owned()];
            for core in ESTIMATED {
                row.push(self.per_operation(core, name, name, 3)?);
            }
            for core in ESTIMATED {
                row.push(self.cycles_per_operation(core, name)?);
            }
            cells.push(row);
        }
        let header = [
            what,
            "M4",
            "M7",
            "M55",
            "cycles (estimate): M4",
            "M7",
            "M55",
        ];
        Ok(table(&header, cells))
    }

    fn count(&self, core: &str, what: &str) -> Result<u64> {
        let count = self.counts.get(core, what);
        count.with_context(|| format!("`{what}` has no saved count on the {core}"))
    }

    /// Instructions of `what` for each operation of the case named `case`.
    fn per_operation(&self, core: &str, what: &str, case: &str, digits: usize) -> Result<String> {
        Ok(ratio(
            self.count(core, what)?,
            self.operations(case)?,
            digits,
        ))
    }

    /// A dash if there is no estimate.
    fn cycles_per_operation(&self, core: &str, what: &str) -> Result<String> {
        let operations = self.operations(what)?;
        let cycles = self.counts.cycles(core, what);
        Ok(cycles.map_or_else(|| "-".into(), |cycles| ratio(cycles, operations, 3)))
    }

    /// Multiply-accumulates of a case, or values of its map.
    fn operations(&self, case: &str) -> Result<u64> {
        if case == NETWORK {
            return Ok(self.generated.macs);
        }
        operations(case).with_context(|| format!("no case is named `{case}`"))
    }
}

/// Weights, top-1, its distance from `float_top1`, and equal predictions.
fn agreement(weights: &Weights, float_top1: f64) -> Vec<String> {
    vec![
        weights.weights.clone(),
        percent(weights.top1),
        format!("{:+.2}", weights.top1 - float_top1),
        percent(weights.same),
    ]
}

/// A table in Markdown.
fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let rule = format!("|{}", "---|".repeat(header.len()));
    let mut lines = vec![line(&header), rule];
    lines.extend(rows.into_iter().map(|row| line(&row)));
    lines.join("\n")
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn percent(percent: f64) -> String {
    format!("{percent:.2} %")
}

fn ratio(count: u64, operations: u64, digits: usize) -> String {
    format!("{:.digits$}", count as f64 / operations as f64)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let groups = [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (13_989_962, "13 989 962"),
        ];
        for (number, text) in groups {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn tables_have_a_rule_and_a_line_each_row() {
        let rows = [vec!["a".to_owned(), "1".to_owned()]];
        let text = table(&["name", "count"], rows);
        assert_eq!(text, "| name | count |\n|---|---|\n| a | 1 |");
    }
}
