//! The figures and tables of `RESULTS.md`, by their names in the template.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use tadpool_boards::find;

use super::Sources;
use super::costs;
use super::figures::Weights;
use super::text::{capitalised, grouped, percent, ratio, table};

impl Sources {
    /// Every figure and table, by its name.
    pub(super) fn values(&self) -> Result<BTreeMap<&'static str, String>> {
        let mut values = self.of_networks()?;
        values.extend(self.of_forms());
        values.extend(self.of_flat_grey());
        values.extend(self.of_the_image()?);
        values.extend(self.of_full_size()?);
        values.extend(self.of_kernels()?);
        values.extend(self.of_damaged_input());
        values.extend(self.of_learning()?);
        values.extend(costs::values());
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

    /// The worst pictures of all.
    fn of_flat_grey(&self) -> BTreeMap<&'static str, String> {
        let flat = &self.figures.flat_grey;
        let streams = ["int8", "int16"].into_iter().enumerate();
        let rows = streams.map(|(at, stream)| {
            let decibels = [
                flat.before_first_mlp_db[at],
                flat.behind_first_mlp_db[at],
                flat.logits_db[at],
            ];
            let mut row = vec![stream.to_owned()];
            row.extend(decibels.map(|decibels| format!("{decibels:.1}")));
            row.push(format!("{} of {}", flat.same[at], flat.pictures));
            row
        });
        let header = [
            "streams",
            "before the first MLP, dB",
            "behind it",
            "logits",
            "same prediction as float",
        ];
        BTreeMap::from([
            ("flat", table(&header, rows)),
            ("flat_measured", flat.measured.clone()),
            ("flat_pictures_command", flat.pictures_command.clone()),
            ("flat_command", flat.command.clone()),
        ])
    }

    /// Forms by exporters, and fresh networks.
    fn of_forms(&self) -> BTreeMap<&'static str, String> {
        let (forms, figures) = (&self.forms, &self.figures.forms);
        let header = ["part", "form"].into_iter();
        let header: Vec<&str> = header
            .chain(forms.exporters.iter().map(String::as_str))
            .collect();
        BTreeMap::from([
            ("forms", table(&header, forms.meant.iter().cloned())),
            (
                "forms_refused",
                table(&["part", "form", "said"], forms.refused.iter().cloned()),
            ),
            ("forms_files", forms.files.to_string()),
            ("forms_imported", forms.imported.to_string()),
            ("forms_unexpected", forms.unexpected.to_string()),
            ("forms_command", figures.command.clone()),
            ("forms_measured", figures.measured.clone()),
            (
                "spread",
                table(
                    &[
                        "mixer",
                        "networks",
                        "int8: lowest",
                        "median",
                        "highest",
                        "auto: lowest",
                        "median",
                        "highest",
                    ],
                    self.spread.ours.iter().cloned(),
                ),
            ),
            (
                "ahead",
                table(
                    &[
                        "mixer",
                        "networks",
                        "MinMax: lowest",
                        "median",
                        "highest",
                        "Percentile: lowest",
                        "median",
                        "highest",
                    ],
                    self.spread.ahead.iter().cloned(),
                ),
            ),
            ("spread_command", figures.spread_command.clone()),
            ("spread_measured", figures.spread_measured.clone()),
        ])
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
            ("host_int8", host.int8_images_per_core_second.to_string()),
            (
                "host_onnxruntime",
                host.onnxruntime_images_per_core_second.to_string(),
            ),
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
