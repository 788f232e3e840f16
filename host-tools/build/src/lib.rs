#![doc = include_str!("../README.md")]

pub mod inputs;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use inputs::Inputs;

/// The variable that names the program, where it is not in `PATH`.
const VARIABLE: &str = "TADPOOL";

/// A model to be generated.
#[derive(Debug, Clone)]
#[must_use = "nothing is done before `generate`"]
pub struct Model {
    path: PathBuf,
    module: String,
    kernels: String,
    arguments: Vec<OsString>,
    program: Option<PathBuf>,
    output: Option<PathBuf>,
}

/// Why a model was not generated.
#[derive(Debug)]
pub enum BuildError {
    /// Cargo did not say where generated files go.
    NoOutputFolder,
    /// The name of a module is none.
    Module(String),
    /// The program cannot be started.
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The program has refused the model.
    Tadpool(String),
    /// A file cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Model {
    /// The model of a description (`model.toml`) or of a bare ONNX file, relative to the
    /// package.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            module: "model".to_owned(),
            kernels: "portable".to_owned(),
            arguments: Vec::new(),
            program: None,
            output: None,
        }
    }

    /// The kernels that its weights are packed for: `portable`, `dsp`, `dsp-m7` or
    /// `helium`. The application depends on `tadpool-kernels` with the feature of that name.
    pub fn kernels(mut self, kernels: &str) -> Self {
        kernels.clone_into(&mut self.kernels);
        self
    }

    /// The folder of `OUT_DIR` that its `model.rs` goes to, instead of `model`: letters,
    /// digits and `_`.
    pub fn module(mut self, name: &str) -> Self {
        name.clone_into(&mut self.module);
        self
    }

    /// An option of `tadpool generate`, or its value.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The program to ask, instead of the one that `TADPOOL` names or that is in `PATH`.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// The folder that the module goes to, instead of `OUT_DIR`.
    pub fn output(mut self, folder: impl Into<PathBuf>) -> Self {
        self.output = Some(folder.into());
        self
    }

    /// Generates `OUT_DIR/MODULE/model.rs`, and tells cargo when to do it again.
    ///
    /// If that fails, it ends the build script with the text of a [`BuildError`].
    pub fn generate(&self) {
        if let Err(error) = self.try_generate() {
            fail(&error);
        }
    }

    /// As [`Model::generate`], for build scripts that handle errors themselves.
    ///
    /// # Errors
    /// A [`BuildError`].
    pub fn try_generate(&self) -> Result<(), BuildError> {
        let output = self.output.clone().map(OsString::from);
        let output = output.or_else(|| std::env::var_os("OUT_DIR"));
        let output = output.ok_or(BuildError::NoOutputFolder)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.module.is_empty() || !self.module.chars().all(is_name) {
            return Err(BuildError::Module(self.module.clone()));
        }
        let folder = Path::new(&output).join(&self.module);
        let program = self.program.clone().unwrap_or_else(program);
        watch_variable();
        inputs::watch(&self.path);
        inputs::watch(&program);

        let mut inputs = Inputs::new(&folder);
        inputs.add_text(&[
            env!("CARGO_PKG_VERSION"),
            &self.path.to_string_lossy(),
            &self.kernels,
        ]);
        for argument in &self.arguments {
            inputs.add_text(&[&argument.to_string_lossy()]);
        }
        inputs.add_program(&program);
        if inputs.are_unchanged() {
            inputs.watch();
            return Ok(());
        }
        inputs.forget()?;
        let list = folder.join("read.txt");
        let mut command = Command::new(&program);
        command
            .arg("generate")
            .arg(&self.path)
            .args(["--kernels", &self.kernels, "--module", "--output"])
            .arg(&folder)
            .arg("--list-read")
            .arg(&list)
            .args(&self.arguments);
        let output = command.output().map_err(|source| BuildError::Start {
            program: program.clone(),
            source,
        })?;
        // Also of a model that was refused: another file may mend it.
        let read = std::fs::read_to_string(&list).unwrap_or_default();
        let read = read.lines().map(PathBuf::from);
        if !output.status.success() {
            read.for_each(|path| inputs::watch(&path));
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(BuildError::Tadpool(errors.trim_end().to_owned()));
        }
        inputs.remember(read)?;
        inputs.watch();
        Ok(())
    }
}

/// Ends the build script: cargo shows `error` by itself and fails, where of a panic it would show
/// all that the script has printed.
#[expect(clippy::print_stdout, reason = "how a build script speaks to cargo")]
pub fn fail(error: &dyn fmt::Display) -> ! {
    for line in error.to_string().lines() {
        println!("cargo::error=tadpool: {line}");
    }
    std::process::exit(0)
}

#[expect(clippy::print_stdout, reason = "how a build script speaks to cargo")]
fn watch_variable() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
}

/// The program to run: `TADPOOL`, or the one in `PATH`.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os(VARIABLE) {
        return program.into();
    }
    let name = format!("tadpool{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(&name));
    let found = candidates.find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| name.into())
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOutputFolder => {
                f.write_str("`OUT_DIR` is not set: call this from a build script")
            }
            Self::Module(name) => write!(
                f,
                "the module `{}` has characters other than letters, digits and `_`, or none",
                name.escape_debug()
            ),
            Self::Start { program, source } => write!(
                f,
                "cannot start `{}`: {source}; install it with `cargo install tadpool`, or set \
                 {VARIABLE} to where it is",
                program.display()
            ),
            Self::Tadpool(errors) => f.write_str(errors.strip_prefix("error: ").unwrap_or(errors)),
            Self::File { path, source } => write!(f, "`{}`: {source}", path.display()),
        }
    }
}

impl std::error::Error for BuildError {}
