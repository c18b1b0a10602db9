//! What a token says of its bearer.
//!
//! In: a verified token's words. Out: the bearer, as policy sees them. It never looks at a signature or a clock.

use std::collections::BTreeSet;

use schemas::audit::Who;
use schemas::channel::{Channel, ChannelPattern};
use schemas::id::{Label, Tenant};
use schemas::time::Timestamp;
use serde::Deserialize;

/// The pattern that covers every channel.
const EVERY_CHANNEL: &str = "*";

/// The role of administrators: those of a tenant see and change what its users are granted, and see where its users stand.
pub const ADMINISTRATOR: &str = "tidegate-admin";

/// A bearer, as policy sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who vouches for all this, by name; none for the holder of the deployment's own key, and for the anonymous.
    pub issuer: Option<String>,
    /// The user or service; none for the anonymous.
    pub sub: Option<String>,
    /// The tenant; `default` where the token names none.
    pub tenant: Tenant,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Labels held directly, beside those of the roles.
    pub labels: BTreeSet<Label>,
    /// Where the bearer is, for events that are for some regions only.
    pub regions: BTreeSet<String>,
    /// Channels that the token narrows its bearer to.
    pub channels: ChannelGrants,
    /// When the token ends.
    pub exp: Option<Timestamp>,
}

/// Patterns of channels in a token; none means that the token says nothing and the catalogue alone decides.
///
/// A list that is there *narrows*: a channel outside it is forbidden, whatever the catalogue says. It never widens: the
/// catalogue's rule must still say yes (a rule may read the lists as `claims.channels.subscribe` and `.publish`). An empty
/// list therefore forbids everything. A pattern is a channel, `<kind>:*`, or `*`; one of another form covers nothing.
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
            issuer: None,
            sub: None,
            tenant: Tenant::default_tenant(),
            roles: BTreeSet::new(),
            labels: BTreeSet::new(),
            regions: BTreeSet::new(),
            channels: ChannelGrants::default(),
            exp: None,
        }
    }

    /// Whether nobody has vouched for them: every token has an end.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.exp.is_none() && self.sub.is_none()
    }

    /// Who this is, as the audit says it.
    #[must_use]
    pub fn who(&self) -> Who {
        Who::new(&self.tenant, self.sub.as_deref(), self.issuer.as_deref())
    }

    /// Whether both are the same user or service, for whom the same issuer vouches.
    #[must_use]
    pub fn is_same_bearer(&self, other: &Self) -> bool {
        (&self.issuer, &self.tenant, &self.sub) == (&other.issuer, &other.tenant, &other.sub)
    }
}

/// Claims as JSON says them; `exp` and its like are of no matter here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    sub: Option<String>,
    tenant: Tenant,
    roles: BTreeSet<String>,
    labels: BTreeSet<Label>,
    regions: BTreeSet<String>,
    channels: WrittenGrants,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenGrants {
    subscribe: Option<Vec<String>>,
    publish: Option<Vec<String>>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            sub: None,
            tenant: Tenant::default_tenant(),
            roles: BTreeSet::new(),
            labels: BTreeSet::new(),
            regions: BTreeSet::new(),
            channels: WrittenGrants::default(),
        }
    }
}

impl Claims {
    /// Somebody, from JSON such as `{"sub": "ada", "roles": ["member"]}`: for explanations, where nobody has to be believed.
    ///
    /// # Errors
    /// It is no such object.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let Written { sub, tenant, roles, labels, regions, channels } = serde_json::from_str(text)?;
        let channels = ChannelGrants { subscribe: channels.subscribe, publish: channels.publish };
        Ok(Self { sub, tenant, roles, labels, regions, channels, ..Self::anonymous() })
    }
}

impl ChannelGrants {
    /// Whether the token leaves room for this subscription. `<kind>:*` needs `<kind>:*` or `*`: a list of single channels
    /// never covers it.
    #[must_use]
    pub fn leaves_subscribe(&self, wanted: &ChannelPattern) -> bool {
        leaves(self.subscribe.as_deref(), |pattern| covers(pattern, wanted))
    }

    /// Whether the token leaves room for publishing to this channel.
    #[must_use]
    pub fn leaves_publish(&self, wanted: &Channel) -> bool {
        leaves(self.publish.as_deref(), |pattern| pattern.covers(wanted))
    }

    /// Only those of a list that these leave, for reading and for publishing: a list never widens.
    #[must_use]
    pub(crate) fn narrowed_to(&self, list: &[ChannelPattern]) -> Self {
        let left = |held: Option<&[String]>| {
            let left = list.iter().filter(|wanted| leaves(held, |pattern| covers(pattern, wanted)));
            Some(left.map(ToString::to_string).collect())
        };
        Self { subscribe: left(self.subscribe.as_deref()), publish: left(self.publish.as_deref()) }
    }

    /// Whether a text is a pattern at all.
    #[must_use]
    pub fn is_pattern(text: &str) -> bool {
        text == EVERY_CHANNEL || ChannelPattern::parse(text).is_ok()
    }
}

fn covers(pattern: &ChannelPattern, wanted: &ChannelPattern) -> bool {
    match wanted {
        ChannelPattern::One(channel) => pattern.covers(channel),
        ChannelPattern::Kind(_) => pattern == wanted,
    }
}

fn leaves(patterns: Option<&[String]>, covers: impl Fn(&ChannelPattern) -> bool) -> bool {
    patterns.is_none_or(|patterns| {
        patterns.iter().any(|text| text == EVERY_CHANNEL || ChannelPattern::parse(text).is_ok_and(|p| covers(&p)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn subscribe(patterns: &[&str], wanted: &str) -> bool {
        let list = patterns.iter().map(|p| (*p).to_owned()).collect();
        let grants = ChannelGrants { subscribe: Some(list), publish: None };
        grants.leaves_subscribe(&ChannelPattern::parse(wanted).unwrap())
    }

    #[test]
    fn a_list_of_patterns_narrows_and_an_empty_one_forbids() {
        assert!(subscribe(&["wiki:en"], "wiki:en"));
        assert!(subscribe(&["wiki:*"], "wiki:en"));
        assert!(subscribe(&["wiki:*"], "wiki:*"));
        assert!(subscribe(&["*"], "wiki:*"));
        assert!(!subscribe(&["wiki:en"], "wiki:*"));
        assert!(!subscribe(&["wiki:en"], "wiki:en/talk"));
        assert!(!subscribe(&["user:*"], "wiki:en"));
        assert!(!subscribe(&[], "wiki:en"));
        assert!(!subscribe(&["wiki", "wiki:", "**", "wi*:en"], "wiki:en"));
        assert!(ChannelGrants::default().leaves_subscribe(&ChannelPattern::parse("wiki:*").unwrap()));
        assert!(ChannelGrants::default().leaves_publish(&Channel::parse("wiki:en").unwrap()));
    }
}
