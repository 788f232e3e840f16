use std::fs::File;
use tadpool_cycles::{latency::Latency, memory::MemoryMap, pipeline::Core, trace};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let core = Core::by_name(&args[1]).unwrap();
    let map: MemoryMap = toml::from_str(&std::fs::read_to_string(&args[2]).unwrap()).unwrap();
    let clock: f64 = args[3].parse().unwrap();
    for pair in args[4..].chunks(2) {
        let start = std::time::Instant::now();
        let mut l = Latency::new(core, &map).unwrap();
        if let Err(e) = trace::read(File::open(&pair[0]).unwrap(), &mut l) {
            println!("{} {e}", pair[0]);
            continue;
        }
        let c = l.total();
        let ms: f64 = pair[1].parse().unwrap();
        let measured = ms * clock * 1e3;
        println!(
            "{:60} {:+6.2}% measured {:.3} M, {:.3} M: {:.3?} n {:.2}M {:.1?}",
            pair[0].rsplit('/').next().unwrap(),
            100.0 * (c.total() as f64 / measured - 1.0),
            measured / 1e6,
            c.total() as f64 / 1e6,
            [c.issue, c.accesses, c.branches, c.code, c.data].map(|x| x as f64 / 1e6),
            l.instructions() as f64 / 1e6,
            start.elapsed()
        );
        if std::env::var("HOT").is_ok() {
            let mut lines = l.by_address();
            lines.sort_by_key(|l| l.address);
            let mut top: Vec<_> = lines.clone();
            top.sort_by_key(|l| std::cmp::Reverse(l.cycles.total()));
            let n: usize = std::env::var("HOT").unwrap().parse().unwrap();
            let limit = top.get(n).map_or(0, |l| l.cycles.total());
            for l in lines {
                if l.cycles.total() > limit {
                    println!(
                        "{:08x} x{} {:.2} {:?}",
                        l.address,
                        l.executions,
                        l.cycles.total() as f64 / l.executions as f64,
                        l.cycles
                    );
                }
            }
        }
    }
}
