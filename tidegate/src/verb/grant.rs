//! `tidegate grant`, `revoke` and `who`: what users are granted beside their tokens, through a running deployment or in Kafka itself.

use std::path::PathBuf;

use policy::grants::Change;
use schemas::audit::Entry;
use schemas::channel::ChannelPattern;
use schemas::grant::{Scope, User};
use schemas::id::{Label, Tenant};
use schemas::time::Timestamp;
use serde_json::Value;

use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::granting::{Granting, GrantingError, entry};
use crate::log::LogFlags;
use crate::verb::say;
use crate::{asking, audit};

/// Bytes of an answer that are read: a user's grants are far smaller, the users of a channel may be many.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The scope of everything.
const EVERYTHING: &str = "*";

/// Where the grants are.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// A deployment [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "TIDEGATE_TO", conflicts_with = "kafka")]
    to: Option<String>,
    #[command(flatten)]
    log: LogFlags,
    /// With --kafka: the tenant; over HTTP it is the token's
    #[arg(long, requires = "kafka", default_value = "default")]
    tenant: String,
    /// The token to send; it needs the role tidegate-admin
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A deployment's data directory: the token is signed with its key
    #[arg(long, value_name = "DIR", env = "TIDEGATE_DATA", conflicts_with = "token")]
    data: Option<PathBuf>,
    /// Print what is granted then as JSON
    #[arg(long)]
    json: bool,
}

/// Grant a user channels, labels or roles beside their token
#[derive(Debug, clap::Args)]
pub(crate) struct Grant {
    /// The user, as tokens name them in `sub`
    user: String,
    /// Channels: <kind>:<id>, <kind>:* or *
    channels: Vec<String>,
    /// A label; repeat it
    #[arg(long)]
    label: Vec<String>,
    /// A role; repeat it
    #[arg(long)]
    role: Vec<String>,
    /// Events of these channels since then are visible: RFC 3339, or `all` [default: from now on, or as the catalogue has it]
    #[arg(long, value_name = "TIME|all")]
    visible_from: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Take channels, labels or roles from a user, or everything where none is named
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// The user, as tokens name them in `sub`
    user: String,
    /// Channels: <kind>:<id>, <kind>:* or *
    channels: Vec<String>,
    /// A label that was granted; repeat it
    #[arg(long)]
    label: Vec<String>,
    /// A role that was granted; repeat it
    #[arg(long)]
    role: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Say what a user is granted, or who is granted a channel
#[derive(Debug, clap::Args)]
pub(crate) struct Who {
    /// A user, or a channel: what has a `:` is a channel
    about: String,
    /// It is a user all the same
    #[arg(long)]
    user: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn grant(args: Grant) -> Result<(), Failure> {
    let change = Change::Grant {
        channels: scopes(&args.channels)?,
        visible_from: args.visible_from.as_deref().map(visible_from).transpose()?,
        labels: labels(&args.label)?,
        roles: args.role,
    };
    args.place.change(&args.user, &change).await
}

pub(super) async fn revoke(args: Revoke) -> Result<(), Failure> {
    let all = args.channels.is_empty() && args.label.is_empty() && args.role.is_empty();
    let channels = if all { vec![EVERYTHING.to_owned()] } else { args.channels };
    let change = Change::Revoke { channels: scopes(&channels)?, labels: labels(&args.label)?, roles: args.role };
    args.place.change(&args.user, &change).await
}

pub(super) async fn who(args: Who) -> Result<(), Failure> {
    let found = match args.about.contains(':') && !args.user {
        true => args.place.of_channel(&ChannelPattern::parse(&args.about).map_err(usage)?).await?,
        false => args.place.of_user(&args.about).await?,
    };
    args.place.show(&found)
}

impl Place {
    async fn change(&self, user: &str, change: &Change) -> Result<(), Failure> {
        let changed = match self.granting()? {
            Some(granting) => {
                let user = self.user(user)?;
                self.record(entry(&user, change, "tidegate")).await?;
                granting.change(&user, change).await.map_err(failed)?
            }
            None => self.ask(reqwest::Method::POST, "user", user, Some(change)).await?,
        };
        self.show(&changed)
    }

    async fn of_user(&self, user: &str) -> Result<Value, Failure> {
        match self.granting()? {
            Some(granting) => granting.of_user(&self.user(user)?).await.map_err(failed),
            None => self.ask(reqwest::Method::GET, "user", user, None).await,
        }
    }

    async fn of_channel(&self, channel: &ChannelPattern) -> Result<Value, Failure> {
        match self.granting()? {
            Some(granting) => granting.of_channel(&self.tenant()?, channel).await.map_err(failed),
            None => self.ask(reqwest::Method::GET, "channel", &channel.to_string(), None).await,
        }
    }

