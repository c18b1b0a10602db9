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

/// Rewrites the block of the README from what was kept; parts that were never run are left out.
///
/// # Errors
/// The README has no such block, or cannot be written.
pub(crate) fn write() -> Result<(), Failure> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&readme).map_err(Failure::system("reading the README"))?;
    let parts = PARTS.iter().filter_map(|(file, heading)| {
        let part = std::fs::read_to_string(kept().join(file)).ok()?;
        Some(format!("{heading}\n\n{}\n", part.trim_end()))
    });
    let written = replace(&text, &parts.collect::<Vec<_>>().join("\n"));
    let written = written.ok_or_else(|| Failure::Usage(format!("{} has no block to write", readme.display())))?;
    std::fs::write(&readme, written).map_err(Failure::system("writing the README"))
}

fn replace(text: &str, block: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{block}\n{END}{after}"))
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench")
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn only_the_block_is_replaced() {
        let text = "a\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nb\n";
        let written = replace(text, "new\n").unwrap();
        assert_eq!(written, "a\n<!-- figures: begin -->\n\nnew\n\n<!-- figures: end -->\nb\n");
        assert_eq!(replace(&written, "new\n"), Some(written.clone()));
        assert_eq!(replace("no block", "new"), None);
    }
}
