//! What a token says of its bearer.

use std::collections::BTreeSet;

use schemas::id::{Label, Tenant};
use schemas::time::Timestamp;

/// A bearer, as policy sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user or service; none for the anonymous.
    pub sub: Option<String>,
    /// The tenant; `default` where the token names none.
    pub tenant: Tenant,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Labels held directly, beside those of the roles.
    pub labels: BTreeSet<Label>,
    /// Channels that the token itself grants or narrows to.
    pub channels: ChannelGrants,
    /// When the token ends.
    pub exp: Option<Timestamp>,
}

/// Patterns of channels in a token; none means that the token says nothing and the catalogue alone decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelGrants {
    /// May be subscribed to.
    pub subscribe: Option<Vec<String>>,
    /// May be published to.
    pub publish: Option<Vec<String>>,
}

impl Claims {
    /// Nobody in particular, of the default tenant.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            sub: None,
            tenant: Tenant::default_tenant(),
            roles: BTreeSet::new(),
            labels: BTreeSet::new(),
            channels: ChannelGrants::default(),
            exp: None,
        }
    }
}
