//! Whether cargo would take a folder for a part of somebody else's workspace.

use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};

/// Whether a crate in `folder` needs a workspace of its own to be built: one above it
/// neither lists it nor leaves it out.
pub fn needs_workspace(folder: &Path) -> bool {
    let Ok(folder) = std::path::absolute(folder) else {
        return false;
    };
    let folder = normal(&folder);
    for above in folder.ancestors().skip(1) {
        let manifest = match manifest(above) {
            Some(manifest) if manifest.contains_key("workspace") => manifest,
            _ => continue,
        };
        let listed = |key: &str| {
            let list = manifest["workspace"].get(key).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str)
        };
        let excludes = listed("exclude").any(|path| folder.starts_with(normal(&above.join(path))));
        let members = || listed("members").flat_map(|pattern| expand(above, pattern));
        let is_member = members().any(|member| member == folder);
        let mut crates = members().chain([above.to_owned()]);
        return !excludes && !is_member && !crates.any(|member| depends(&member, &folder));
    }
    false
}

fn manifest(folder: &Path) -> Option<Table> {
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    text.parse().ok()
}

/// The folders that a list of members means.
fn expand(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let pattern = glob::Pattern::escape(&root.to_string_lossy()) + "/" + pattern;
    let found = glob::glob(&pattern).into_iter().flatten();
    found
        .filter_map(Result::ok)
        .map(|path| normal(&path))
        .collect()
}

/// Whether the crate in `member` depends on the one in `folder` by its path.
fn depends(member: &Path, folder: &Path) -> bool {
    fn any(value: &Value, is_folder: &dyn Fn(&str) -> bool) -> bool {
        let Some(table) = value.as_table() else {
            return false;
        };
        table.iter().any(|(key, value)| match value {
            Value::String(path) if key == "path" => is_folder(path),
            _ => any(value, is_folder),
        })
    }
    let is_folder = |path: &str| normal(&member.join(path)) == folder;
    let manifest = manifest(member).unwrap_or_default();
    manifest
        .iter()
        .filter(|(key, _)| key.contains("dependencies") || *key == "target" || *key == "workspace")
        .any(|(_, value)| any(value, &is_folder))
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_above_takes_what_it_lists() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let crate_folder = folder.path().join("nets/model");
        std::fs::create_dir_all(&crate_folder).unwrap();
        write("nets/model/Cargo.toml", "[package]\nname = \"model\"");
        let package = "[package]\nname = \"app\"\n";
        let cases = [
            (String::new(), false),
            (package.to_owned(), false),
            (format!("{package}[workspace]"), true),
            ("[workspace]\nmembers = [\"app\"]".to_owned(), true),
            ("[workspace]\nmembers = [\"nets/*\"]".to_owned(), false),
            (
                "[workspace]\nmembers = [\"./nets/model\"]".to_owned(),
                false,
            ),
            ("[workspace]\nexclude = [\"nets\"]".to_owned(), false),
            (
                format!("{package}[workspace]\n[dependencies]\nm = {{ path = \"nets/model\" }}"),
                false,
            ),
            (
                format!("{package}[workspace]\n[target.x.dependencies]\nm.path = \"nets/model\""),
                false,
            ),
        ];
        for (text, expected) in cases {
            write("Cargo.toml", &text);
            assert_eq!(needs_workspace(&crate_folder), expected, "{text}");
        }
        write("Cargo.toml", "[workspace]\nmembers = [\"app\"]");
        write(
            "app/Cargo.toml",
            "[package]\nname = \"app\"\n[dependencies.m]\npath = \"../nets/model\"",
        );
        assert!(!needs_workspace(&crate_folder));
    }
}
