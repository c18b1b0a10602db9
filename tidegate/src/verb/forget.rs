//! `tidegate forget` and `tidegate export`: a person is erased, or given out, by a running deployment: its edges must let go of them, and it
//! says to others that they are gone, so that there is no way around it into the store itself.

use std::path::PathBuf;

use bytes::BytesMut;
use reqwest::{Method, Response, Url};
use serde_json::Value;

use crate::asking;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::verb::say;

/// Bytes of a report.
const REPORT_BYTES: usize = 1024 * 1024;
/// Bytes of one line of an export: far more than a row has.
const LINE_BYTES: usize = 1024 * 1024;

/// Where, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// A deployment: an edge of it, or `tidegate up` [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "TIDEGATE_TO")]
    to: Option<String>,
    /// The token to send; it needs the role tidegate-admin, and its tenant is the user's
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A deployment's data directory: the token is signed with its key
    #[arg(long, value_name = "DIR", env = "TIDEGATE_DATA", conflicts_with = "token")]
    data: Option<PathBuf>,
    /// With --data: the user's tenant [default: default]
    #[arg(long, conflicts_with = "token")]
    tenant: Option<String>,
}

/// Erase everything that is kept of a user, and prove it
#[derive(Debug, clap::Args)]
pub(crate) struct Forget {
    /// The user, as tokens name them in `sub`
    user: String,
    #[command(flatten)]
    place: Place,
    /// Print what was erased as JSON
    #[arg(long)]
    json: bool,
}

/// Print everything that is kept of a user, one JSON object a line
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The user, as tokens name them in `sub`
    user: String,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn forget(args: Forget) -> Result<(), Failure> {
    let erased = asking::json(args.place.ask(Method::DELETE, &args.user).await?, REPORT_BYTES).await?;
    if args.json { say(&erased.to_string()) } else { lines(&erased).iter().try_for_each(|line| say(line)) }
}

pub(super) async fn export(args: Export) -> Result<(), Failure> {
    let mut answer = args.place.ask(Method::GET, &args.user).await?;
    let mut last = None;
    let mut pending = BytesMut::new();
    while let Some(chunk) = next(&mut answer).await? {
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line = pending.split_to(end + 1);
            let line = std::str::from_utf8(&line).map_err(Failure::of)?.trim_end();
            say(line)?;
            last = serde_json::from_str::<Value>(line).ok();
        }
        if pending.len() > LINE_BYTES {
            return Err(Failure::Failed(format!("a line has more than {LINE_BYTES} bytes")));
        }
    }
    let whole = last.is_some_and(|last| last.get("rows").is_some());
    if whole { Ok(()) } else { Err(cut("it ended before its last line")) }
}

impl Place {
    async fn ask(&self, method: Method, user: &str) -> Result<Response, Failure> {
        let url = of_user(asking::door(self.to.as_deref())?, user)?;
        let tenant = asking::tenant(self.tenant.as_deref())?;
        let credentials = Credentials::of(self.token.clone(), self.data.clone()).of_tenant(tenant);
        asking::ask(method, url, &credentials, None::<&()>).await
    }
}

async fn next(answer: &mut Response) -> Result<Option<bytes::Bytes>, Failure> {
    answer.chunk().await.map_err(|error| cut(crate::target::chain(&error)))
}

fn cut(why: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("the export is not whole: {why}; ask again"))
}

/// A name may hold whatever a path does not.
fn of_user(mut url: Url, user: &str) -> Result<Url, Failure> {
    let unfit = Failure::Usage(vec![format!("--to {url}: it can have no path")]);
    url.path_segments_mut().map_err(|()| unfit)?.clear().extend(["v1", "users", user]);
    Ok(url)
}

/// For people: a table a line.
fn lines(erased: &Value) -> Vec<String> {
    let tables = erased.get("tables").and_then(Value::as_array).into_iter().flatten();
    let rows = |table: &Value, name: &str| table.get(name).and_then(Value::as_u64).unwrap_or_default();
    let name = |table: &Value| table.get("table").and_then(Value::as_str).unwrap_or_default().to_owned();
    tables
        .map(|table| format!("{}\t{} erased\t{} left", name(table), rows(table, "erased"), rows(table, "left")))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_erased_is_a_line_each() {
        let erased = json!({"tables": [{"table": "cursors", "erased": 3, "left": 0}, {"table": "grants", "erased": 1, "left": 0}]});
        assert_eq!(lines(&erased), ["cursors\t3 erased\t0 left", "grants\t1 erased\t0 left"]);
    }

    #[test]
    fn a_user_is_one_part_of_the_path_whatever_their_name() {
        let url = |user: &str| of_user(Url::parse("http://edge:8080").unwrap(), user).unwrap().to_string();
        assert_eq!(url("ada"), "http://edge:8080/v1/users/ada");
        assert_eq!(url("a/b?c d"), "http://edge:8080/v1/users/a%2Fb%3Fc%20d");
    }
}
