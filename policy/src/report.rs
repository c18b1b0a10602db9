//! What is wrong with a catalogue: every problem with its file and line, told all at once.
//!
//! In: problems, as they are found. Out: [`CatalogueErrors`], sorted by file and line. It never stops at the first.

use std::fmt::Display;
use std::sync::Arc;

/// Everything that is wrong, each with file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines.join("\n"))]
pub struct CatalogueErrors {
    /// `file:line: what is wrong`, sorted by file and line.
    pub lines: Vec<String>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    /// 1-based.
    pub(crate) line: u64,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// The problems found so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Report {
    problems: Vec<(Place, String)>,
}

impl Report {
    pub(crate) fn add(&mut self, place: &Place, problem: impl Display) {
        self.problems.push((place.clone(), problem.to_string()));
    }

    /// Takes the value, or says what is wrong with it.
    pub(crate) fn check<T, E: Display>(&mut self, place: &Place, result: Result<T, E>) -> Option<T> {
        result.map_err(|problem| self.add(place, problem)).ok()
    }

    /// # Errors
    /// Anything was wrong.
    pub(crate) fn finish(mut self) -> Result<(), CatalogueErrors> {
        self.problems.sort();
        self.problems.dedup();
        let lines: Vec<_> = self.problems.iter().map(|(place, problem)| format!("{place}: {problem}")).collect();
        if lines.is_empty() { Ok(()) } else { Err(CatalogueErrors { lines }) }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