    async fn record(&self, entry: Entry) -> Result<(), Failure> {
        let (config, _) = self.log.config()?;
        let recorder = audit::open(&config, &self.log.open()?)?;
        recorder.record(audit::by_operator(entry)).await.map_err(Failure::of)
    }

    fn granting(&self) -> Result<Option<Granting>, Failure> {
        self.log.is_kafka().then(|| self.log.open().map(|log| Granting::new(&log))).transpose()
    }

    fn tenant(&self) -> Result<Tenant, Failure> {
        Tenant::parse(&self.tenant).map_err(usage)
    }

    fn user(&self, sub: &str) -> Result<User, Failure> {
        User::new(self.tenant()?, sub).map_err(usage)
    }

    async fn ask(
        &self,
        method: reqwest::Method,
        name: &str,
        value: &str,
        body: Option<&Change>,
    ) -> Result<Value, Failure> {
        let url = asking::door(self.to.as_deref())?.join("/v1/grants");
        let mut url = url.map_err(Failure::of)?;
        url.query_pairs_mut().append_pair(name, value);
        let credentials = Credentials::of(self.token.clone(), self.data.clone());
        asking::json(asking::ask(method, url, &credentials, body).await?, ANSWER_BYTES).await
    }

    fn show(&self, found: &Value) -> Result<(), Failure> {
        if self.json { say(&found.to_string()) } else { lines(found).iter().try_for_each(|line| say(line)) }
    }
}

/// For people: one thing a line.
fn lines(found: &Value) -> Vec<String> {
    let all = |name: &str| found.get(name).and_then(Value::as_array).into_iter().flatten();
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let seen = |one: &Value| match one.get("visible_from").and_then(Value::as_str) {
        Some(from) => format!(", visible from {from}"),
        None => String::new(),
    };
    let users = all("users").map(|one| format!("{}\t{}", text(one, "user"), text(one, "standing")));
    let channels = all("channels")
        .map(|one| format!("channel\t{}\tgranted {}{}", text(one, "scope"), text(one, "granted_at"), seen(one)));
    let revoked = all("revoked").map(|one| format!("channel\t{}\trevoked {}", text(one, "scope"), text(one, "at")));
    let named = |kind: &str, one: &Value| format!("{kind}\t{}\tgranted {}", text(one, "name"), text(one, "granted_at"));
    let labels = all("labels").map(|one| named("label", one));
    let roles = all("roles").map(|one| named("role", one));
    let lines: Vec<String> = users.chain(channels).chain(revoked).chain(labels).chain(roles).collect();
    if lines.is_empty() { vec!["nothing is granted or revoked".to_owned()] } else { lines }
}

fn scopes(texts: &[String]) -> Result<Vec<Scope>, Failure> {
    texts.iter().map(|text| Scope::parse(text).map_err(|error| usage(format!("{text}: {error}")))).collect()
}

fn labels(texts: &[String]) -> Result<Vec<Label>, Failure> {
    texts.iter().map(|text| Label::parse(text).map_err(|error| usage(format!("{text}: {error}")))).collect()
}

/// `all` is before every time.
fn visible_from(text: &str) -> Result<Timestamp, Failure> {
    match text {
        "all" => Ok(Timestamp::from_millis(0)),
        text => Timestamp::parse(text).map_err(usage),
    }
}

fn usage(error: impl std::fmt::Display) -> Failure {
    Failure::Usage(vec![error.to_string()])
}

fn failed(error: GrantingError) -> Failure {
    match error {
        GrantingError::Change(error) => usage(error),
        GrantingError::Unavailable(detail) => Failure::Failed(detail),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_granted_is_a_line_each() {
        let grant = json!({
            "channels": [{"scope": "team:a", "granted_at": "T1", "visible_from": null}, {"scope": "b:*", "granted_at": "T1", "visible_from": "T0"}],
            "revoked": [{"scope": "*", "at": "T2"}],
            "labels": [{"name": "health", "granted_at": "T3"}],
            "roles": [],
        });
        let wanted = [
            "channel\tteam:a\tgranted T1",
            "channel\tb:*\tgranted T1, visible from T0",
            "channel\t*\trevoked T2",
            "label\thealth\tgranted T3",
        ];
        assert_eq!(lines(&grant), wanted);
        assert_eq!(lines(&json!({"users": [{"user": "ada", "standing": "revoked"}]})), ["ada\trevoked"]);
        assert_eq!(lines(&json!({"users": []})), ["nothing is granted or revoked"]);
    }
}
