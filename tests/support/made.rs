//! Whole model folders with made images, around an ONNX file.

use std::path::{Path, PathBuf};

use super::Noise;

/// The contents of a model folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made<'a> {
    /// The ONNX file, of a network that reads three channels.
    pub(crate) onnx: &'a Path,
    /// Rows and columns of its images.
    pub(crate) size: [usize; 2],
    /// Its classes.
    pub(crate) classes: usize,
    /// Images for calibration.
    pub(crate) calibration: usize,
    /// Images for evaluation.
    pub(crate) evaluation: usize,
    /// Whether images lie in class folders.
    pub(crate) with_labels: bool,
    /// The end of the description.
    pub(crate) quantization: &'a str,
}

impl Made<'_> {
    /// Writes everything into `folder`; the path of the description.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let [height, width] = self.size;
        let mut noise = Noise::new(99);
        for (name, count) in [
            ("calibration", self.calibration),
            ("evaluation", self.evaluation),
        ] {
            for index in 0..count {
                let mut folder = folder.join(name);
                if self.with_labels {
                    folder.push(format!("class{}", index % self.classes));
                }
                let mut file = format!("P6\n{width} {height}\n255\n").into_bytes();
                let (base, slope) = (40.0 * noise.value(), 60.0 * noise.value());
                file.extend((0..3 * height * width).map(|at| {
                    let x = (at / 3 % width) as f32 / width as f32;
                    let value = 128.0 + base + slope * x + 24.0 * noise.value();
                    value.clamp(0.0, 255.0) as u8
                }));
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(format!("{index:03}.ppm")), file).unwrap();
            }
        }
        let classes = 0..self.classes;
        let labels: Vec<String> = classes.map(|class| format!("class{class}")).collect();
        let description = format!(
            "name = \"small\"\nonnx = {:?}\n\
             [input]\nheight = {height}\nwidth = {width}\nchannels = \"rgb\"\n\
             mean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n\
             [data]\nlabels = {labels:?}\ncalibration = \"calibration\"\n\
             evaluation = \"evaluation\"\n{}",
            self.onnx, self.quantization,
        );
        let path = folder.join("model.toml");
        std::fs::write(&path, description).unwrap();
        path
    }
}
