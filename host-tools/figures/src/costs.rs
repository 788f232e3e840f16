//! `cargo xtask costs`: fits the costs of the kernels to executions, and says how far they
//! are from executions of other networks.
//!
//! `models/export/cost_grid.py` writes the networks. Each is executed once for each kind of
//! board by `tadpool bench --predict --boards`, whose answer is kept beside it, so that a
//! command that was cut off goes on where it was.

mod solve;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use tadpool_boards::{Board, Runner};
use tadpool_latency::cost::{ANY, Costs, Features, Memories, NAMES, REST, Shape};
use tadpool_latency::cost::{features, features_of_rest};

use self::solve::{Sample, solve};
use crate::repository::{cargo, root, run, target};

const FOLDER: &str = "host-tools/latency/src/cost";
const FIGURES: &str = "models/results.toml";
/// Trained networks, which are not fitted to; `models/results.toml` has their predictions.
const MODELS: [&str; 2] = ["models/poolformer-cifar10", "models/identityformer-cifar10"];
/// RAM that has room for the weights of any of the grid's networks.
const ROOM_BYTES: u32 = 3 << 20;

/// The answer of `tadpool bench --predict --boards`.
#[derive(Debug, Deserialize)]
struct Executed {
    boards: Vec<OnBoard>,
}

#[derive(Debug, Deserialize)]
struct OnBoard {
    board: String,
    prediction: Option<Prediction>,
    shapes: Vec<Shape>,
}

#[derive(Debug, Deserialize)]
struct Prediction {
    total: Cycles,
    steps: Vec<Cycles>,
}

#[derive(Debug, Deserialize)]
struct Cycles {
    cycles: u64,
    /// Waits for data.
    data: u64,
}

/// The file with the predictions for trained networks.
#[derive(Debug, Deserialize)]
struct Figures {
    predicted: Predicted,
}

#[derive(Debug, Deserialize)]
struct Predicted {
    boards: Vec<PredictedBoard>,
}

#[derive(Debug, Deserialize)]
struct PredictedBoard {
    board: String,
    cycles: u64,
    identity_cycles: u64,
}

/// Fits the costs to the networks in `folder/grid`, checks them with those in
/// `folder/checked` and the trained ones, and writes both.
pub(crate) fn costs(folder: &Path) -> Result<()> {
    run(&mut cargo(["build", "--workspace", "--bin", "tadpool"]))?;
    let mut fitted = Vec::new();
    let boards = in_place(folder)?;
    for network in folders(&folder.join("grid"))? {
        fitted.push(executed(
            &network,
            &network.join("in-place.json"),
            &boards,
            true,
        )?);
    }
    let kernels = fit(&fitted)?;
    let mut text = format!(
        "# Written by `cargo xtask costs`: cycles of each kernel on each board, for each\n# {}.\n",
        NAMES.join(", ")
    );
    for ((board, kernel), coefficients) in &kernels {
        let numbers: Vec<String> = coefficients.iter().map(|it| short(*it)).collect();
        text += &format!("{board}\t{kernel}\t{}\n", numbers.join("\t"));
    }
    write("coefficients.tsv", &text)?;
    write("checked.tsv", &checked(folder, &text)?)
}

/// Other networks than those that were fitted to.
fn checked(folder: &Path, coefficients: &str) -> Result<String> {
    let boards: Vec<String> = chips().map(|board| board.name).collect();
    let mut text =
        "# Written by `cargo xtask costs`: cycles by the coefficients, and by an execution.\n"
            .to_owned();
    let mut add = |name: &str, on_board: &OnBoard, executed: u64| -> Result<()> {
        let board = tadpool_boards::find(&on_board.board)?;
        let costs = Costs::of_table(coefficients, &board.name, &board);
        let costs = costs.with_context(|| format!("`{}` has no costs", board.name))?;
        let cycles = costs
            .cycles(&on_board.shapes)
            .with_context(|| name.to_owned())?;
        text += &format!("{}\t{name}\t{cycles:.0}\t{executed}\n", board.name);
        Ok(())
    };
    for network in folders(&folder.join("checked"))? {
        let name = name_of(&network);
        for on_board in &executed(&network, &network.join("executed.json"), &boards, true)?.boards {
            if let Some(prediction) = &on_board.prediction {
                add(&name, on_board, prediction.total.cycles)?;
            }
        }
    }
    let figures = fs::read_to_string(root().join(FIGURES)).context(FIGURES)?;
    let figures: Figures = toml::from_str(&figures).context(FIGURES)?;
    for (number, model) in MODELS.into_iter().enumerate() {
        let network = root().join(model);
        let kept = folder.join(format!("{}.json", name_of(&network)));
        for on_board in &executed(&network, &kept, &boards, false)?.boards {
            let mut predicted = figures.predicted.boards.iter();
            if let Some(it) = predicted.find(|it| it.board == on_board.board) {
                let executed = [it.cycles, it.identity_cycles][number];
                add(&name_of(&network), on_board, executed)?;
            }
        }
    }
    Ok(text)
}

