//! The parameters of the doors that readers come in by, for `/openapi.json`. Only described: [`crate::ask`] reads them, and a test compares the
//! names.

#![allow(dead_code, reason = "only described")]

use utoipa::{IntoParams, ToSchema};

/// What is read.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Channels {
    /// `<kind>:<id>`, or `<kind>:*` for all of a kind; repeat it, up to 64. May be left out where `resume` names a device that keeps some.
    #[param(max_items = 64)]
    channel: Option<Vec<String>>,
}

/// What a WebSocket reads from the start.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SocketChannels {
    /// `<kind>:<id>`, or `<kind>:*` for all of a kind; repeat it, up to 64.
    #[param(max_items = 64)]
    channel: Option<Vec<String>>,
}

/// How a stream writes events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Named {
    /// 1 writes `event: <type>`.
    #[param(inline)]
    named: Option<One>,
}

/// Where a reader goes on.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct GoesOn {
    /// A position: the stream goes on behind it. At most 1,024 bytes.
    #[param(rename = "Last-Event-ID", max_length = 1024)]
    last_event_id: Option<String>,
}

/// Where a reader begins, what they want of it, and who they are.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Begins {
    /// As the header, which wins; empty counts as absent; `earliest` is the earliest that is kept. Also `last_event_id` and `lastEvent`.
    #[param(rename = "lastEventId", max_length = 1024)]
    last_event_id: Option<String>,
    /// CEL over the event as this reader gets it (`data`, `event`, `channel`): only events of which it is true. No macros, no `matches`.
    #[param(max_length = 1024, example = "data.delta > 1000")]
    filter: Option<String>,
    /// RFC 3339, or milliseconds since 1970.
    since: Option<String>,
    /// The last N of each channel, or a duration such as `30s`.
    rewind: Option<String>,
    /// A device: begins where it acknowledged last, unless another start is given.
    #[param(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    resume: Option<String>,
    /// Of POST /v1/tickets.
    ticket: Option<String>,
    /// A token, where `edge.token_in_query` is set.
    access_token: Option<String>,
}

/// Who opens a WebSocket.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Token {
    /// A ticket; a token, where `edge.token_in_query` is set.
    token: Option<String>,
}

#[derive(ToSchema)]
enum One {
    #[schema(rename = "1")]
    One,
}
