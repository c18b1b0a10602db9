//! The tools beside a running `tidegate up`: many lines in, in order out, and what they say of what is wrong.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const CHANNELS: usize = 5;
const LINES: usize = 2_000;

/// A deployment in a directory of its own.
struct Up {
    child: Child,
    url: String,
    directory: tempfile::TempDir,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command =
            command(directory.path(), &["up", "--listen", "127.0.0.1:0", "--data", "data", "--log", "warn"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let url = first.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, url, directory }
    }

    fn run(&self, args: &[&str], stdin: &str) -> Output {
        let mut command = command(self.directory.path(), args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let text = stdin.to_owned();
        let feed = std::thread::spawn(move || {
            let _ = input.write_all(text.as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        feed.join().unwrap();
        output
    }

    fn publish(&self, stdin: &str) -> Output {
        let args = ["publish", "--type", "wiki.edit", "--lines", "--to", &self.url, "--data", "data"];
        self.run(&args, stdin)
    }
}

fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env_clear().current_dir(directory).args(args);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The numbers of each channel, in the order in which a tail says them, and the last position.
fn tailed(output: &Output) -> (HashMap<String, Vec<u64>>, String) {
    let (mut channels, mut last) = (HashMap::<String, Vec<u64>>::new(), String::new());
    for line in text(&output.stdout).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        last = line["position"].as_str().unwrap().to_owned();
        let channel = line["event"]["subject"].as_str().unwrap().to_owned();
        channels.entry(channel).or_default().push(line["event"]["data"]["delta"].as_u64().unwrap());
    }
    (channels, last)
}

#[test]
fn many_lines_arrive_in_order_per_channel_and_refused_ones_are_named() {
    let up = Up::start();
    let mut lines = String::new();
    for number in 0..LINES {
        lines.push_str(&format!("wiki:w{}\t{{\"page\": \"p\", \"delta\": {number}}}\n", number % CHANNELS));
    }
    let good = up.publish(&lines);
    assert!(good.status.success(), "{}", text(&good.stderr));
    assert_eq!(text(&good.stdout).trim(), format!("sent {LINES}, already known 0"));

    let (count, from) = (LINES.to_string(), "earliest");
    let args = ["tail", "wiki:*", "--json", "--from", from, "--count", &count, "--to", &up.url];
    let (channels, last) = tailed(&up.run(&args, ""));
    assert_eq!(channels.len(), CHANNELS);
    for (channel, numbers) in &channels {
        assert_eq!(numbers.len(), LINES / CHANNELS, "{channel}");
        assert!(numbers.is_sorted(), "{channel}: {numbers:?}");
    }
    let explained = up.run(&["id", &last, "--json"], "");
    let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert!(explained["next"].as_array().is_some_and(|next| !next.is_empty()), "{explained}");

    let bad =
        up.publish("wiki:a\t{\"page\": \"x\"}\nno tab\nwiki:a\t{\"page\": 7}\nnone:a\t{}\nwiki:a\t{\"page\": \"y\"}\n");
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(text(&bad.stdout).trim(), "sent 2, already known 0");
    let said = text(&bad.stderr);
    for line in ["line 2: ", "line 3: ", "line 4: "] {
        assert!(said.lines().any(|said| said.starts_with(line)), "{line} is not in\n{said}");
    }
}

#[test]
fn an_event_with_its_own_id_is_known_the_second_time() {
    let up = Up::start();
    let args =
        ["publish", "wiki:en", "wiki.edit", "{\"page\": \"Ada\"}", "--id", "7", "--to", &up.url, "--data", "data"];
    assert_eq!(text(&up.run(&args, "").stdout).trim(), "sent 1, already known 0");
    assert_eq!(text(&up.run(&args, "").stdout).trim(), "sent 1, already known 1");
    let refused = up.run(&[&args[..5], &["8", "--to", &up.url]].concat(), "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("needs a token"), "{}", text(&refused.stderr));
}

/// Replays `edits.json` to a map of its own; what it took.
fn replay(up: &Up, args: &[&str]) -> Duration {
    let begun = Instant::now();
    let fixed = ["replay", "edits.json", "--map", "map.yaml", "--to", &up.url, "--data", "data"];
    let output = up.run(&[&fixed[..], args].concat(), "");
    assert_eq!(text(&output.stdout).trim(), "sent 4, already known 0", "{args:?}: {}", text(&output.stderr));
    begun.elapsed()
}

#[test]
fn a_recording_is_played_at_the_pace_that_is_asked_for_and_under_the_source_that_is_named() {
    let up = Up::start();
    let map = "type: \"'wiki.edit'\"\nsubject: \"'wiki:en'\"\nid: string(line_number)\ntime: line.time\npayload: \"{'page': line.page}\"\n";
    std::fs::write(up.directory.path().join("map.yaml"), map).unwrap();
    let lines =
        [0, 300, 600, 900].map(|ms| format!("{{\"time\": \"2026-01-02T03:04:05.{ms:03}Z\", \"page\": \"{ms}\"}}\n"));
    std::fs::write(up.directory.path().join("edits.json"), lines.concat()).unwrap();
    assert!(replay(&up, &["--speed", "recorded", "--source", "/recorded"]) >= Duration::from_millis(900));
    assert!(replay(&up, &["--speed", "3", "--source", "/faster"]) >= Duration::from_millis(300));
    assert!(replay(&up, &["--rate", "5", "--source", "/rate"]) >= Duration::from_millis(600));
    replay(&up, &["--speed", "max"]);
    let output = up.run(&["tail", "wiki:en", "--json", "--from", "earliest", "--count", "16", "--to", &up.url], "");
    let said = text(&output.stdout);
    let sources = said.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["event"]["source"].as_str().unwrap().to_owned()
    });
    let expected = ["/recorded", "/faster", "/rate", "/tidegate/replay"].into_iter().flat_map(|source| [source; 4]);
    assert!(sources.eq(expected), "{said}");
}

#[test]
fn a_log_in_use_says_so_and_sigterm_ends_with_0() {
    let mut up = Up::start();
    let locked = up.run(&["dlq", "list", "--data", "data"], "");
    assert_eq!(locked.status.code(), Some(1));
    assert!(text(&locked.stderr).contains("in use by another process"), "{}", text(&locked.stderr));
    let stopped = Command::new("kill").args(["-TERM", &up.child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(up.child.wait().unwrap().code(), Some(0));
    let free = up.run(&["dlq", "list", "--data", "data"], "");
    assert!(free.status.success() && free.stdout.is_empty(), "{}", text(&free.stderr));
    let checked = up.run(&["topics", "check", "--data", "data"], "");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}
