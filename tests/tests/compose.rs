//! The compose file stays true: it is YAML, it runs the three roles, and with flags that the binary takes.

use std::time::Duration;

use serde_json::Value;
use tests::process;
use tests::services::checkout;

/// How long `--help` may take.
const HELP_LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_compose_file_runs_the_three_roles_with_flags_that_the_binary_takes() {
    let text = std::fs::read_to_string(checkout().join("infra/compose.yaml")).expect("the file");
    let compose: Value = serde_saphyr::from_str(&text).expect("YAML");
    for role in ["ingest", "router", "edge"] {
        let service = &compose["services"][role];
        let words: Vec<&str> =
            service["command"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert_eq!(words[0], role);
        let help = process::run(&[role, "--help"], b"", HELP_LIMIT).await;
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(*flag), "{role} does not take {flag}:\n{help}");
        }
        let context = service["build"]["context"].as_str().expect("a context");
        let dockerfile = service["build"]["dockerfile"].as_str().expect("a file");
        assert!(checkout().join("infra").join(context).join(dockerfile).exists(), "{dockerfile}");
    }
    for service in ["kafka", "registry"] {
        assert!(compose["services"][service]["image"].is_string(), "{service} has an image");
    }
}
