//! A body that is written in pieces, coded as its request asked, each piece readable at once.

use std::sync::{Arc, PoisonError};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, header};

use crate::edge::Shared;
use crate::encoding::{Encoder, Encoding};

/// Makes pieces the body of an answer, in the coding that the request's headers ask for.
pub fn answer(
    shared: &Arc<Shared>,
    asked: &HeaderMap,
    pieces: impl Stream<Item = Bytes> + Send + 'static,
    respond: impl FnOnce(Body) -> Response,
) -> Response {
    let wanted = Encoding::of(asked);
    let (encoding, encoder) = match Encoder::new(wanted) {
        Ok(encoder) => (wanted, encoder),
        Err(error) => {
            tracing::warn!(%error, ?wanted, "a coding cannot be begun; the answer goes without");
            (Encoding::Identity, Encoder::Identity)
        }
    };
    let body = match encoding {
        Encoding::Identity => Body::from_stream(pieces.map(Ok::<_, std::io::Error>)),
        Encoding::Gzip | Encoding::Zstd => Body::from_stream(coded(shared.clone(), encoder, pieces)),
    };
    let mut answer = respond(body);
    name(encoding, &mut answer);
    answer
}

/// Says in an answer's head how its body is coded.
pub fn name(encoding: Encoding, answer: &mut Response) {
    if let Some(name) = encoding.name() {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
}

fn coded(
    shared: Arc<Shared>,
    mut encoder: Encoder,
    pieces: impl Stream<Item = Bytes> + Send + 'static,
) -> impl Stream<Item = std::io::Result<Bytes>> {
    async_stream::try_stream! {
        let mut pieces = std::pin::pin!(pieces);
        while let Some(text) = pieces.next().await {
            yield piece(&shared, &mut encoder, text)?;
        }
        yield encoder.finish()?;
    }
}

fn piece(shared: &Shared, encoder: &mut Encoder, text: Bytes) -> std::io::Result<Bytes> {
    let mut deflater = shared.deflater.lock().unwrap_or_else(PoisonError::into_inner);
    encoder.piece(text, &mut deflater)
}
