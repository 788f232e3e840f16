//! Writes `validation/table.tsv` anew from traces of the images that it lists.
//!
//! A trace is `FOLDER/NAME.trace`, by the name of the first column, in the format of
//! [`tadpool_cycles::trace`]; lines without one are kept.

use std::fs::{File, read_to_string, write};
use std::path::{Path, PathBuf};

use tadpool_cycles::latency::Latency;
use tadpool_cycles::memory::MemoryMap;
use tadpool_cycles::pipeline::Core;
use tadpool_cycles::trace;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or("usage: validate FOLDER, where the traces are")?;
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("validation");
    let table = own.join("table.tsv");
    let mut written = String::new();
    for (at, line) in read_to_string(&table)?.lines().enumerate() {
        let name = line.split('\t').next().unwrap_or("");
        let trace = folder.join(format!("{name}.trace"));
        let line = match at > 0 && trace.is_file() {
            true => validated(line, &trace, &own.join("memories"))?,
            false => line.to_owned(),
        };
        written += &line;
        written.push('\n');
    }
    Ok(write(table, written)?)
}

/// A line of the table with what the model says of a trace.
fn validated(line: &str, trace: &Path, memories: &Path) -> Result<String, Error> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, core, memory, clock_hz, measured_ms] = fields[..5] else {
        return Err(format!("the table has a line with {} fields", fields.len()).into());
    };
    let core = Core::by_name(core).ok_or_else(|| format!("there is no core `{core}`"))?;
    let memory = read_to_string(memories.join(format!("{memory}.toml")))?;
    let memory: MemoryMap = toml::from_str(&memory)?;
    let mut latency = Latency::new(core, &memory)?;
    trace::read(File::open(trace)?, &mut latency).map_err(|error| format!("{name}: {error}"))?;
    let cycles = latency.total();
    let (clock_hz, measured_ms): (f64, f64) = (clock_hz.parse()?, measured_ms.parse()?);
    let model_ms = 1e3 * cycles.total() as f64 / clock_hz;
    let error = 100.0 * (model_ms / measured_ms - 1.0);
    let waits = 100.0 * (cycles.code + cycles.data) as f64 / cycles.total() as f64;
    let kept = fields[..10].join("\t");
    Ok(format!("{kept}\t{model_ms:.5}\t{error:.2}\t{waits:.2}"))
}
