//! What a run leaves behind: texts under `target/bench`, and the block of `benches/README.md` that is made of them.

use std::path::{Path, PathBuf};

use schemas::time::Timestamp;

use crate::error::Failure;

/// What stands between these two lines is written by `./dev bench --write`.
const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";
/// The parts of the block: file and heading.
const PARTS: [(&str, &str); 6] = [
    ("fanout.md", "### Side by side"),
    ("figures.md", "### The straight line"),
    ("router.md", "### The router alone"),
    ("state.md", "### What is remembered"),
    ("hold.md", "### Many streams held"),
    ("hold-http2.md", "### Many streams held over HTTP/2"),
];

/// The date.
pub(crate) fn today() -> String {
    Timestamp::now().to_string().chars().take_while(|letter| *letter != 'T').collect()
}

/// Keeps the text of one part for [`write`].
///
/// # Errors
/// It cannot be written.
pub(crate) fn keep(part: &str, text: &str) -> Result<(), Failure> {
    let directory = kept();
    std::fs::create_dir_all(&directory).map_err(Failure::system("target/bench"))?;
    std::fs::write(directory.join(part), text).map_err(Failure::system(part.to_owned()))
}

/// Rewrites the block of the README from what was kept; parts that were not run here stay as they stand.
///
/// # Errors
/// The README has no such block, or cannot be written.
pub(crate) fn write() -> Result<(), Failure> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&readme).map_err(Failure::system("reading the README"))?;
    let written = replace(&text, |file| std::fs::read_to_string(kept().join(file)).ok());
    let written = written.ok_or_else(|| Failure::Usage(format!("{} has no block to write", readme.display())))?;
    std::fs::write(&readme, written).map_err(Failure::system("writing the README"))
}

fn replace(text: &str, run: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (block, after) = rest.split_once(END)?;
    let parts = PARTS.iter().filter_map(|(file, heading)| {
        let part = run(file).or_else(|| standing(block, heading))?;
        Some(format!("{heading}\n\n{}\n", part.trim()))
    });
    let block = parts.collect::<Vec<_>>().join("\n");
    Some(format!("{before}{BEGIN}\n\n{block}\n{END}{after}"))
}

/// What stands below a heading.
fn standing(block: &str, heading: &str) -> Option<String> {
    let (_, below) = block.split_once(&format!("{heading}\n"))?;
    Some(below.split("\n### ").next().unwrap_or(below).to_owned())
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench")
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn what_was_run_is_replaced_and_the_rest_stays() {
        let text = "a\n<!-- figures: begin -->\n\n### Side by side\n\nold\n\n### What is remembered\n\n- old\n\n<!-- figures: end -->\nb\n";
        assert_eq!(replace(text, |_| None), Some(text.to_owned()));
        let state = |file: &str| (file == "state.md").then(|| "- new\n".to_owned());
        assert_eq!(replace(text, state), Some(text.replace("- old", "- new")));
        let router = |file: &str| (file == "router.md").then(|| "alone\n".to_owned());
        let between = text.replace("### What", "### The router alone\n\nalone\n\n### What");
        assert_eq!(replace(text, router), Some(between));
        assert_eq!(replace("no block", |_| None), None);
    }
}
