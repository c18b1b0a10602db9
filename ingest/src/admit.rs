//! Who publishes, and whether policy lets them: a token's claims bind the event's tenant and principal.

use axum::http::request::Parts;
use policy::channel_rule::Refusal;
use policy::{Act, AdmitRefusal, Catalogues, Claims, Doorkeeper, Presented};
use schemas::event::Attributes;
use schemas::time::Timestamp;

use crate::error::AdmitError;
use crate::metrics;

/// The claims of the request's bearer; anonymous where it presents nothing.
pub(crate) async fn identify(doorkeeper: &Doorkeeper, head: &Parts, now: Timestamp) -> Result<Claims, AdmitError> {
    let presented = Presented::new(&head.headers, &head.uri, Act::Change);
    let claims = doorkeeper.identify(presented, now).await;
    Ok(claims.inspect_err(|error| metrics::identity_refused(*error))?)
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
            AdmitRefusal::Channel(Refusal::Forbidden) if claims.is_anonymous() => {
                AdmitError::NoToken { channel: channel() }
            }
            AdmitRefusal::Channel(Refusal::Forbidden) => AdmitError::Forbidden { channel: channel() },
        }
    })
}
