//! Records: written, compared, joined with a trace of a power profiler, and shown.

use super::{Project, tadpool};

/// Whether a command succeeds, and what it prints.
fn run(line: &[&str]) -> (bool, String) {
    let output = tadpool(line);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_record_that_became_worse_fails() {
    let project = Project::new();
    let model = project.path("model.toml");
    let [eight, four, again] = ["8.json", "4.json", "again.json"].map(|name| project.path(name));
    let check = |record: &str, weights: &str| {
        let line = [
            "check",
            &model,
            "--hybrid-images",
            "1",
            "--weights",
            weights,
        ];
        let (is_done, said) = run(&[&line[..], &["--record", record]].concat());
        assert!(is_done, "{said}");
    };
    check(&eight, "int8");
    check(&again, "int8");
    check(&four, "int4");

    let (is_same, said) = run(&["compare", &eight, &again, "--tolerance", "0"]);
    assert!(
        is_same && said.contains("none worse than allowed"),
        "{said}"
    );
    assert!(!said.contains("other "), "nothing differs: {said}");

    let junit = project.path("junit.xml");
    let (is_same, said) = run(&["compare", &eight, &four, "--junit", &junit]);
    assert!(!is_same, "{said}");
    for text in ["other quantized_sha256", "error of the logits", "worse"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!said.contains("other model_sha256"), "{said}");
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("<failure message=\"worse: "), "{xml}");
    let (is_allowed, said) = run(&["compare", &eight, &four, "--tolerance", "1000"]);
    assert!(is_allowed, "{said}");

    let record = std::fs::read_to_string(&eight).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["format"], "tadpool-record");
    assert_eq!(record["conditions"]["model"], "small");
    for name in ["model_sha256", "quantized_sha256", "kernels_sha256"] {
        let hash = record["conditions"][name].as_str().unwrap();
        assert_eq!(hash.len(), 64, "{name}");
    }
    let (is_read, said) = run(&["compare", &eight, &model]);
    assert!(!is_read && said.contains("is no record"), "{said}");
}

#[test]
fn a_prediction_is_recorded_and_joined_with_a_trace() {
    let project = Project::new();
    let (model, record) = (project.path("model.toml"), project.path("l4.json"));
    let line = ["bench", &model, "--board", "nucleo-l4r5zi", "--predict"];
    let (is_done, said) = run(&[&line[..], &["--record", &record]].concat());
    assert!(is_done, "{said}");

    // Two inferences of 3 ms with 12 mA, every 0.1 ms.
    let trace = project.path("trace.csv");
    let mut text = "Timestamp(ms),Current(uA),D0-D7\n".to_owned();
    for sample in 0..100 {
        let is_busy = sample % 50 >= 10 && sample % 50 < 40;
        let (current, pins) = match is_busy {
            true => (12_000, "10000000"),
            false => (1_000, "00000000"),
        };
        text += &format!("{},{current},{pins}\n", f64::from(sample) / 10.0);
    }
    std::fs::write(&trace, text).unwrap();
    let line = ["energy", &record, "--trace", &trace, "--pin", "D0"];
    let (is_done, said) = run(&line);
    assert!(!is_done && said.contains("--volts"), "{said}");
    let (is_done, said) = run(&[&line[..], &["--volts", "3", "--output", &record]].concat());
    // 12 mA, 3 V, 3 ms.
    assert!(is_done && said.contains("0.1080 mJ"), "{said}");
    assert!(said.contains("2 inferences"), "{said}");

    let (is_done, said) = run(&["report", &record, "--table"]);
    assert!(is_done, "{said}");
    let row = said.lines().nth(2).unwrap();
    assert!(row.starts_with("| nucleo-l4r5zi | STM32L4R5ZI"), "{row}");
    assert!(
        row.contains("(±3.3 %)") && row.contains("| 0.108 |"),
        "{row}"
    );
    // Nothing was measured by a counter.
    let (is_done, said) = run(&["report", &record]);
    assert!(is_done && said.contains("predicted latency"), "{said}");
}
