use super::*;

/// The energy of a made trace, or what is said of it.
fn read(text: &str, reading: &Reading) -> Result<Energy, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.csv");
    std::fs::write(&path, text).unwrap();
    energy(&path, reading).map_err(|error| error.to_string())
}

/// Inferences of 20 samples with 10 mA and a peak of 30 mA, and 20 samples of 2 mA between,
/// every 0.1 ms; `line` writes a sample.
fn made(header: &str, inferences: usize, line: impl Fn(f64, f64, bool) -> String) -> String {
    let mut text = format!("{header}\n");
    for sample in 0..40 * inferences + 5 {
        let place = sample % 40;
        let busy = (10..30).contains(&place);
        let milliamperes = match (busy, place) {
            (true, 15) => 30.0,
            (true, _) => 10.0,
            (false, _) => 2.0,
        };
        text += &line(sample as f64 * 1e-4, milliamperes * 1e-3, busy);
        text.push('\n');
    }
    text
}

fn check(energy: &Energy, volts: f64) {
    let near = |one: f64, other: f64| (one - other).abs() < 1e-9 + other.abs() * 1e-6;
    assert_eq!(energy.inferences, 3);
    assert_eq!(energy.left_out, 0);
    assert!(
        near(energy.seconds, 2e-3) && near(energy.samples, 20.0),
        "{energy:?}"
    );
    // 19 samples of 10 mA and one of 30.
    assert!(near(energy.mean_amperes, 11e-3), "{energy:?}");
    assert!(near(energy.peak_amperes, 30e-3), "{energy:?}");
    assert!(near(energy.joules.mean, 11e-3 * 2e-3 * volts), "{energy:?}");
    assert!(near(energy.joules.min, energy.joules.max), "{energy:?}");
    assert!(near(energy.idle_amperes.unwrap(), 2e-3), "{energy:?}");
    assert!(near(energy.volts, volts), "{energy:?}");
}

#[test]
fn power_profiler_kit_2() {
    let reading = Reading {
        pin: Some("D1".to_owned()),
        volts: Some(3.3),
        ..Reading::default()
    };
    let word = made(
        "Timestamp(ms),Current(uA),D0-D7",
        3,
        |seconds, amperes, busy| {
            format!(
                "{:.2},{:.3},1{}000000",
                seconds * 1e3,
                amperes * 1e6,
                u8::from(busy)
            )
        },
    );
    check(&read(&word, &reading).unwrap(), 3.3);
    let header = "Timestamp(ms),Current(uA),D0,D1,D2,D3,D4,D5,D6,D7";
    let columns = made(header, 3, |seconds, amperes, busy| {
        let busy = u8::from(busy);
        format!(
            "{:.2},{:.3},0,{busy},0,0,0,0,0,0",
            seconds * 1e3,
            amperes * 1e6
        )
    });
    check(&read(&columns, &reading).unwrap(), 3.3);
    let unnamed = Reading {
        pin: None,
        ..reading
    };
    let said = read(&columns, &unnamed).unwrap_err();
    assert!(said.contains("by `--pin`; it has d0, d1"), "{said}");
    let no_volts = Reading {
        volts: None,
        ..reading
    };
    let said = read(&columns, &no_volts).unwrap_err();
    assert!(said.contains("`--volts 3.3`"), "{said}");
}

#[test]
fn joulescope() {
    let text = made(
        "#time (s),current (A),voltage (V)",
        3,
        |seconds, amperes, _| format!("{seconds:.6},{amperes:.6},1.8"),
    );
    let reading = Reading {
        threshold: Some(5e-3),
        ..Reading::default()
    };
    check(&read(&text, &reading).unwrap(), 1.8);
    let said = read(&text, &Reading::default()).unwrap_err();
    assert!(said.contains("`--threshold MA`"), "{said}");
    let inputs = made("time,current,voltage,gpi0", 3, |seconds, amperes, busy| {
        format!("{seconds:.6},{amperes:.6},1.8,{}", u8::from(busy))
    });
    check(&read(&inputs, &Reading::default()).unwrap(), 1.8);
}

#[test]
fn otii() {
    let header = "Timestamp (s);Main current (mA);Main voltage (mV);GPI1";
    let text = made(header, 3, |seconds, amperes, busy| {
        let line = format!("{seconds:.6};{:.6};3000;{}", amperes * 1e3, u8::from(busy));
        line.replace('.', ",")
    });
    check(&read(&text, &Reading::default()).unwrap(), 3.0);
}

#[test]
fn inferences_with_gaps_or_without_an_end_do_not_count() {
    let line =
        |seconds: f64, amperes: f64, busy| format!("{seconds},{amperes},1,{}", u8::from(busy));
    let text = made("time,current,voltage,gpi0", 3, line);
    let mut lines: Vec<&str> = text.lines().collect();
    // The header is the first; an inference has the lines from 11 on.
    lines.drain(13..28);
    let energy = read(&lines.join("\n"), &Reading::default()).unwrap();
    assert_eq!((energy.inferences, energy.left_out), (2, 1));
    let cut: Vec<&str> = text.lines().take(20).collect();
    let said = read(&cut.join("\n"), &Reading::default()).unwrap_err();
    assert!(said.contains("none begins and ends"), "{said}");
    let idle: Vec<&str> = text.lines().take(8).collect();
    let said = read(&idle.join("\n"), &Reading::default()).unwrap_err();
    assert!(said.contains("never high"), "{said}");
}

#[test]
fn broken_lines_are_named() {
    let header = "time,current,voltage,gpi0\n0,0.1,1,0\n";
    for (line, problem) in [
        ("1,x,1,0", "line 3: `x` is no number"),
        ("1,nan,1,0", "`nan` is no number"),
        ("1,0.1,1", "`` is no level"),
        ("0,0.1,1,0", "not after that of the line before"),
        ("1,0.1,1,7", "`7` is no level"),
    ] {
        let said = read(&format!("{header}{line}\n"), &Reading::default()).unwrap_err();
        assert!(said.contains(problem), "{line}: {said}");
    }
    let long = format!("{header}{}", "1".repeat(5000));
    let said = read(&long, &Reading::default()).unwrap_err();
    assert!(said.contains("longer than any"), "{said}");
    for (header, problem) in [
        ("a,b", "is a time; its columns are a, b"),
        ("time,b", "is a current"),
        ("", "no whole inference in 0 samples"),
    ] {
        let said = read(header, &Reading::default()).unwrap_err();
        assert!(said.contains(problem), "{header}: {said}");
    }
}
