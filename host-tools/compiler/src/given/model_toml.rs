//! The model description: what an ONNX file does not say about its network.

mod error;
mod quantization;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use tadpool_input::Kind;
use tadpool_input::text::escaped;

use crate::import::normalise::FileInput;
use crate::network::{MetaFormer, Shape};
pub use error::DescriptionError;
pub use quantization::{
    BiasCorrection, Bits, Equalisation, Quantization, RangeMethod, RoundingMethod, StreamChoice,
    UnknownChoice, WeightChoice,
};

const DESCRIPTION: Kind = Kind {
    name: "a model description",
    max_bytes: 1 << 20,
};
/// Largest mean of pixels from 0 to 1, and largest deviation that anyone divides them by.
const MAX_MEAN: f32 = 1.0;
const MAX_STD: f32 = 2.0;
/// Longest name, in characters.
const MAX_NAME: usize = 64;

/// The model to be compiled, and how its images and classes are read.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelDescription {
    /// Name of the generated crate.
    pub name: String,
    /// The ONNX file.
    pub onnx: PathBuf,
    /// Board to compile for, unless the command line says otherwise.
    pub board: Option<String>,
    /// How an image becomes the network's input.
    pub input: InputDescription,
    /// Maps that stay in the arena for whoever reads them after an inference: names of
    /// stages or layers, see [`MetaFormer::map`].
    pub outputs: Vec<String>,
    /// One name per class, in the order of the scores; empty if not given. Of a network with
    /// one score two: what a score up to zero means, and what one above it does.
    pub labels: Vec<String>,
    /// Folder of images for activation ranges.
    pub calibration: Option<PathBuf>,
    /// Folder of labelled images for the accuracy.
    pub evaluation: Option<PathBuf>,
    /// How numbers become integers.
    pub quantization: Quantization,
}

/// How an image becomes the network's input: `(pixel / 255 - mean) / std`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputDescription {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Order in which the network takes a pixel's channels.
    pub channels: Channels,
    /// One per channel in that order, for pixels from 0 to 1.
    pub mean: Vec<f32>,
    /// One per channel in that order, for pixels from 0 to 1.
    pub std: Vec<f32>,
    /// How the firmware takes an image.
    #[serde(default)]
    pub feed: Feed,
}

/// How the firmware takes an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feed {
    /// As a whole, in the arena.
    #[default]
    Image,
    /// Row by row, as a camera without a frame buffer gives it; the arena holds as
    /// many rows as the first window is high.
    Rows,
}

impl FromStr for Feed {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        match text {
            "image" => Ok(Self::Image),
            "rows" => Ok(Self::Rows),
            _ => quantization::unknown(text, "`image` `rows`"),
        }
    }
}

/// Order in which a network takes a pixel's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma only.
    Gray,
    /// Red, green, blue, and a fourth that images keep as alpha.
    Rgba,
}

/// Reads the description at `path`; paths in it are relative to its folder.
///
/// # Errors
/// See [`DescriptionError`].
pub fn read(path: &Path) -> Result<ModelDescription, DescriptionError> {
    parse(&text(path)?, path)
}

/// The text of the description at `path`.
///
/// # Errors
/// See [`DescriptionError`].
pub fn text(path: &Path) -> Result<String, DescriptionError> {
    Ok(tadpool_input::read_text(path, DESCRIPTION)?)
}

