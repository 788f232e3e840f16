//! Commands and their arguments; one file a command.

mod audit;
mod bench;
mod board;
mod boards;
mod bringup;
mod check;
mod compare;
mod compile;
mod completions;
mod crate_kernels;
mod cycles;
mod data;
mod doctor;
mod emulate;
mod energy;
mod eval;
mod fit;
mod flash;
mod forms;
mod generate;
mod guide;
mod image;
mod init;
mod inspect;
mod learn;
mod logs;
mod model;
mod named;
mod new;
mod plan;
mod probes;
mod progress;
mod record;
mod report;
mod report_records;
mod run;
mod simulate;
mod unchanged;
mod user_program;

use clap::{Parser, Subcommand};
use report::Report;
pub(crate) use unchanged::set_program;

/// Puts PoolFormer and IdentityFormer networks on Arm Cortex-M.
///
/// MODEL is a model description (`model.toml`: input size, mean, std, labels,
/// calibration images, default board), its folder, or a bare ONNX file.
///
/// A first tour:
///   tadpool inspect models/poolformer-cifar10/model.toml
///   tadpool compile models/poolformer-cifar10/model.toml
///   tadpool eval    models/poolformer-cifar10/model.toml
///   tadpool run     models/poolformer-cifar10/model.toml IMAGE.jpg
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, subcommand_required = true)]
pub(crate) struct Cli {
    /// Print one line of JSON instead of tables.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a network is made of: layers, shapes, parameters, MACs.
    ///
    /// A network that is not supported is refused with every reason at once.
    Inspect(inspect::Inspect),
    /// List what is imported: layers, norms, activations, operators and their spellings.
    Forms(forms::Forms),
    /// Quantize a network, plan its memory and generate its crate.
    ///
    /// Prints what the image needs of the board's flash and RAM, and fails if
    /// it does not fit.
    Compile(compile::Compile),
    /// Write a network as a crate, for a firmware of one's own.
    ///
    /// Quantizes and plans as `compile` does, but builds no image. FOLDER is new, empty, or
    /// holds a crate that was generated before. All that the crate needs lies in it, so that it
    /// can be kept in a repository and built elsewhere.
    Generate(generate::Generate),
    /// Make an application of one's own: a package that runs MODEL on BOARD.
    ///
    /// It builds at once, has the model by its build script, and a test that compares the
    /// board with the host; cargo runs both in the emulator or by probe-rs.
    New(new::New),
    /// Run a program in an emulated board, and print what it logs by defmt.
    ///
    /// As cargo's runner: the program ends the emulator by semihosting, with its status.
    Emulate(emulate::Emulate),
    /// Write pictures as the bytes that a firmware takes.
    Image(image::ImageArgs),
    /// Say for every board whether a model fits, and what would make it fit.
    Fit(fit::Fit),
    /// Classify images on the host with the firmware's integer kernels.
    Simulate(simulate::Simulate),
    /// Measure top-1 accuracy over a folder of labelled images.
    Eval(eval::Eval),
    /// Play a stream of images to a head that learns on the board, and measure how well.
    ///
    /// The last layer is learned anew from images in class folders, by the integers of
    /// `tadpool-learn`: the same bytes as on a board.
    Learn(learn::Learn),
    /// Write a model's image into a board's flash, check it and start it.
    Flash(flash::Flash),
    /// Show what quantization does to each step, and to the predictions.
    ///
    /// Float against integers: signal to noise, largest error, clipping, range used;
    /// what each step alone does to the logits; top-1 and agreement with intervals
    /// of confidence. `--html FILE` draws it, with the images they disagree on.
    Check(check::CheckArgs),
    /// Classify images on a board, and check every step against the host.
    Run(run::Run),
    /// Measure each step of an inference on a board, and predict its latency.
    ///
    /// An emulated board counts instructions, which is not latency. Cycles are predicted for
    /// every board from an execution in an emulator, by models of its core and memories; with
    /// `--predict`, or where no debug probe is connected, that is all.
    Bench(bench::Bench),
    /// Compare two records, figure by figure; fails if one became worse.
    ///
    /// `--record FILE` of bench, run, eval and check writes them. Figures that are gone, or of
    /// another unit, fail too.
    Compare(compare::Compare),
    /// The energy of an inference: joins a record with the trace of a power profiler.
    ///
    /// The trace has the current, and the pin that the firmware holds high during an inference.
    Energy(energy::EnergyArgs),
    /// Print records, or their rows of a table in Markdown.
    Report(report_records::Rows),
    /// Walk through a board's first run: chip, RAM, flash, clock, one inference.
    ///
    /// Each stage says what it found; the first that is not good is the one to mend.
    Bringup(bringup::Bringup),
    /// Say what the machine code of an image can do.
    ///
    /// Panics, floating point and the heap that it can reach, code that cannot be followed,
    /// and the bound of its stack. Fails unless there is none of these and the stack
    /// is large enough. Images that this tool builds are audited whenever they are built;
    /// this is for a firmware of one's own.
    Audit(audit::Audit),
    /// Predict the cycles of any program on a board, from its execution in an emulator.
    ///
    /// Says where they go: instructions, loads, branches, waits for the memory of code and
    /// data; and the functions and lines of source that take most. The program may use
    /// semihosting, as if it were run here.
    Cycles(cycles::CyclesArgs),
    /// Print what the firmware logs.
    Logs(logs::Logs),
    /// List the debug probes that are connected.
    Probes(probes::Probes),
    /// List the known boards, or guide through the first start of one.
    ///
    /// The guide: jumpers, debug probe, the first three commands and what they print, and
    /// what to read if the board does not start.
    Boards(boards::Boards),
    /// Place the buffers of a CSV file in an arena, or in several regions.
    ///
    /// FILE has the columns `id,lower,upper,size` (half-open live ranges, bytes)
    /// and optional ones for alignment, region and relations.
    Plan(plan::Plan),
    /// Write a description of an ONNX file, with a comment for every field.
    Init(init::Init),
    /// Say what is installed and what is missing, and how to get it.
    ///
    /// Fails if something is missing.
    Doctor(doctor::Doctor),
    /// Print the completions of a shell.
    Completions(completions::Completions),
    /// Print the manual page.
    Man(completions::Man),
}

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<Box<dyn Report>> {
        Ok(match self.command {
            Command::Inspect(command) => Box::new(command.run()?),
            Command::Forms(command) => Box::new(command.run()),
            Command::Compile(command) => command.run()?,
            Command::Generate(command) => command.run()?,
            Command::New(command) => Box::new(command.run()?),
            Command::Emulate(command) => Box::new(command.run(self.json)?),
            Command::Image(command) => Box::new(command.run()?),
            Command::Fit(command) => Box::new(command.run()?),
            Command::Simulate(command) => Box::new(command.run()?),
            Command::Eval(command) => Box::new(command.run()?),
            Command::Learn(command) => Box::new(command.run()?),
            Command::Flash(command) => Box::new(command.run()?),
            Command::Check(command) => Box::new(command.run()?),
            Command::Run(command) => Box::new(command.run()?),
            Command::Bench(command) => command.run()?,
            Command::Compare(command) => Box::new(command.run()?),
            Command::Energy(command) => Box::new(command.run()?),
            Command::Report(command) => Box::new(command.run()?),
            Command::Bringup(command) => Box::new(command.run()?),
            Command::Audit(command) => Box::new(command.run()?),
            Command::Cycles(command) => Box::new(command.run()?),
            Command::Logs(command) => Box::new(command.run()?),
            Command::Probes(command) => Box::new(command.run()),
            Command::Boards(command) => command.run()?,
            Command::Plan(command) => Box::new(command.run()?),
            Command::Init(command) => Box::new(command.run()?),
            Command::Doctor(command) => Box::new(command.run()?),
            Command::Completions(command) => Box::new(command.run()),
            Command::Man(command) => Box::new(command.run()?),
        })
    }
}
