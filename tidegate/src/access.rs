//! The access log: method, path, the names of query parameters, status and time of every request. Never a value of the query, never
//! a header, so never a token.

use std::time::Instant;

use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::Next;
use axum::response::Response;

/// Bytes of a path that are logged.
const PATH_BYTES: usize = 256;
/// Doors that are asked all the time; they are logged at debug.
const QUIET: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Logs a request when its answer's head is known.
pub(crate) async fn log(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    let (path, query) = (path(&uri), parameters(&uri));
    let (status, ms) = (response.status().as_u16(), begun.elapsed().as_millis());
    if QUIET.contains(&uri.path()) {
        tracing::debug!(target: "tidegate::access", %method, path, query, status, ms, "request");
    } else {
        tracing::info!(target: "tidegate::access", %method, path, query, status, ms, "request");
    }
    response
}

fn path(uri: &Uri) -> &str {
    let path = uri.path();
    path.get(..path.floor_char_boundary(PATH_BYTES)).unwrap_or(path)
}

/// The names of the query's parameters, e.g. `channel,access_token`.
fn parameters(uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let mut joined = names.collect::<Vec<_>>().join(",");
    joined.truncate(joined.floor_char_boundary(PATH_BYTES));
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_query_is_logged() {
        let uri: Uri = "/v1/stream?channel=wiki:en&access_token=secret&named".parse().unwrap();
        assert_eq!((path(&uri), parameters(&uri).as_str()), ("/v1/stream", "channel,access_token,named"));
    }
}
