//! The catalogues that ship come to life with `up --catalogue NAME`, and `explain` says why an event is seen.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

struct Up {
    child: Child,
    url: String,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(args).current_dir(directory).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn up(directory: &Path, catalogue: &str) -> Up {
    let args = ["up", "--listen", "127.0.0.1:0", "--data", "data", "--log", "warn", "--catalogue", catalogue];
    let mut child = command(directory, &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    Up { child, url: first.trim().strip_prefix("listening on ").unwrap().to_owned() }
}

fn said(directory: &Path, args: &[&str]) -> String {
    let output = command(directory, args).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The first event that a bearer of these flags gets of a channel.
fn first_event(catalogue: &str, channel: &str, bearer: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let up = up(directory.path(), catalogue);
    let token = said(directory.path(), &[&["token", "--data", "data"], bearer].concat());
    let args = ["tail", channel, "--json", "--count", "1", "--from", "earliest", "--to", &up.url, "--token", &token];
    let line = said(directory.path(), &args);
    serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{catalogue}: {error}: {line}"))["event"].clone()
}

#[test]
fn every_catalogue_that_makes_up_events_is_alive_and_withholds_what_it_says() {
    let goal = first_event("teamwork", "goal:*", &["--sub", "ada", "--role", "member"]);
    assert_eq!((&goal["type"], &goal["data"]["note"]), (&json!("goal.updated"), &Value::Null));
    let risk = first_event("wellbeing", "therapist:tom", &["--sub", "dr-o", "--role", "oncall"]);
    assert_eq!(
        (&risk["lane"], &risk["data"]["phone"], &risk["data"]["client_name"]),
        (&json!("high"), &json!("****4567"), &Value::Null)
    );
    let mine = first_event("athlete", "athlete:mia", &["--sub", "mia", "--role", "athlete"]);
    assert!(mine["subject"] == json!("athlete:mia"));
    let home = first_event("home", "home:*", &["--sub", "pat", "--role", "resident"]);
    assert!(home["subject"].as_str().unwrap().starts_with("home:"));
}

#[test]
fn a_device_is_shown_in_its_room_and_rows_are_written_where_they_fit() {
    let directory = tempfile::tempdir().unwrap();
    let reference = |args: &[&str]| {
        let more = ["--data", "data", "--catalogue", "home"];
        command(directory.path(), &[&["reference"], args, &more].concat()).output().unwrap()
    };
    assert_eq!(reference(&["put", "devices", "kitchen/lamp", r#"{"place": "x"}"#]).status.code(), Some(64));
    assert_eq!(reference(&["put", "rooms", "kitchen/lamp", "{}"]).status.code(), Some(64), "nobody declares it");
    for device in ["kitchen/lamp", "kitchen/oven", "hall/door"] {
        let row = json!({"room": format!("of the {device}"), "owner": "pat"}).to_string();
        assert!(reference(&["put", "devices", device, &row]).status.success());
    }
    assert!(reference(&["put", "devices", "hall/door", "null"]).status.success());
    let listed = String::from_utf8(reference(&["list", "devices"]).stdout).unwrap();
    let keys: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone()).collect();
    assert_eq!(keys, ["kitchen/lamp", "kitchen/oven"]);

    let up = up(directory.path(), "home");
    let token = said(directory.path(), &["token", "--data", "data", "--sub", "pat", "--role", "resident"]);
    let args = ["tail", "home:*", "--json", "--count", "1", "--from", "earliest", "--to", &up.url, "--token", &token];
    let filter = ["--filter", "data.room != null"];
    let line = said(directory.path(), &[&args[..], &filter].concat());
    let data =
        serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{error}: {line}"))["event"]["data"].clone();
    assert_eq!(data["room"], format!("of the {}", data["device"].as_str().unwrap()));
    assert_eq!(data.get("owner"), None, "that is the installer's to know");
}

#[test]
fn an_explanation_walks_the_way_and_names_where_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let event = json!({"specversion": "1.0", "id": "1", "source": "/hr", "type": "goal.updated", "subject": "goal:12", "priority": "high",
        "time": "2026-03-01T08:00:00Z", "data": {"id": "12", "confidence": "amber", "note": "We talk"}}).to_string();
    let explain = |reader: &str, more: &[&str]| {
        said(directory.path(), &[&["explain", &event, "--as", reader, "--catalogue", "teamwork"], more].concat())
    };
    let publisher = r#"{"sub": "svc", "roles": ["publisher"]}"#;
    let member = explain(
        r#"{"sub": "ada", "roles": ["member"]}"#,
        &["--by", publisher, "--filter", "data.confidence == 'amber'"],
    );
    for said in
        ["ok   publish", "ok   lane          medium", "less view", "/note (absent)", "ok   filter", "seen in medium"]
    {
        assert!(member.contains(said), "{said} in {member}");
    }
    assert!(!member.contains("We talk"), "{member}");
    let granted = |channels: Value| json!({"tenant": "default", "user": "eve", "channels": channels, "revoked": [], "labels": [], "roles": []});
    let from = |at: &str| json!([{"scope": "goal:*", "granted_at": at, "visible_from": null}]);
    let by_grant = |channels: Value| explain(r#"{"sub": "eve"}"#, &["--granted", &granted(channels).to_string()]);
    assert!(by_grant(json!([])).contains("STOP subscribe"));
    assert!(by_grant(from("2026-03-01T07:00:00Z")).contains("goal:12, by what they were granted"));
    assert!(by_grant(from("2026-03-02T08:00:00Z")).contains("STOP history"));
    let manager = explain(r#"{"sub": "max", "roles": ["manager"]}"#, &["--filter", "data.progress > 0.5"]);
    assert!(manager.contains("STOP filter") && manager.ends_with("not seen"), "{manager}");
    let nobody: Value = serde_json::from_str(&explain("{}", &["--json"])).unwrap();
    let last = nobody["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["step"], &last["outcome"], &nobody["seen"]),
        (&json!("subscribe"), &json!("stopped"), &Value::Null)
    );
}
