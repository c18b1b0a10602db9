//! What `GET /v1/events` takes beside what every door takes, and what it answers, for `/openapi.json`. Only described: [`super::ask`] reads it,
//! [`super::text`] writes it.

#![allow(dead_code, reason = "only described")]

use schemas::cloudevent::Described as CloudEvent;
use utoipa::{IntoParams, ToSchema};

use crate::gap::Gap;
use crate::subscription::Refused;

/// How much of what.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Pages {
    /// A position, or `earliest`.
    #[param(max_length = 1024)]
    after: Option<String>,
    /// How long to wait where there is nothing, e.g. `25s` or `500ms`; at most 60 s.
    #[param(default = "0s")]
    wait: Option<String>,
    /// Events at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// Events, and where to go on.
#[derive(ToSchema)]
#[schema(as = Page)]
pub struct Page {
    events: Vec<Positioned>,
    /// Where to go on.
    #[schema(max_length = 1024)]
    position: String,
    gaps: Vec<Gap>,
    #[schema(inline, nullable = false)]
    refused: Option<Vec<Refused>>,
}

/// An event where it stands.
#[derive(ToSchema)]
#[schema(as = Positioned)]
pub struct Positioned {
    /// Where a reader goes on who has this event.
    #[schema(max_length = 1024)]
    position: String,
    #[schema(nullable = false)]
    event: Option<CloudEvent>,
}
