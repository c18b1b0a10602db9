//! Who publishes, and whether policy lets them: a token's claims bind the event's tenant and principal.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use policy::channel_rule::Refusal;
use policy::{Catalogues, Claims, Verifier};
use schemas::event::Attributes;
use schemas::id::Tenant;
use schemas::time::Timestamp;

use crate::error::AdmitError;

/// The claims of the request's token; anonymous where there is none.
pub(crate) fn bearer(verifier: &Verifier, headers: &HeaderMap, now: Timestamp) -> Result<Claims, AdmitError> {
    let authorization = headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes);
    Ok(verifier.bearer(authorization, now)?)
}

/// Lets an event in under these claims: it gets their tenant and their principal, whatever it said itself.
pub(crate) fn admit(catalogues: &Catalogues, claims: &Claims, event: &mut Attributes) -> Result<(), AdmitError> {
    if event.tenant != claims.tenant && event.tenant != Tenant::default_tenant() {
        return Err(AdmitError::OtherTenant);
    }
    let channel = || event.channel.to_string();
    match catalogues.may_publish(claims, &event.channel) {
        Ok(()) => {}
        Err(Refusal::UnknownKind) => {
            return Err(AdmitError::UnknownKind { kind: event.channel.kind().to_owned() });
        }
        Err(Refusal::Forbidden) if claims.sub.is_none() && *claims == Claims::anonymous() => {
            return Err(AdmitError::NoToken { channel: channel() });
        }
        Err(Refusal::Forbidden) => return Err(AdmitError::Forbidden { channel: channel() }),
    }
    event.tenant = claims.tenant.clone();
    event.principal.clone_from(&claims.sub);
    Ok(())
}