/// Reads a description's text; `path` is where it was read from.
///
/// # Errors
/// See [`DescriptionError`].
pub fn parse(text: &str, path: &Path) -> Result<ModelDescription, DescriptionError> {
    let file: File = toml::from_str(text).map_err(|error| DescriptionError::Syntax {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    check(&file).map_err(|(field, problem)| DescriptionError::Field {
        path: path.to_owned(),
        field,
        problem,
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(ModelDescription {
        name: file.name,
        onnx: folder.join(file.onnx),
        board: file.board,
        input: file.input,
        outputs: file.outputs,
        labels: file.data.labels,
        calibration: file.data.calibration.map(|path| folder.join(path)),
        evaluation: file.data.evaluation.map(|path| folder.join(path)),
        quantization: file.quantization,
    })
}

impl ModelDescription {
    /// The description of a bare ONNX file: pixels from 0 to 1 without further
    /// normalisation, red first, classes by number, no data.
    pub fn of_onnx(onnx: &Path, model: &MetaFormer) -> Self {
        let Shape {
            height,
            width,
            channels,
        } = model.input;
        let order = match channels {
            1 => Channels::Gray,
            4 => Channels::Rgba,
            _ => Channels::Rgb,
        };
        Self {
            name: crate_name(onnx),
            onnx: onnx.to_owned(),
            board: None,
            input: InputDescription {
                height,
                width,
                channels: order,
                mean: vec![0.0; channels],
                std: vec![1.0; channels],
                feed: Feed::default(),
            },
            outputs: Vec::new(),
            labels: numbered(model),
            calibration: None,
            evaluation: None,
            quantization: Quantization::default(),
        }
    }

    /// Checks that the description fits the network; numbers the classes if it
    /// names none, and names the other one if there is one score and one name.
    ///
    /// # Errors
    /// Another image size, number of channels or number of classes.
    pub fn fit(mut self, model: &MetaFormer) -> Result<Self, DescriptionError> {
        let classes = model.told_apart();
        if self.labels.is_empty() {
            self.labels = numbered(model);
        } else if let ([label], 1) = (&self.labels[..], model.classes()) {
            self.labels = vec![format!("not {label}"), label.clone()];
        }
        let fault = match () {
            () if self.input.shape() != model.input => Some((
                "input",
                self.input.shape().to_string(),
                model.input.to_string(),
            )),
            () if self.labels.len() != classes => Some((
                "data.labels",
                format!("with {} names", self.labels.len()),
                format!("{classes} classes"),
            )),
            () => None,
        };
        if let Some(name) = self.outputs.iter().find(|name| model.map(name).is_none()) {
            return Err(DescriptionError::Output {
                name: shown(name),
                known: model.map_names().join(", "),
                onnx: self.onnx,
            });
        }
        match fault {
            Some((field, described, network)) => Err(DescriptionError::Network {
                field,
                described,
                network,
                onnx: self.onnx,
            }),
            None => Ok(self),
        }
    }
}

fn numbered(model: &MetaFormer) -> Vec<String> {
    (0..model.told_apart())
        .map(|class| class.to_string())
        .collect()
}

impl ModelDescription {
    /// The description with the normalisation that the file does itself, if it does.
    ///
    /// # Errors
    /// The description names a normalisation too.
    pub fn fed_as(mut self, file: &FileInput) -> Result<Self, DescriptionError> {
        if !file.normalises() && !file.of_bytes {
            return Ok(self);
        }
        let (mean, std) = file.statistics();
        let is = |values: &[f32], other: &[f32]| {
            let mut pairs = values.iter().zip(other);
            pairs.all(|(value, other)| (value - other).abs() <= 1e-6 * other.abs().max(1e-3))
        };
        let input = &mut self.input;
        let channels = mean.len();
        let unit = if file.of_bytes { 1.0 / 255.0 } else { 1.0 };
        let nothing = vec![0.0; channels];
        // As if there were no normalisation, or what brings pixels to what the file takes.
        let as_is = is(&input.mean, &nothing)
            && (is(&input.std, &vec![1.0; channels]) || is(&input.std, &vec![unit; channels]));
        if !as_is {
            return Err(DescriptionError::Normalised {
                mean: input.mean.clone(),
                std: input.std.clone(),
                own_mean: mean,
                own_std: std,
                onnx: self.onnx,
            });
        }
        (input.mean, input.std) = (mean, std);
        Ok(self)
    }
}

/// A name out of a file as an error can show it.
pub(crate) fn shown(name: &str) -> String {
    escaped(&name.chars().take(80).collect::<String>()).into_owned()
}

impl InputDescription {
    /// Shape of an image.
    pub fn shape(&self) -> Shape {
        Shape {
            height: self.height,
            width: self.width,
            channels: self.channels.count(),
        }
    }
}

impl Channels {
    /// Values per pixel.
    pub fn count(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Gray => 1,
            Self::Rgba => 4,
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    onnx: PathBuf,
    board: Option<String>,
    input: InputDescription,
    #[serde(default)]
    outputs: Vec<String>,
    #[serde(default)]
    data: Data,
    #[serde(default)]
    quantization: Quantization,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Data {
    labels: Vec<String>,
    calibration: Option<PathBuf>,
    evaluation: Option<PathBuf>,
}

fn check(file: &File) -> Result<(), (&'static str, String)> {
    let fail = |field, problem: String| Err((field, problem));
    if !is_crate_name(&file.name) {
        return fail(
            "name",
            format!(
                "is `{}`, a crate's name has up to {MAX_NAME} lower case letters, digits, `-` and \
                 `_`, begins with a letter and is no keyword",
                file.name.escape_debug()
            ),
        );
    }
    if file.onnx.as_os_str().is_empty() {
        return fail("onnx", "is empty".to_owned());
    }
    let InputDescription {
        height,
        width,
        mean,
        std,
        ..
    } = &file.input;
    for (field, size) in [("input.height", *height), ("input.width", *width)] {
        if !(1..=4096).contains(&size) {
            return fail(field, format!("is {size}, it must lie between 1 and 4096"));
        }
    }
    let channels = file.input.channels.count();
    for (field, values) in [("input.mean", mean), ("input.std", std)] {
        if values.len() != channels {
            return fail(
                field,
                format!("has {} values for {channels} channels", values.len()),
            );
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return fail(field, format!("holds {value}, which is not finite"));
        }
    }
    if let Some(value) = std.iter().find(|value| **value < f32::MIN_POSITIVE) {
        return fail(
            "input.std",
            format!("holds {value}, it must be greater than 0"),
        );
    }
    for (field, values, most) in [("input.mean", mean, MAX_MEAN), ("input.std", std, MAX_STD)] {
        if let Some(value) = values.iter().find(|value| value.abs() > most) {
            let divided: Vec<_> = values
                .iter()
                .map(|value| format!("{:.4}", value / 255.0))
                .collect();
            return fail(
                field,
                format!(
                    "holds {value}, as if pixels went from 0 to 255; they go from 0 to 1 here: \
                     divide mean and std by 255, to [{}]",
                    divided.join(", ")
                ),
            );
        }
    }
    for (index, name) in file.outputs.iter().enumerate() {
        if file.outputs[..index].contains(name) {
            let name = name.escape_debug();
            return fail("outputs", format!("holds `{name}` twice"));
        }
    }
    for label in &file.data.labels {
        if label.is_empty() || label.chars().any(char::is_control) {
            return fail(
                "data.labels",
                format!(
                    "holds `{}`, a label has characters but no control characters",
                    label.escape_debug()
                ),
            );
        }
    }
    Ok(())
}

/// Whether a crate can have this name: up to 64 lower case letters, digits, `-` and `_`, from
/// a letter on, and no keyword.
pub fn is_crate_name(name: &str) -> bool {
    const RESERVED: &str = "abstract alloc as async await become box break const continue core \
        crate do dyn else enum extern false final fn for gen if impl in let loop macro match mod \
        move mut override priv proc_macro pub ref return self static std struct super test trait \
        true try type typeof unsafe unsized use virtual where while yield";
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
        && RESERVED.split_whitespace().all(|word| word != name)
}

/// Latin letters with marks, each group behind the letters that stand for it in names.
const MARKED: [(&str, &str); 22] = [
    ("a", "àáâãåāăą"),
    ("ae", "äæ"),
    ("c", "çćĉċč"),
    ("d", "ďđð"),
    ("e", "èéêëēĕėęě"),
    ("g", "ĝğġģ"),
    ("h", "ĥħ"),
    ("i", "ìíîïĩīĭįı"),
    ("j", "ĵ"),
    ("k", "ķ"),
    ("l", "ĺļľŀł"),
    ("n", "ñńņňŉ"),
    ("o", "òóôõōŏő"),
    ("oe", "öøœ"),
    ("r", "ŕŗř"),
    ("s", "śŝşšș"),
    ("ss", "ß"),
    ("t", "ţťŧțþ"),
    ("u", "ùúûũūŭůűų"),
    ("ue", "ü"),
    ("y", "ýÿŷ"),
    ("z", "źżž"),
];

/// A crate's name made from a file's: letters with marks are spelled without, and of what has no
/// place in a name a single `-` is left between two parts of it.
fn crate_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut name = String::new();
    for c in stem.to_lowercase().chars() {
        let marked = MARKED.iter().find(|(_, letters)| letters.contains(c));
        match marked {
            Some((letters, _)) => name.push_str(letters),
            None if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
            // A mark by itself, behind its letter.
            None if ('\u{300}'..='\u{36f}').contains(&c) => {}
            None if name.ends_with('-') => {}
            None => name.push('-'),
        }
    }
    name.truncate(MAX_NAME); // all of it is ASCII
    let name = name.trim_matches('-');
    match is_crate_name(name) {
        true => name.to_owned(),
        false => "model".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_any_name_give_crates_a_name() {
        for (file, expected) in [
            ("Faces v2.onnx", "faces-v2"),
            ("it's a score.onnx", "it-s-a-score"),
            ("Blüten_größer.onnx", "blueten_groesser"),
            ("cafe\u{301}.onnx", "cafe"),
            ("modèle (final).onnx", "modele-final"),
            ("花.onnx", "model"),
            ("花net.onnx", "net"),
            ("3d.onnx", "model"),
            ("fn.onnx", "model"),
            (".onnx", "onnx"),
        ] {
            assert_eq!(crate_name(Path::new(file)), expected, "{file}");
        }
        let long = format!("{}.onnx", "ä".repeat(100));
        assert_eq!(crate_name(Path::new(&long)).len(), MAX_NAME);
    }

    const GOOD: &str = r#"
        name = "tiny"
        onnx = "tiny.onnx"
        [input]
        height = 8
        width = 6
        channels = "bgr"
        mean = [0.5, 0.5, 0.5]
        std = [0.25, 0.25, 0.25]
        [data]
        labels = ["cat", "dog"]
        calibration = "../images"
    "#;

    #[test]
    fn paths_are_relative_to_the_description() {
        let model = parse(GOOD, Path::new("models/tiny/model.toml")).unwrap();
        assert_eq!(model.onnx, Path::new("models/tiny/tiny.onnx"));
        assert_eq!(
            model.calibration.as_deref(),
            Some(Path::new("models/tiny/../images"))
        );
        assert_eq!((model.evaluation, model.board), (None, None));
        assert_eq!(
            model.input.shape(),
            Shape {
                height: 8,
                width: 6,
                channels: 3
            }
        );
        assert_eq!(model.quantization, Quantization::default());
    }

    #[test]
    fn every_field_is_checked() {
        let cases = [
            ("\"tiny\"", "\"2tiny\"", "name"),
            ("\"tiny\"", "\"fn\"", "name"),
            ("\"tiny.onnx\"", "\"\"", "onnx"),
            ("height = 8", "height = 0", "input.height"),
            ("width = 6", "width = 100000", "input.width"),
            ("[0.5, 0.5, 0.5]", "[0.5]", "input.mean"),
            ("[0.5, 0.5, 0.5]", "[0.5, nan, 0.5]", "input.mean"),
            ("[0.25, 0.25, 0.25]", "[0.25, 0.0, 0.25]", "input.std"),
            ("[0.25, 0.25, 0.25]", "[0.25, -1.0, 0.25]", "input.std"),
            ("[0.25, 0.25, 0.25]", "[0.25, inf, 0.25]", "input.std"),
            ("\"cat\"", "\"\"", "data.labels"),
            ("\"cat\"", "\"a\\nb\"", "data.labels"),
            ("[0.5, 0.5, 0.5]", "[123.675, 116.28, 103.53]", "input.mean"),
            ("[0.5, 0.5, 0.5]", "[0.5, -104.0, 0.5]", "input.mean"),
            ("[0.25, 0.25, 0.25]", "[58.395, 57.12, 57.375]", "input.std"),
            ("[0.25, 0.25, 0.25]", "[0.25, 0.25, 255.0]", "input.std"),
            (
                "onnx =",
                "outputs = [\"stage1\", \"stage1\"]\nonnx =",
                "outputs",
            ),
        ];
        for (from, to, expected) in cases {
            let text = GOOD.replacen(from, to, 1);
            match parse(&text, Path::new("model.toml")) {
                Err(DescriptionError::Field { field, .. }) => assert_eq!(field, expected, "{to}"),
                other => panic!("{to}: {other:?}"),
            }
        }
    }

    #[test]
    fn unknown_fields_and_methods_are_refused() {
        for text in [
            format!("color = 1\n{GOOD}"),
            format!("{GOOD}\n[quantization]\nranges = \"magic\""),
            format!("{GOOD}\n[quantization]\nranges = \"percentile:0\""),
            format!("{GOOD}\n[quantization]\nweights = \"int2\""),
            format!("{GOOD}\n[quantization.pins]\nhead = 8"),
            GOOD.replace("bgr", "cmyk"),
            "name = ".to_owned(),
        ] {
            let error = parse(&text, Path::new("model.toml")).unwrap_err();
            assert!(matches!(error, DescriptionError::Syntax { .. }), "{error}");
        }
    }

    #[test]
    fn a_file_name_becomes_a_crate_name() {
        assert_eq!(
            crate_name(Path::new("a/PoolFormer S12.onnx")),
            "poolformer-s12"
        );
        assert_eq!(crate_name(Path::new("12.onnx")), "model");
    }
}
