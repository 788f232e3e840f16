//! `tadpool learn`: heads that are learned from a stream of images.

use serde_json::Value;

use super::{CLASSES, Project, tadpool};

fn says(project: &Project, rest: &[&str]) -> Value {
    let (model, data) = (project.path("model.toml"), project.path("calibration"));
    let line = ["learn", &model, "--data", &data, "--json"];
    let output = tadpool(&[&line[..], rest].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{rest:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusal(project: &Project, rest: &[&str]) -> String {
    let model = project.path("model.toml");
    let output = tadpool(&[&["learn", &model], rest].concat());
    assert!(!output.status.success(), "{rest:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_stream_of_images_is_learned() {
    let project = Project::new();
    // What was learned is looked at: 6 images of each class.
    let evaluate = project.path("calibration");
    let learned = says(&project, &["--evaluate", &evaluate]);
    assert_eq!(learned["evaluated"], 30);
    let curve = learned["curve"].as_array().unwrap();
    let images: Vec<u64> = curve
        .iter()
        .map(|p| p["images"].as_u64().unwrap())
        .collect();
    assert_eq!(images, [1, 2, 5, 10, 20, 30]);
    let top1 = |point: &Value| point["top1"].as_f64().unwrap();
    assert_eq!(top1(&curve[0]), 6.0 / 30.0, "one class is known");
    assert!(top1(&curve[5]) > 0.4, "{learned}");

    let again = says(&project, &["--evaluate", &evaluate]);
    assert_eq!(again, learned, "nothing is random");
    let mut sums = vec![learned["checksum"].clone()];
    for other in [
        ["--order", "classes"],
        ["--order", "alternating"],
        ["--start", "trained"],
        ["--rate", "0.3"],
        ["--replays", "0"],
        ["--seed", "2"],
        ["--samples", "4"],
    ] {
        let learned = says(&project, &other);
        assert!(!sums.contains(&learned["checksum"]), "{other:?}");
        sums.push(learned["checksum"].clone());
    }
    let small = says(&project, &["--replay-bytes", "0"]);
    assert_eq!(small["ram"]["replay"], 0);
    assert_eq!(small["ram"]["replayed_images"], 0);
    assert_eq!(small["checksum"], sums[5], "as without repeats");
}

#[test]
fn a_class_is_left_out_and_learned() {
    let project = Project::new();
    let evaluate = project.path("calibration");
    // The network was never trained, so that few images need large steps.
    let line = ["--evaluate", &evaluate, "--leave-out", "bird,deer"];
    let options = ["--new-samples", "5", "--rate", "0.9", "--replays", "0"];
    let learned = says(&project, &[&line[..], &options].concat());
    let rows = learned["left_out"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(learned["curve"].as_array().unwrap().len(), 0);
    for (row, class) in rows.iter().zip(["bird", "deer"]) {
        assert_eq!((&row["class"], &row["images"]), (&class.into(), &5.into()));
        for share in ["top1", "others_before", "others_after", "trained_top1"] {
            assert!((0.0..=1.0).contains(&row[share].as_f64().unwrap()), "{row}");
        }
        assert!(row["top1"].as_f64().unwrap() > 0.2, "{row}");
    }
}

#[test]
fn what_cannot_be_learned_is_refused() {
    let project = Project::new();
    let data = project.path("calibration");
    let path = |name: &str| project.path(name);
    let nowhere = path("nowhere");
    let cases: [(&[&str], &str); 6] = [
        (&["--data", &nowhere], "nowhere"),
        (&["--data", &data, "--evaluate", &nowhere], "nowhere"),
        (&["--data", &data, "--rate", "1"], "above 0 and below 1"),
        (&["--data", &data, "--rate", "nan"], "above 0 and below 1"),
        (
            &["--data", &data, "--leave-out", "newt"],
            "`newt` is none of the labels: `airplane`",
        ),
        (
            &["--data", &data, "--leave-out", "bird", "--start", "trained"],
            "needs `--start empty`",
        ),
    ];
    for (line, expected) in cases {
        let said = refusal(&project, line);
        assert!(said.contains(expected), "{line:?}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
    // A folder whose images are of no class.
    let flat = path("flat");
    std::fs::create_dir(&flat).unwrap();
    let class = path(&format!("calibration/{}", CLASSES[0]));
    let picture = std::fs::read_dir(class).unwrap().next().unwrap().unwrap();
    std::fs::copy(picture.path(), format!("{flat}/some.jpg")).unwrap();
    let said = refusal(&project, &["--data", &flat]);
    assert!(said.contains("its class is not known"), "{said}");
    // A class without images.
    let few = path("few");
    std::fs::create_dir_all(format!("{few}/cat")).unwrap();
    std::fs::copy(picture.path(), format!("{few}/cat/some.jpg")).unwrap();
    let said = refusal(&project, &["--data", &few, "--leave-out", "bird"]);
    assert!(said.contains("has no images of `bird`"), "{said}");
}
