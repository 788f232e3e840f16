//! Notes on a quantized model: what its file was taken for, what was
//! chosen for it, and what is odd about its calibration images.

use serde::Serialize;
use tadpool_compiler::calibrate::Finding;
use tadpool_compiler::compile::{
    Calibrated, CompileError, Compiled, ENOUGH_DB, Model, Quality, Trained,
};
use tadpool_compiler::quantize::precision::Widened;

/// Part of the reports of `compile` and `check`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notes {
    /// Nodes that were left out or moved on import.
    import: Vec<String>,
    /// Stages whose stream has sixteen bits since eight were measured to be too few.
    widened: Vec<Widened>,
    /// Signal to noise of the output, and what may raise it.
    quality: Quality,
    /// The use made of the file's own scales, if it has any.
    trained: Option<Trained>,
    /// Findings about the calibration images.
    findings: Vec<Finding>,
}

impl Notes {
    /// Those of `compiled`, whose calibration images are read again.
    ///
    /// # Errors
    /// An image cannot be read.
    pub fn new(
        model: &Model,
        calibrated: &Calibrated,
        compiled: &Compiled,
    ) -> Result<Self, CompileError> {
        Ok(Self {
            import: model.notes.clone(),
            widened: compiled.choice.widened.clone(),
            quality: Quality::of(model, calibrated, compiled)?,
            trained: compiled.trained.clone(),
            findings: calibrated.findings(model)?,
        })
    }

    /// A sentence each.
    pub fn lines(&self) -> Vec<String> {
        let widened = self.widened.iter().map(|widened| {
            format!(
                "{} has an int16 stream: with less, `{}` was at {:.1} dB (bar: {ENOUGH_DB:.0} dB)",
                widened.stage, widened.step, widened.sqnr_db
            )
        });
        let quality = Some(&self.quality).filter(|quality| !quality.is_enough());
        let trained = self.trained.iter().map(Trained::to_string);
        let findings = self.findings.iter().map(Finding::to_string);
        let import = self.import.iter().cloned();
        import
            .chain(widened)
            .chain(quality.map(Quality::to_string))
            .chain(trained)
            .chain(findings)
            .collect()
    }
}
