//! How far latency by the shapes of steps is from that of executions.

use std::collections::BTreeMap;

use tadpool_latency::cost::{Checked, checked};

use super::text::table;

/// The trained networks of the table, by their names in the checks.
const TRAINED: [&str; 2] = ["poolformer-cifar10", "identityformer-cifar10"];
/// What was aimed at, in percent.
const AIM: f64 = 3.0;

/// The table and its sums.
pub(super) fn values() -> BTreeMap<&'static str, String> {
    let all: Vec<Checked> = checked().collect();
    let mut boards: Vec<&str> = all.iter().map(|it| it.board).collect();
    boards.sort_unstable();
    boards.dedup();
    let percent = |value: f64| format!("{value:+.1} %");
    let row = |board: &&str| {
        let of = |network: &str| {
            let mut of_board = all.iter().filter(|it| it.board == *board);
            of_board.find(|it| it.network == network)
        };
        let small: Vec<&Checked> = all
            .iter()
            .filter(|it| it.board == *board && !TRAINED.contains(&it.network))
            .collect();
        let mean = small.iter().map(|it| it.percent().abs()).sum::<f64>();
        let worst = small
            .iter()
            .max_by(|one, two| one.percent().abs().total_cmp(&two.percent().abs()));
        let mut cells = vec![format!("`{board}`")];
        cells.extend(
            TRAINED.map(|network| of(network).map_or_else(String::new, |it| percent(it.percent()))),
        );
        cells.push(format!("{:.1} %", mean / small.len().max(1) as f64));
        cells.push(worst.map_or_else(String::new, |it| percent(it.percent())));
        cells.push(worst.map_or_else(String::new, |it| it.network.replace('_', " ")));
        cells
    };
    let header = [
        "board",
        "CIFAR-10 PoolFormer",
        "IdentityFormer",
        "small networks, mean",
        "worst",
        "of",
    ];
    let rows: Vec<_> = boards.iter().map(row).collect();
    let far = all.iter().filter(|it| it.percent().abs() > AIM).count();
    BTreeMap::from([
        ("costs", table(&header, rows)),
        ("costs_checked", all.len().to_string()),
        ("costs_far", far.to_string()),
    ])
}
