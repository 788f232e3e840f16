//! Emulated boards compute the bytes of the host, step by step.

use tadpool_probe::session::Inference;

use super::{on_host, picture, start};

fn agrees_with_the_host(board: &str) {
    let (_, mut session) = start(board);
    for seed in 0..8 {
        let picture = picture(seed);
        let Inference { logits, steps, .. } = session.infer(&picture).unwrap();
        let checksums: Vec<u32> = steps.iter().map(|step| step.checksum).collect();
        assert_eq!((logits, checksums), on_host(&picture), "picture {seed}");
    }
    session.shut_down().unwrap();
}

#[test]
fn cortex_m4_computes_the_bytes_of_the_host() {
    agrees_with_the_host("qemu-mps2-an386");
}

#[test]
fn cortex_m7_computes_the_bytes_of_the_host() {
    agrees_with_the_host("qemu-mps2-an500");
}

#[test]
fn cortex_m33_computes_the_bytes_of_the_host() {
    agrees_with_the_host("qemu-mps2-an505");
}

#[test]
fn cortex_m55_computes_the_bytes_of_the_host() {
    agrees_with_the_host("qemu-mps3-an547");
}

#[test]
fn cortex_m3_computes_the_bytes_of_the_host() {
    agrees_with_the_host("qemu-mps2-an385");
}
