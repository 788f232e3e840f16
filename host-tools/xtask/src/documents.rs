//! Checks that what README, CONTRIBUTING and the crates' own pages name exists: files and
//! folders, and the subcommands of `cargo xtask` and `tadpool`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use crate::Arguments;
use crate::run::root;

/// Most lines of README.
const README_LINES: usize = 160;

/// Folders that a path in code begins with; what is built is not among them.
const FOLDERS: [&str; 6] = [
    ".ci/",
    "firmware/",
    "host-tools/",
    "memory-planner/",
    "models/",
    "tests/",
];

/// Built, so not in a fresh clone.
const BUILT: [&str; 1] = ["firmware/target"];

#[test]
fn readme_is_short() {
    let lines = read(Path::new("README.md")).lines().count();
    assert!(lines <= README_LINES, "README has {lines} lines");
}

#[test]
fn links_lead_to_files() {
    let mut checked = 0;
    for page in pages() {
        let folder = page.parent().expect("a folder");
        for link in links(&read(&page)) {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let target = root().join(folder).join(path);
            assert!(target.exists(), "{}: {link}", page.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} links were checked");
}

#[test]
fn paths_in_code_exist() {
    let mut checked = 0;
    for page in pages() {
        // A crate's page may name its own files.
        let folders = [root(), root().join(page.parent().expect("a folder"))];
        for code in code(&read(&page)) {
            for path in code.split_whitespace().filter_map(path_in) {
                assert!(
                    folders.iter().any(|folder| folder.join(&path).exists()),
                    "{}: `{path}` does not exist",
                    page.display()
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "only {checked} paths were checked");
}

#[test]
fn subcommands_exist() {
    let arguments = Arguments::command();
    let xtask: BTreeSet<String> = arguments
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    let tadpool = commands_of_tadpool();
    let mut checked = 0;
    for page in pages() {
        for code in code(&read(&page)) {
            for (program, known) in [("cargo xtask ", &xtask), ("tadpool ", &tadpool)] {
                for name in called(&code, program) {
                    let page = page.display();
                    assert!(known.contains(name), "{page}: `{program}{name}`");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 20, "only {checked} calls were checked");
}

/// The pages of the workspace's folder and of every crate.
fn pages() -> Vec<PathBuf> {
    let pages = ["README.md", "CONTRIBUTING.md", "RESULTS.md", "SOUNDNESS.md"];
    let mut pages: Vec<PathBuf> = pages.map(PathBuf::from).to_vec();
    for folder in ["host-tools", "firmware", "memory-planner", "."] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let pages_of_crates = entries
            .map(|entry| {
                Path::new(folder)
                    .join(entry.unwrap().file_name())
                    .join("README.md")
            })
            .filter(|page| root().join(page).is_file());
        pages.extend(pages_of_crates);
    }
    pages
}

fn read(page: &Path) -> String {
    let path = root().join(page);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where the links of a page lead.
fn links(text: &str) -> Vec<&str> {
    let parts = text.split("](").skip(1);
    parts.filter_map(|part| part.split(')').next()).collect()
}

/// Lines of code blocks, and code within lines.
fn code(text: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut is_block = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block || line.starts_with("    ") {
            code.push(line.to_owned());
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    code.extend(prose.split('`').skip(1).step_by(2).map(str::to_owned));
    code
}

/// The part of a word that has to exist, if the word is a path in this repository: up to
/// the first placeholder.
fn path_in(word: &str) -> Option<String> {
    let word = word.trim_matches(|c| ",.;:()'\"`".contains(c));
    if !FOLDERS.iter().any(|folder| word.starts_with(folder))
        || BUILT.iter().any(|built| word.starts_with(built))
    {
        return None;
    }
    let is_placeholder = |part: &&str| {
        let stem = part.split('.').next().unwrap_or_default();
        let is_named = stem.len() > 1 && stem.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        part.contains(['*', '{', '<'])
            || part.contains("NAME")
            || (is_named && !["README", "LICENSE"].contains(&stem))
    };
    let parts = word.split('/').take_while(|part| !is_placeholder(part));
    Some(parts.collect::<Vec<_>>().join("/"))
}

/// The subcommands with which `code` calls a program.
fn called<'a>(code: &'a str, program: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (start, _) in code.match_indices(program) {
        let before = code[..start].chars().next_back();
        // `import tadpool as tp` is Python.
        let is_imported = code[..start].ends_with("import ");
        if is_imported || before.is_some_and(|c| !c.is_whitespace() && c != '(') {
            continue;
        }
        let rest = &code[start + program.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let name = &rest[..end.unwrap_or(rest.len())];
        // Not an option, nor a package's name behind `-p`.
        if name.starts_with(|c: char| c.is_ascii_lowercase()) {
            names.push(name);
        }
    }
    names
}

/// The variants of the enum of commands.
fn commands_of_tadpool() -> BTreeSet<String> {
    let source = read(Path::new("host-tools/cli/src/commands.rs"));
    let (_, variants) = source.split_once("enum Command {").expect("the commands");
    let (variants, _) = variants.split_once("\n}").expect("their end");
    let names: BTreeSet<String> = variants
        .lines()
        .filter_map(|line| Some(line.trim_start().split_once('(')?.0))
        .filter(|name| !name.is_empty() && name.chars().all(char::is_alphabetic))
        .map(str::to_lowercase)
        .collect();
    assert!(names.contains("compile") && names.len() > 5, "{names:?}");
    names
}

#[test]
fn placeholders_end_what_has_to_exist() {
    let cases = [
        (
            "host-tools/boards/boards/NAME.toml",
            Some("host-tools/boards/boards"),
        ),
        (
            "firmware/kernels/tests/steps/,",
            Some("firmware/kernels/tests/steps/"),
        ),
        (
            "models/cifar10/evaluation/cat/*.jpg",
            Some("models/cifar10/evaluation/cat"),
        ),
        ("tests/{a,b}.rs", Some("tests")),
        ("tests/support/NAME_case.rs", Some("tests/support")),
        ("memory-planner/README.md", Some("memory-planner/README.md")),
        ("firmware/target/images", None),
        ("MODEL", None),
    ];
    for (word, path) in cases {
        assert_eq!(path_in(word).as_deref(), path, "{word}");
    }
}

#[test]
fn calls_are_found_in_code_only() {
    let text = "tadpool puts `tadpool compile MODEL` and `cargo run -p tadpool -- fit`\n\n    \
                tadpool eval MODEL\n";
    let code = code(text);
    let called: Vec<&str> = code
        .iter()
        .flat_map(|code| called(code, "tadpool "))
        .collect();
    assert_eq!(called, ["eval", "compile"]);
}
