//! `models/results.toml`: figures that take long to measure.

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Figures {
    pub(super) accuracy: Accuracy,
    pub(super) simple_choices: SimpleChoices,
    pub(super) onnxruntime: OnnxRuntime,
    pub(super) outliers: Outliers,
    pub(super) fixtures: Fixtures,
    pub(super) forms: Forms,
    pub(super) flat_grey: FlatGrey,
    pub(super) host: Host,
    pub(super) fuzz: Fuzz,
    pub(super) miri: Miri,
    pub(super) boards: Boards,
    pub(super) image: Image,
    pub(super) int4: Int4,
    pub(super) bit_exact: BitExact,
    pub(super) dsp_loop_on_m7: DspLoop,
    pub(super) predicted: Predicted,
    pub(super) tflite_micro: TfliteMicro,
    pub(super) full_size: FullSize,
    pub(super) learning: Learning,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accuracy {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) bytes_command: String,
    pub(super) bytes_measured: String,
    pub(super) networks: Vec<Network>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    pub(super) name: String,
    pub(super) parameters: u64,
    /// Percent, as all accuracies.
    pub(super) float_top1: f64,
    pub(super) rows: Vec<Weights>,
}

/// The effect of quantization on a network.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Weights {
    /// The values of `--weights` and other flags.
    pub(super) weights: String,
    pub(super) top1: f64,
    /// Images with the same prediction as the float network.
    pub(super) same: f64,
    pub(super) weights_section_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SimpleChoices {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) float_top1: f64,
    pub(super) rows: Vec<Weights>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnnxRuntime {
    pub(super) command: String,
    pub(super) version: String,
    pub(super) measured: String,
    pub(super) poolformer_float_top1: f64,
    pub(super) identityformer_float_top1: f64,
    pub(super) rows: Vec<Calibration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Calibration {
    pub(super) calibration: String,
    /// Top-1, and images with the same prediction as in float.
    pub(super) poolformer: [f64; 2],
    pub(super) identityformer: [f64; 2],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outliers {
    pub(super) command: String,
    pub(super) measured: String,
    /// How many times as large as the rest of the residual stream.
    pub(super) size: u64,
    pub(super) int8_worst_step_db: f64,
    pub(super) auto_worst_step_db: f64,
    pub(super) limit_size: u64,
    pub(super) limit_logits_db: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixtures {
    pub(super) command: String,
    pub(super) measured: String,
    /// With int8 and with int16 streams.
    pub(super) pooling_and_identity_db: [f64; 2],
    pub(super) other_mixers_lowest_db: [f64; 2],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forms {
    pub(super) command: String,
    pub(super) spread_command: String,
    pub(super) spread_measured: String,
    pub(super) measured: String,
}

/// Each pair with int8 and with int16 streams.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FlatGrey {
    pub(super) pictures_command: String,
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) pictures: u32,
    pub(super) logits_db: [f64; 2],
    pub(super) before_first_mlp_db: [f64; 2],
    pub(super) behind_first_mlp_db: [f64; 2],
    pub(super) same: [u32; 2],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) machine: String,
    /// Per second that a core was busy, decoding included.
    pub(super) int8_images_per_core_second: u64,
    /// The same of ONNX Runtime.
    pub(super) onnxruntime_images_per_core_second: u64,
    /// Of 1 000 images and of 10 000.
    pub(super) check_peak_mib: [u64; 2],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Boards {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) rows: Vec<BoardRow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BoardRow {
    pub(super) board: String,
    pub(super) instructions: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Image {
    pub(super) compile_command: String,
    pub(super) run_command: String,
    pub(super) measured: String,
    /// Largest difference from tract, in the network's own units.
    pub(super) logits_within: f64,
    pub(super) stack_used_bytes: u64,
    pub(super) weights_section_bytes: u64,
    pub(super) image_code_bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Int4 {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) rows: Vec<Int4Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Int4Row {
    pub(super) weights: String,
    pub(super) instructions: u64,
    pub(super) weights_section_bytes: u64,
    pub(super) arena_bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BitExact {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) images: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DspLoop {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) own_cycles_estimate: u64,
    pub(super) other_cycles_estimate: u64,
}

/// Predicted latency.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Predicted {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) boards: Vec<PredictedBoard>,
}

/// That of the CIFAR-10 networks on a board.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PredictedBoard {
    pub(super) board: String,
    /// Of the PoolFormer: cycles of an inference, and what of them waits for data and for code.
    pub(super) cycles: u64,
    pub(super) data: u64,
    pub(super) code: u64,
    /// Cycles of the IdentityFormer.
    pub(super) identity_cycles: u64,
    /// The largest error in percent of programs that were measured on such a board, if any.
    pub(super) worst_percent: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TfliteMicro {
    pub(super) measured: String,
    pub(super) instructions: u64,
    pub(super) arena_bytes: u64,
    pub(super) s12_arena_bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FullSize {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) image_bytes: u64,
    /// The residual stream of the first stage with eight bits.
    pub(super) first_stage_bytes: u64,
    /// The arena of the PoolFormers if the image comes row by row.
    pub(super) rows_arena_bytes: u64,
    pub(super) compile_seconds: u64,
    pub(super) compile_gb: f64,
    pub(super) onnxruntime_seconds: f64,
    pub(super) onnxruntime_gb: f64,
    pub(super) networks: Vec<FullSizeNetwork>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FullSizeNetwork {
    /// The name in `models/export/full_size.tsv`.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) parameters: String,
    pub(super) arena_bytes: u64,
}

/// Damaged input, of which none may fail.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fuzz {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) doors: Vec<Door>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Door {
    pub(super) door: String,
    pub(super) executions: u64,
}

/// Tests that Miri interpreted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Miri {
    pub(super) command: String,
    pub(super) measured: String,
    pub(super) kernel_tests: u64,
    pub(super) protocol_tests: u64,
}

/// Heads that were learned anew.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Learning {
    pub(super) command: String,
    pub(super) classes_command: String,
    pub(super) step_command: String,
    pub(super) measured: String,
    pub(super) trained_top1: f64,
    /// Seed and top-1.
    pub(super) seeds: Vec<(u32, f64)>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) ram_bytes: u64,
    pub(super) learner_bytes: u64,
    pub(super) features_instructions: u64,
    pub(super) step_instructions: u64,
}

/// A class that was learned after the others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeftOut {
    pub(super) class: String,
    pub(super) top1: f64,
    pub(super) trained_top1: f64,
    pub(super) others_before: f64,
    pub(super) others_after: f64,
}
