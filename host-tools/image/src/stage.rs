//! Everything that an image is built from, as files and settings: their hash is the image's
//! key, so that two builds never share a result.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tadpool_boards::WeightCheck;
use tadpool_toolchain::Toolchain;
use toml::{Table, Value};

use super::cache::Key;
use super::sources::{self, Files};
use super::{Build, FirmwareError, Interface, Limits, placement};

/// The board's file, in the staged folder.
const BOARD: &str = "board.toml";
/// Settings that go before everybody's configuration of cargo, in the staged folder.
pub(crate) const SETTINGS: &str = "cargo.toml";
/// The rest of the profile that the firmware's manifest leaves open, so that nobody else sets it.
const PROFILE: &str = r#"
debug-assertions = false
incremental = false
overflow-checks = false
rpath = false
split-debuginfo = "off"
strip = "none"
"#;

/// An image that is yet to be built.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The contents of the staged folder.
    pub(crate) files: Files,
    /// Arguments of `cargo build`.
    pub(crate) arguments: Vec<String>,
    /// Variables for the firmware's build script.
    pub(crate) variables: Vec<(&'static str, OsString)>,
    /// Tells everything apart that changes the image.
    pub(crate) key: String,
    /// Hash of the model that the image is to hold.
    pub(crate) model_hash: Option<u32>,
}

impl Stage {
    /// The sources that `toolchain` builds `program` from.
    pub(crate) fn new(
        build: &Build<'_>,
        program: &str,
        limits: Limits,
        toolchain: &Toolchain,
    ) -> Result<Self, FirmwareError> {
        let mut files = sources::files();
        let mut model_hash = sources::model_hash();
        if let Some(model) = build.model {
            model_hash = Some(model.generated.hash);
            files.retain(|name, _| !name.starts_with(sources::MODEL));
            let kernels = format!("{{ path = {:?} }}", sources::KERNELS_FROM_MODEL);
            let generated = model.generated.crate_files(model.description, &kernels);
            files.extend(
                generated
                    .into_iter()
                    .map(|(name, bytes)| (Path::new(sources::MODEL).join(name), Cow::Owned(bytes))),
            );
        }
        let wrong = |problem: String| FirmwareError::File {
            path: PathBuf::from(&build.board.name),
            problem,
        };
        let board = tadpool_boards::text(build.board).map_err(wrong)?;
        files.insert(BOARD.into(), Cow::Owned(board.into_bytes()));
        let settings = settings(&files, limits)?;
        files.insert(SETTINGS.into(), Cow::Owned(settings.into_bytes()));

        let mut arguments: Vec<String> = vec!["--release".into(), "--bin".into(), program.into()];
        arguments.extend(["--no-default-features".into(), "--features".into()]);
        arguments.push(build.board.features());
        let is_watched = matches!(build.interface, Interface::Requests | Interface::SelfTests);
        if build.board.watchdog.is_some() && is_watched {
            arguments.push("--features=watchdog".into());
        }
        if build.board.layout.check_weights != WeightCheck::Start && is_watched {
            arguments.push("--features=check-weights".into());
        }
        if build.model.is_some_and(|model| model.generated.has_slots) {
            arguments.push("--features=slots".into());
        }
        if let Some(feature) = build.interface.feature() {
            arguments.push(format!("--features={feature}"));
        }
        let mut variables: Vec<(_, OsString)> = Vec::new();
        let copied = match (build.model, limits) {
            (Some(model), Limits::Board) => placement::copied(build.board, model.generated),
            _ => Vec::new(),
        };
        let copied = copied.join(",");
        if limits == Limits::None {
            variables.push(("TADPOOL_UNLIMITED", "1".into()));
        }
        let mut key = Key::default();
        key.add_files(&files);
        let texts = arguments.iter().chain(&toolchain.arguments);
        for text in texts.chain([&toolchain.version, &format!("{limits:?}"), &copied]) {
            key.add(text);
        }
        if !copied.is_empty() {
            variables.push(("TADPOOL_COPIED_WEIGHTS", copied.into()));
        }
        Ok(Self {
            files,
            arguments,
            variables,
            key: key.finish(),
            model_hash,
        })
    }

    /// Where the board's file is, if the files are in `folder`.
    pub(crate) fn board(folder: &Path) -> PathBuf {
        folder.join(BOARD)
    }
}

/// The profile of the firmware's manifest, with all that it leaves open, as a configuration
/// that goes before the user's.
///
/// The settings of cargo. An image that is only weighed gets no debug information, which takes
/// longer than the code.
fn settings(files: &Files, limits: Limits) -> Result<String, FirmwareError> {
    let path = Path::new(sources::FIRMWARE).join("Cargo.toml");
    let wrong = |problem: String| FirmwareError::File {
        path: path.clone(),
        problem,
    };
    let manifest = files.get(&path).ok_or_else(|| wrong("is missing".into()))?;
    let manifest = std::str::from_utf8(manifest).map_err(|error| wrong(error.to_string()))?;
    let manifest: Table = manifest
        .parse()
        .map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let profile = manifest.get("profile").and_then(|it| it.get("release"));
    let Some(Value::Table(profile)) = profile else {
        return Err(wrong("has no [profile.release]".into()));
    };
    let mut complete: Table = PROFILE
        .parse()
        .map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    complete.extend(profile.clone());
    if limits == Limits::None {
        complete.insert("debug".into(), false.into());
        let packages = complete.get_mut("package").and_then(Value::as_table_mut);
        let packages = packages.into_iter().flatten();
        for package in packages.filter_map(|(_, package)| package.as_table_mut()) {
            package.insert("debug".into(), false.into());
        }
    }
    let profiles = Table::from_iter([("release".to_owned(), complete.into())]);
    Ok(Table::from_iter([("profile".to_owned(), profiles.into())]).to_string())
}
