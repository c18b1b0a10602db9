//! The example alert rules stay true: they are YAML, and the metrics that they ask for are declared.

use std::path::Path;

use serde_json::Value;
use tests::services::checkout;

/// Where metrics are declared.
fn declared() -> String {
    let files = ["router/src/metrics.rs", "edge-sse/src/metrics.rs", "ingest/src/metrics.rs"];
    let read = |file: &&str| std::fs::read_to_string(checkout().join(Path::new(file))).expect("the file");
    files.iter().map(read).collect()
}

#[test]
fn every_alert_asks_for_metrics_that_are_counted_and_says_what_it_means() {
    let text = std::fs::read_to_string(checkout().join("infra/alerts.yaml")).expect("the file");
    let alerts: Value = serde_saphyr::from_str(&text).expect("YAML");
    let rules = alerts["groups"][0]["rules"].as_array().expect("rules");
    let declared = declared();
    for rule in rules {
        let expr = rule["expr"].as_str().expect("an expression");
        let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics: Vec<&str> = words.filter(|word| word.starts_with("tidegate_")).collect();
        assert!(!metrics.is_empty(), "{expr}");
        for metric in metrics {
            assert!(declared.contains(&format!("\"{metric}\"")), "{metric} is not declared");
        }
        assert!(rule["alert"].is_string() && rule["annotations"]["summary"].is_string(), "{rule}");
    }
}
