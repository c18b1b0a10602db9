//! The house keeps its form: which crate sees which, and what every file begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::services::checkout;

/// Who sees whom. Arrows run one way; services never see each other; nothing sees `tests` or `benches`.
const ARROWS: [(&str, &[&str]); 8] = [
    ("schemas", &[]),
    ("policy", &["schemas"]),
    ("journal", &["schemas"]),
    ("store", &["schemas"]),
    ("ingest", &["journal", "policy", "schemas"]),
    ("router", &["journal", "policy", "schemas"]),
    ("edge-sse", &["journal", "policy", "schemas", "store"]),
    ("tidegate", &["edge-sse", "ingest", "journal", "policy", "router", "schemas", "store"]),
];
/// Crates that may see all others, and that nothing sees.
const OUTSIDE: [&str; 2] = ["tests", "benches"];
/// A longer file holds two ideas.
const FILE_LINES: usize = 450;

fn workspace_arrows() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(checkout())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo's JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies").iter().map(name);
            (name(package), dependencies.filter(|dependency| ours.contains(dependency)).collect())
        })
        .collect()
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_crates_see_each_other_only_along_the_arrows() {
    let found = workspace_arrows();
    let expected: BTreeMap<String, BTreeSet<String>> = ARROWS
        .iter()
        .map(|(from, to)| ((*from).to_owned(), to.iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    let inside: BTreeMap<_, _> = found.into_iter().filter(|(name, _)| !OUTSIDE.contains(&name.as_str())).collect();
    assert_eq!(inside, expected);
}

#[test]
fn every_file_says_what_it_is_holds_one_idea_and_is_finished() {
    let mut files = Vec::new();
    rust_files(&checkout(), &mut files);
    assert!(files.len() > 50, "only {} files were found", files.len());
    let unfinished = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore")];
    let mut wrong = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        let shown = path.strip_prefix(checkout()).unwrap_or(&path).display().to_string();
        let lines = text.lines().count();
        if !text.starts_with("//!") {
            wrong.push(format!("{shown} does not begin with //!"));
        }
        if lines >= FILE_LINES {
            wrong.push(format!("{shown} has {lines} lines"));
        }
        wrong.extend(unfinished.iter().filter(|word| text.contains(*word)).map(|word| format!("{shown} has {word}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}
