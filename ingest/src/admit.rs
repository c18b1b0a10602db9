//! Who publishes, and whether policy lets them: a token's claims bind the event's tenant and principal.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use policy::channel_rule::Refusal;
use policy::{AdmitRefusal, Catalogues, Claims, Verifier};
use schemas::event::Attributes;
use schemas::time::Timestamp;

use crate::error::AdmitError;

/// The claims of the request's token; anonymous where there is none.
pub(crate) fn bearer(verifier: &Verifier, headers: &HeaderMap, now: Timestamp) -> Result<Claims, AdmitError> {
    let authorization = headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes);
    Ok(verifier.bearer(authorization, now)?)
}

/// Lets an event in under these claims, by [`Catalogues::admit`].
pub(crate) fn admit(catalogues: &Catalogues, claims: &Claims, event: &mut Attributes) -> Result<(), AdmitError> {
    catalogues.admit(claims, event).map_err(|refused| {
        let channel = || event.channel.to_string();
        match refused {
            AdmitRefusal::OtherTenant => AdmitError::OtherTenant,
            AdmitRefusal::Channel(Refusal::UnknownKind) => {
                AdmitError::UnknownKind { kind: event.channel.kind().to_owned() }
            }
            AdmitRefusal::Channel(Refusal::Forbidden) if *claims == Claims::anonymous() => {
                AdmitError::NoToken { channel: channel() }
            }
            AdmitRefusal::Channel(Refusal::Forbidden) => AdmitError::Forbidden { channel: channel() },
        }
    })
}