type Kernels = BTreeMap<(String, String), Features>;

/// Features of which memory that answers at once would take cycles.
const COMPUTED: [usize; 4] = [3, 8, 11, 15];
/// Those of which only slower memory takes any.
const WAITED: [usize; 2] = [13, 14];

/// The coefficients of every kernel on every board: waits for data are fitted apart from the
/// rest, since weights that are read again for every tile are about as many as the products.
fn fit(networks: &[Executed]) -> Result<Kernels> {
    let mut samples: BTreeMap<(String, String), [Vec<Sample>; 2]> = BTreeMap::new();
    for on_board in networks.iter().flat_map(|network| &network.boards) {
        let Some(prediction) = &on_board.prediction else {
            continue;
        };
        ensure!(
            prediction.steps.len() == on_board.shapes.len(),
            "steps and shapes differ"
        );
        let board = tadpool_boards::find(&on_board.board)?;
        let memories = Memories::of(&board);
        let total = prediction.total.cycles as f64;
        let mut rest = total;
        let mut add = |kernel: &str, features: Features, [compute, data]: [f64; 2]| {
            let key = (board.name.clone(), kernel.to_owned());
            let of_kernel = samples.entry(key).or_default();
            // What is a hundredth of a network may be off by more.
            let weight = 1.0 / (compute + data).max(total / 100.0);
            let without = |left_out: &[usize], cycles| {
                let mut features = features;
                left_out.iter().for_each(|&at| features[at] = 0.0);
                Sample {
                    features,
                    cycles,
                    weight,
                }
            };
            of_kernel[0].push(without(&WAITED, compute));
            of_kernel[1].push(without(&COMPUTED, data));
        };
        for (shape, step) in on_board.shapes.iter().zip(&prediction.steps) {
            let (cycles, data) = (step.cycles as f64, step.data as f64);
            rest -= cycles;
            for kernel in [ANY, &shape.kernel] {
                add(kernel, features(shape, &memories), [cycles - data, data]);
            }
        }
        let features = features_of_rest(on_board.shapes.len());
        add(REST, features, [rest, 0.0]);
    }
    let solved = samples.into_iter().map(|(key, [compute, data])| {
        let mut sum = solve(&compute);
        let data = solve(&data);
        sum.iter_mut()
            .zip(data)
            .for_each(|(sum, data)| *sum += data);
        (key, sum)
    });
    Ok(solved.collect())
}

/// The report of `tadpool bench --predict` on a network on `boards`, kept in a file: from
/// executions, or the shapes alone.
fn executed(network: &Path, kept: &Path, boards: &[String], executes: bool) -> Result<Executed> {
    if !kept.is_file() {
        println!("{}", kept.display());
        let mut command = Command::new(target().join("debug/tadpool"));
        command.arg("bench").arg(network);
        command
            .args(["--predict", "--json", "--boards"])
            .arg(boards.join(","));
        if !executes {
            command.arg("--by-shapes");
        }
        command.env("TADPOOL_CACHE", root().join("target/tadpool"));
        let output = command.output().context("cannot start tadpool")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let answer = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{}: {said}{answer}",
            network.display()
        );
        fs::write(kept, &output.stdout).with_context(|| kept.display().to_string())?;
    }
    let text = fs::read_to_string(kept).with_context(|| kept.display().to_string())?;
    serde_json::from_str(&text).with_context(|| kept.display().to_string())
}

/// The built-in boards that are no emulators.
fn chips() -> impl Iterator<Item = Board> {
    let boards = tadpool_boards::names().filter_map(|name| tadpool_boards::find(name).ok());
    boards.filter(|board| matches!(board.runner, Runner::Probe(_)))
}

/// Files of the chips' boards that leave all weights in place and have room for any network:
/// what copied ones take follows from how fast both memories are.
fn in_place(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.join("in-place");
    fs::create_dir_all(&folder)?;
    let write = |mut board: Board| -> Result<String> {
        board.layout.copy_weights = false;
        board.budget = tadpool_boards::Budget {
            inference_stack_bytes: board.budget.inference_stack_bytes,
            ..tadpool_boards::Budget::default()
        };
        let ram = board.memory.get_mut(&board.layout.ram);
        ram.context("a board without RAM")?.length = ROOM_BYTES;
        let path = folder.join(format!("{}.toml", board.name));
        let text = tadpool_boards::text(&board).map_err(anyhow::Error::msg)?;
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    chips().map(write).collect()
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().display().to_string()
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// A coefficient with four digits.
fn short(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        number => {
            let decimals = (3.0 - number.log10().floor()).max(0.0) as usize;
            let text = format!("{number:.decimals$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
    }
}

fn write(name: &str, text: &str) -> Result<()> {
    let path = root().join(FOLDER).join(name);
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    println!("wrote {FOLDER}/{name}");
    Ok(())
}
