//! `tidegate token`: a token for trying and for services, signed with a deployment's key.

use std::path::PathBuf;
use std::time::Duration;

use policy::{ChannelGrants, Claims, Signer};
use schemas::id::{Label, Tenant};
use schemas::time::Timestamp;

use crate::failure::Failure;
use crate::key;
use crate::verb::say;

/// Print a token, signed with a deployment's key.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Who: the user or the service
    #[arg(long, value_name = "S")]
    sub: String,
    /// Whose channels
    #[arg(long, value_name = "T")]
    tenant: Option<String>,
    /// Who issues it, as `iss`; none needed for a deployment's own key
    #[arg(long, value_name = "I")]
    issuer: Option<String>,
    /// A role of a catalogue; repeat it
    #[arg(long, value_name = "R")]
    role: Vec<String>,
    /// A label beside those of the roles; repeat it
    #[arg(long, value_name = "L")]
    label: Vec<String>,
    /// Where they are, for events of some regions only; repeat it
    #[arg(long, value_name = "R")]
    region: Vec<String>,
    /// Narrows or grants subscribing to a channel or <kind>:*; repeat it
    #[arg(long, value_name = "PATTERN")]
    subscribe: Vec<String>,
    /// Narrows or grants publishing to a channel or <kind>:*; repeat it
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<String>,
    /// How long it is valid: seconds, or with s, m, h or d behind
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
    /// The deployment's data directory; its key is made where there is none
    #[arg(long, value_name = "DIR", env = "TIDEGATE_DATA", default_value = "./tidegate-data")]
    data: PathBuf,
    /// The key: a PEM is RS256, anything else an HS256 secret
    #[arg(long, value_name = "FILE", env = "TIDEGATE_KEY")]
    key: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let key = key::read_or_make(args.key.as_deref(), &args.data)?;
    let now = Timestamp::now();
    let signer = Signer::from_key(&key).map_err(Failure::of)?;
    let token = args.claims(now).and_then(|claims| signer.sign(&claims, now)).map_err(Failure::of)?;
    say(&token)
}

impl Args {
    fn claims(&self, now: Timestamp) -> Result<Claims, policy::TokenError> {
        let malformed = |_| policy::TokenError::Malformed;
        let tenant = self.tenant.as_deref().map(Tenant::parse).transpose().map_err(malformed)?;
        let labels: Result<_, _> = self.label.iter().map(|label| Label::parse(label)).collect();
        let patterns = |given: &[String]| (!given.is_empty()).then(|| given.to_vec());
        Ok(Claims {
            issuer: self.issuer.clone(),
            sub: Some(self.sub.clone()),
            tenant: tenant.unwrap_or_else(Tenant::default_tenant),
            roles: self.role.iter().cloned().collect(),
            labels: labels.map_err(malformed)?,
            regions: self.region.iter().cloned().collect(),
            channels: ChannelGrants { subscribe: patterns(&self.subscribe), publish: patterns(&self.publish) },
            exp: Some(now.plus(self.ttl)),
        })
    }
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds: u64 = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("use seconds, or s, m, h or d behind a number".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a duration begins with a whole number".to_owned())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_has_a_unit() {
        let said = |text: &str| parse_ttl(text).ok().map(|ttl| ttl.as_secs());
        assert_eq!(
            [said("90"), said("5m"), said("1h"), said("7d"), said("30s")],
            [Some(90), Some(300), Some(3_600), Some(604_800), Some(30)]
        );
        assert_eq!([said(""), said("h"), said("1w"), said("-1h"), said("99999999999999999999d")], [None; 5]);
    }
}
