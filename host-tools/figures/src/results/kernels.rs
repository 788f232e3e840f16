//! The figures and tables of kernels.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::Sources;
use super::text::{grouped, ratio, table};
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
    /// The cost of the kernels.
    pub(super) fn of_kernels(&self) -> Result<BTreeMap<&'static str, String>> {
        let other = &self.figures.dsp_loop_on_m7;
        let more =
            self.count("Cortex-M7", NETWORK)? as f64 / self.count("Cortex-M4", NETWORK)? as f64;
        let millions = |cycles: u64| format!("{:.2}", cycles as f64 / 1e6);
        let m0 = "matrix product 8x(32->64)";
        Ok(BTreeMap::from([
            ("compiler", self.counts.compiler.clone()),
            ("products", self.products()?),
            ("m0_product", self.per_operation("Cortex-M0", m0, m0)?),
            (
                "m0_plain",
                self.per_operation("Cortex-M0", &format!("{m0}, plain loop"), m0)?,
            ),
            ("steps", self.costs("step", &STEPS)?),
            ("mixers", self.costs("step", &MIXERS)?),
            (
                "kernel_code",
                grouped(self.count("Cortex-M4", "code, all of a PoolFormer")?),
            ),
            ("m7_more", format!("{:.0}", 100.0 * (more - 1.0))),
            ("m7_own", millions(other.own_cycles_estimate)),
            ("m7_other", millions(other.other_cycles_estimate)),
            ("m7_measured", other.measured.clone()),
            ("m7_command", other.command.clone()),
            ("predicted", self.predicted()?),
            (
                "predicted_measured",
                self.figures.predicted.measured.clone(),
            ),
            ("predicted_command", self.figures.predicted.command.clone()),
        ]))
    }

    /// Predicted latency on each board.
    fn predicted(&self) -> Result<String> {
        let mut rows = Vec::new();
        for it in &self.figures.predicted.boards {
            let board = tadpool_boards::find(&it.board)?;
            let clock = board
                .clock
                .with_context(|| format!("{} has no clock", it.board))?;
            let hz = f64::from(clock.core_hz);
            let ms = |cycles: u64| format!("{:.1}", 1e3 * cycles as f64 / hz);
            let share = |part: u64| format!("{:.0} %", 100.0 * part as f64 / it.cycles as f64);
            rows.push(vec![
                format!("`{}`", it.board),
                board.core,
                format!("{:.0}", hz / 1e6),
                format!("{:.2}", it.cycles as f64 / 1e6),
                format!("**{}**", ms(it.cycles)),
                share(it.data),
                share(it.code),
                ms(it.identity_cycles),
                match it.worst_percent {
                    Some(percent) => format!("±{percent} %"),
                    None => "not validated".to_owned(),
                },
            ]);
        }
        let header = [
            "board",
            "core",
            "MHz",
            "M cycles",
            "ms",
            "waits for data",
            "for code",
            "IdentityFormer, ms",
            "error",
        ];
        Ok(table(&header, rows))
    }

    fn products(&self) -> Result<String> {
        let mut rows = Vec::new();
        for [tokens, inputs, outputs] in PRODUCTS {
            let what = format!("matrix product {tokens}x({inputs}->{outputs})");
            let plain = format!("{what}, plain loop");
            let mut row = vec![
                format!("{tokens} x ({inputs} -> {outputs})"),
                self.per_operation("Cortex-M3", &what, &what)?,
                self.per_operation("Cortex-M3", &plain, &what)?,
            ];
            for core in ESTIMATED {
                row.push(self.per_operation(core, &what, &what)?);
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
                row.push(self.per_operation(core, name, name)?);
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
    fn per_operation(&self, core: &str, what: &str, case: &str) -> Result<String> {
        Ok(ratio(self.count(core, what)?, self.operations(case)?, 3))
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
