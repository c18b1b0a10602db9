//! Words that recur in what doors say of themselves. Nothing enters; schemas leave.

use schemas::limits::CHANNELS_PER_CONNECTION;
use utoipa::openapi::{Array, ArrayBuilder, ObjectBuilder, RefOr, Type};
use utoipa_axum::router::UtoipaMethodRouter;

/// A text of so many bytes at most.
pub fn text(bytes: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).max_length(Some(bytes))
}

/// One of these words.
pub fn one_of<const N: usize>(words: [&str; N]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

/// As many channels as a connection may have.
pub fn channels() -> Array {
    let channel = ObjectBuilder::new().schema_type(Type::String);
    ArrayBuilder::new().items(channel).max_items(Some(CHANNELS_PER_CONNECTION)).build()
}

/// A POST whose body may be left out. An `Option` would be described as one that may be JSON's null, which is refused.
pub fn may_be_empty<S>((schemas, mut paths, methods): UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    for post in paths.paths.values_mut().filter_map(|item| item.post.as_mut()) {
        if let Some(RefOr::T(body)) = &mut post.request_body {
            body.required = None;
        }
    }
    (schemas, paths, methods)
}
