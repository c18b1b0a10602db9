//! The command line as a user meets it: what is wrong is listed whole and ends with 64, and the tools say what they promise.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};

/// A command in a directory of its own, with nothing of this environment.
fn tidegate(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env_clear().current_dir(directory).args(args);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_bad_config_and_a_bad_catalogue_list_all_their_errors_and_end_with_64() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tidegate.toml"), "listen = 'nowhere'\ncolour = 'blue'\n").unwrap();
    let args = ["up", "--partitions", "many", "--kafka", "localhost:1", "--catalogue", "./none"];
    let output = tidegate(directory.path(), &args);
    assert_eq!(output.status.code(), Some(64));
    let said = text(&output.stderr);
    for mistake in
        ["tidegate.toml: listen", "tidegate.toml: colour", "--partitions", "kafka: needs a registry", "./none"]
    {
        assert!(said.contains(mistake), "{mistake} is not in\n{said}");
    }
    assert_eq!(text(&output.stdout), "", "nothing listens");
}

#[test]
fn limits_that_do_not_fit_together_end_with_64() {
    let directory = tempfile::tempdir().unwrap();
    let file = "[ingest]\nevent_bytes = 100000\n[router]\nflush_ms = 20000\n";
    std::fs::write(directory.path().join("tidegate.toml"), file).unwrap();
    let output = tidegate(directory.path(), &["up", "--partitions", "21"]);
    assert_eq!(output.status.code(), Some(64));
    let said = text(&output.stderr);
    for mistake in
        ["partitions: between 1 and 20", "router.event_bytes: at least ingest.event_bytes", "router.flush_ms"]
    {
        assert!(said.contains(mistake), "{mistake} is not in\n{said}");
    }
}

#[test]
fn properties_reach_the_kafka_client_and_a_wrong_one_ends_with_64() {
    let directory = tempfile::tempdir().unwrap();
    let sasl = "security_protocol = 'SASL_PLAINTEXT'\nsasl_username = 'me'\nsasl_password = 'secret-word'\n";
    let hosts = ["--kafka", "127.0.0.1:1", "--registry", "http://127.0.0.1:1"];
    let tools = [&["edge"][..], &["topics", "check"], &["tail", "wiki:*"]];
    for (wrong, said) in [("sasl_mechanism = 'NONSENSE'", "NONSENSE"), ("no_such_property = '1'", "no.such.property")] {
        let file = format!("[kafka_client]\n{sasl}{wrong}\n");
        std::fs::write(directory.path().join("tidegate.toml"), file).unwrap();
        for tool in tools {
            let output = tidegate(directory.path(), &[tool, &hosts].concat());
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{tool:?}: {error}");
            assert!(error.contains("kafka_client: ") && error.contains(said), "{tool:?}: {error}");
            assert!(!error.contains("secret-word"), "{tool:?}: {error}");
        }
    }
}

#[test]
fn a_role_alone_without_kafka_ends_with_64() {
    let directory = tempfile::tempdir().unwrap();
    for role in ["ingest", "router", "edge"] {
        let output = tidegate(directory.path(), &[role]);
        assert_eq!(output.status.code(), Some(64), "{role}");
        assert!(text(&output.stderr).contains("--kafka"), "{role}: {}", text(&output.stderr));
    }
}

#[test]
fn wrong_arguments_end_with_64_and_help_with_0() {
    let directory = tempfile::tempdir().unwrap();
    for args in [&["nothing"][..], &["up", "--nothing"], &["publish", "wiki:en"], &["replay"], &["id"], &["topics"]] {
        assert_eq!(tidegate(directory.path(), args).status.code(), Some(64), "{args:?}");
    }
    let version = tidegate(directory.path(), &["--version"]);
    assert!(version.status.success() && text(&version.stdout).starts_with("tidegate "));
    assert!(tidegate(directory.path(), &["up", "--help"]).status.success());
}

#[test]
fn the_printed_config_is_one_that_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let printed = tidegate(directory.path(), &["config", "print"]);
    assert!(printed.status.success());
    std::fs::write(directory.path().join("tidegate.toml"), &printed.stdout).unwrap();
    // Only the role is wrong: the file is not.
    let said = text(&tidegate(directory.path(), &["edge"]).stderr);
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}

#[test]
fn a_token_is_signed_with_the_deployments_key_that_is_made_on_first_use() {
    let directory = tempfile::tempdir().unwrap();
    let output = tidegate(directory.path(), &["token", "--sub", "me", "--role", "publisher", "--data", "data"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let key = std::fs::read(directory.path().join("data/token.key")).unwrap();
    let verifier = policy::Verifier::from_key(&key).unwrap();
    let claims = verifier.verify(text(&output.stdout).trim(), schemas::time::Timestamp::now()).unwrap();
    assert_eq!(claims.sub.as_deref(), Some("me"));
    assert!(claims.roles.contains("publisher"));
}

#[test]
fn catalogues_are_checked_and_their_examples_run() {
    let directory = tempfile::tempdir().unwrap();
    for verb in ["check", "test"] {
        let output = tidegate(directory.path(), &["catalogue", verb]);
        assert!(output.status.success(), "{verb}: {}", text(&output.stderr));
    }
    std::fs::create_dir(directory.path().join("bad")).unwrap();
    let wrong =
        "name: bad\nchannels: {}\ntypes:\n  a.b:\n    schema: none.avsc\n    channel: nowhere\n    lane: fast\n";
    std::fs::write(directory.path().join("bad/catalogue.yaml"), wrong).unwrap();
    let output = tidegate(directory.path(), &["catalogue", "check", "bad"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).lines().count() > 1, "all mistakes: {}", text(&output.stderr));
}

#[test]
fn an_id_that_is_no_position_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let output = tidegate(directory.path(), &["id", "garbage", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("not a position"), "{}", text(&output.stderr));
}
