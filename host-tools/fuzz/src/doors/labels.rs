//! Lists of classes, one a line, in a description that fits a network or does not.

use std::path::Path;
use std::sync::OnceLock;

use tadpool_compiler::evaluate::label;
use tadpool_compiler::given::model_toml;
use tadpool_compiler::import::import;
use tadpool_compiler::network::MetaFormer;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let lists: [&str; 5] = [
        "cat\ndog\nbird\nfrog\nship\ndeer\nhorse\ntruck\nplane\ncar",
        "Spitz\nKranich\nKranich\n漢字\nعربى",
        "one",
        "healthy\nill",
        "\u{202e}desrever\n\u{1b}[31mred",
    ];
    lists.map(|list| list.as_bytes().to_vec()).to_vec()
}

pub(super) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let network = network();
    let list: Vec<String> = text.lines().map(str::to_owned).collect();
    let labels: Vec<String> = list.iter().map(|label| quoted(label)).collect();
    let description = format!(
        "name = \"tiny\"\nonnx = \"tiny.onnx\"\n[input]\nheight = {}\nwidth = {}\n\
         channels = \"rgb\"\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n[data]\nlabels = [{}]\n",
        network.input.height,
        network.input.width,
        labels.join(", ")
    );
    let read = model_toml::parse(&description, Path::new("model.toml"));
    match read.and_then(|model| model.fit(network)) {
        Ok(model) => {
            assert_eq!(model.labels.len(), network.told_apart());
            let mut scores = vec![0.0f32; network.classes()];
            *scores.last_mut().expect("a class") = 1.0;
            assert_eq!(
                &label(&model.labels, &scores),
                model.labels.last().expect("one")
            );
        }
        Err(error) => super::check_error(&error),
    }
}

/// A text as TOML quotes it.
fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\U{:08x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

fn network() -> &'static MetaFormer {
    static NETWORK: OnceLock<MetaFormer> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let path = super::root().join("tests/fixtures/onnx/pool_script13.onnx");
        let bytes = std::fs::read(path).expect("a fixture");
        import(&bytes, "tiny.onnx").expect("a network")
    })
}
