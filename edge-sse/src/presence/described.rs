//! What presence is asked with, and answered by, for `/openapi.json`. Only described, but for [`Kept`].

use serde::Serialize;
use store::limits::CUSTOM_BYTES;
use store::{DeviceKind, Status};
use utoipa::openapi::Object;
use utoipa::{IntoParams, ToSchema};

use crate::described::{one_of, text};

/// Who is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub struct WhoIsAsked {
    /// Those who are there.
    #[param(max_length = 256)]
    channel: Option<String>,
    /// Repeat it, up to 64.
    #[param(max_items = 64)]
    user: Option<Vec<String>>,
}

/// How they are.
#[derive(ToSchema)]
#[schema(as = Presences)]
#[allow(dead_code, reason = "only described")]
pub struct Seen {
    #[schema(inline)]
    users: Vec<SeenUser>,
    /// There are more in the channel than are shown.
    #[schema(nullable = false)]
    more: Option<bool>,
    /// The store does not answer: as it was shown last.
    #[schema(nullable = false)]
    stale: Option<bool>,
}

/// A user, as far as the asker may see: what the type shows by which the channel's kind tells of presence.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only described")]
struct SeenUser {
    user_id: String,
    #[schema(schema_with = statuses_shown)]
    status: String,
}

/// What a user has said, as it is kept. In the order of the alphabet, as its fields have always stood.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeptPresence)]
pub struct Kept {
    /// In their own words.
    #[schema(required)]
    pub custom: Option<String>,
    /// On what.
    #[schema(schema_with = devices)]
    pub device: DeviceKind,
    /// How they are.
    #[schema(schema_with = statuses_said)]
    pub status: Status,
    /// Who.
    pub user_id: String,
}

/// How one may say to be.
pub fn statuses_said() -> Object {
    use Status::{Away, Busy, Invisible, Offline, Online};
    one_of([Online, Away, Busy, Offline, Invisible].map(Status::as_str)).build()
}

/// What one may say it on.
pub fn devices() -> Object {
    use DeviceKind::{Desktop, Mobile, Web};
    one_of([Web, Mobile, Desktop].map(DeviceKind::as_str)).default(Some(Web.as_str().into())).build()
}

/// In one's own words.
pub fn custom() -> Object {
    text(CUSTOM_BYTES).build()
}

fn statuses_shown() -> Object {
    use Status::{Away, Busy, Offline, Online};
    one_of([Online, Away, Busy, Offline].map(Status::as_str)).build()
}
