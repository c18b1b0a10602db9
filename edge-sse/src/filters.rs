//! Filters that clients ask for, compiled once: the same text is the same filter for all of them.
//!
//! In: a client's text. Out: a filter, or a refusal that names what is wrong with it. What is kept is bounded; a filter that was let go is
//! compiled again, and the streams that have it keep it.

use moka::sync::Cache;
use policy::Filter;
use schemas::problem::Slug;

use crate::refusal::Refusal;

/// Filters that are kept: each has at most 1 KiB of text, and a program a few times as large.
const FILTERS_KEPT: u64 = 4_096;

/// The filters that were asked for lately.
#[derive(Debug)]
pub struct Filters {
    compiled: Cache<String, Filter>,
}

impl Filters {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self { compiled: Cache::new(FILTERS_KEPT) }
    }

    /// The filter of a text; none where it is empty.
    ///
    /// # Errors
    /// It is no filter; always a status of 400.
    pub fn of(&self, text: Option<&str>) -> Result<Option<Filter>, Refusal> {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        if let Some(filter) = self.compiled.get(text) {
            return Ok(Some(filter));
        }
        let filter = Filter::compile(text)
            .map_err(|error| Refusal::new(Slug::BadRequest, format!("the filter cannot be used: {error}")))?;
        self.compiled.insert(text.to_owned(), filter.clone());
        Ok(Some(filter))
    }
}
