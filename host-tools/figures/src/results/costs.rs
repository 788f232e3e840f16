//! How far latency by the shapes of steps is from that of executions.

use std::collections::BTreeMap;

use tadpool_latency::cost::{Checked, checked};

use super::text::table;

/// The aim, in percent.
const AIM: f64 = 3.0;

/// The table and its sums.
pub(super) fn values() -> BTreeMap<&'static str, String> {
    let all: Vec<Checked> = checked().collect();
    let mut boards: Vec<&str> = all.iter().map(|it| it.board).collect();
    boards.sort_unstable();
    boards.dedup();
    let mut networks: Vec<&str> = Vec::new();
    for it in &all {
        if !networks.contains(&it.network) {
            networks.push(it.network);
        }
    }
    let row = |board: &&str| {
        let of = |network: &str| {
            let mut of_board = all.iter().filter(|it| it.board == *board);
            let found = of_board.find(|it| it.network == network);
            found.map_or_else(String::new, |it| format!("{:+.1} %", it.percent()))
        };
        let mut cells = vec![format!("`{board}`")];
        cells.extend(networks.iter().map(|network| of(network)));
        cells
    };
    let mut header = vec!["board"];
    header.extend(&networks);
    let rows: Vec<_> = boards.iter().map(row).collect();
    let far = all.iter().filter(|it| it.percent().abs() > AIM).count();
    BTreeMap::from([
        ("costs", table(&header, rows)),
        ("costs_checked", all.len().to_string()),
        ("costs_far", far.to_string()),
    ])
}
