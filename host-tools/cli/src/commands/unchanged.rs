//! Reports of earlier compilations, by a hash of everything that they depend on: what has not
//! changed is not computed again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tadpool_boards::Board;
use tadpool_compiler::compile;
use tadpool_compiler::generate;
use tadpool_compiler::given::{images, model_toml};
use tadpool_compiler::import::onnx;
use tadpool_image::cache::{Cache, Key};

use super::board::BoardArgs;
use super::model::{CompileArgs, MODEL_FILE};
use super::report::Report;

/// Where a report is kept, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place(PathBuf);

/// The report of an earlier compilation.
#[derive(Debug)]
pub(crate) struct Kept(Record);

/// The record of a compilation.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    made: Made,
    /// Its report, for a machine and for people.
    json: Box<RawValue>,
    text: String,
}

/// The files of a compilation that its report depends on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Made {
    /// The image that it built.
    pub(crate) image: Option<PathBuf>,
    /// The folder of the crate that it generated, and the text of that crate's inventory.
    pub(crate) generated: Option<(PathBuf, String)>,
}

impl Made {
    /// Whether all of it is still there, and as it was.
    fn is_there(&self) -> bool {
        let has_image = self.image.as_ref().is_none_or(|image| image.is_file());
        let is_kept = |(folder, text): &(PathBuf, String)| {
            let inventory = generate::Inventory::read(folder).ok().flatten();
            inventory.is_some_and(|it| it.text() == *text && it.is_kept(folder))
        };
        has_image && self.generated.as_ref().is_none_or(is_kept)
    }
}

impl Report for Kept {
    fn json(&self) -> serde_json::Result<String> {
        Ok(self.0.json.get().to_owned())
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl Place {
    /// Where the report of a `command` is kept that compiles `model`, for a board if one is
    /// given; none if a file that it depends on cannot be read.
    pub(crate) fn of(
        command: &impl fmt::Debug,
        compiled: &CompileArgs,
        board: Option<&BoardArgs>,
    ) -> Option<Self> {
        let model = &*compile::file_of(compiled.path());
        let mut key = Key::default();
        key.add(&format!("{command:?}"));
        add_program(&mut key)?;
        let described = model
            .extension()
            .is_some_and(|end| end == "toml")
            .then(|| model_toml::read(model).ok());
        let (onnx, calibration, labels, described) = match described {
            None => (model.to_owned(), None, Vec::new(), None),
            Some(read) => {
                let read = read?;
                add_file(&mut key, model)?;
                (read.onnx, read.calibration, read.labels, read.board)
            }
        };
        for file in onnx::files(&onnx) {
            add_file(&mut key, &file)?;
        }
        let folder = compiled.calibration().or(calibration.as_deref())?;
        for image in images::list(folder, &labels).ok()? {
            key.add(&image.path.strip_prefix(folder).ok()?.display().to_string());
            add_file(&mut key, &image.path)?;
        }
        if let Some(board) = board {
            add_board(&mut key, &board.named_or(described.as_deref()).ok()?)?;
        }
        let folder = Cache::find().ok()?.folder().join("compiled");
        Some(Self(folder.join(key.finish()).with_extension("json")))
    }

    /// The record that is kept there, if what was made still is.
    pub(crate) fn read(&self) -> Option<Kept> {
        let record: Record = serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()?;
        record.made.is_there().then_some(Kept(record))
    }

    /// Keeps a report. If that fails, the next compilation takes longer.
    pub(crate) fn write(&self, made: Made, report: &(impl Report + Serialize)) {
        let keep = || {
            let record = Record {
                made,
                json: RawValue::from_string(report.json().ok()?).ok()?,
                text: report.to_string(),
            };
            tadpool_compiler::output::create_folder(self.0.parent()?).ok()?;
            tadpool_compiler::output::write(&self.0, &serde_json::to_vec(&record).ok()?).ok()
        };
        keep();
    }
}

/// The file that this program lies in.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says which file this program lies in; the first one counts.
pub(crate) fn set_program(program: PathBuf) {
    PROGRAM.get_or_init(|| program);
}

/// This program: what it computes may change without its version.
fn add_program(key: &mut Key) -> Option<()> {
    let program = PROGRAM.get()?.metadata().ok()?;
    let time = program.modified().ok()?;
    key.add(&format!("{} {time:?}", program.len()));
    Some(())
}

fn add_board(key: &mut Key, board: &Board) -> Option<()> {
    key.add(&tadpool_boards::text(board).ok()?);
    key.add(&tadpool_image::toolchain(board)?.version);
    Some(())
}

fn add_file(key: &mut Key, path: &Path) -> Option<()> {
    key.add(&tadpool_input::read(path, MODEL_FILE).ok()?);
    Some(())
}
