//! What a process says of itself to machines: `/openapi.json` and `/asyncapi.json` are taken by the validators that their readers use,
//! and every door that is described is served.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::services::{Services, checkout, python};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How long a validator may take.
const VALID_WITHIN: Duration = Duration::from_secs(60);
/// All that ship and do not declare the same kinds.
const CATALOGUES: [&str; 6] = ["wikipedia", "machine", "teamwork", "wellbeing", "athlete", "home"];

async fn is_taken_by(mut validator: Command, text: &str) {
    validator.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = validator.spawn().unwrap_or_else(|error| panic!("{validator:?}: {error}"));
    child.stdin.take().expect("piped").write_all(text.as_bytes()).await.expect("it reads");
    let output = tokio::time::timeout(VALID_WITHIN, child.wait_with_output()).await.expect("its end").expect("output");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{validator:?}: {}{}", said(&output.stdout), said(&output.stderr));
}

async fn openapi_is_taken(text: &str) {
    let mut validator = python();
    validator.args(["-m", "openapi_spec_validator", "-"]);
    is_taken_by(validator, text).await;
}

/// Asks every door that is described with nothing in the hands: each refuses or answers, and none is lacking.
async fn serves_what_it_describes(process: &Process) -> String {
    let text = client::get(&process.url("/openapi.json")).await.text;
    let described: Value = serde_json::from_str(&text).expect("JSON");
    let paths: BTreeMap<String, Value> = serde_json::from_value(described["paths"].clone()).expect("paths");
    let http = Client::builder().no_proxy().build().expect("a client");
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let url = process.url(&path.replace("{device}", "phone").replace("{id}", "none"));
            let answer = client::send(http.request(method.clone(), url)).await;
            let is_lacking = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&answer.status);
            assert!(!is_lacking, "{method} {path}: {} {}", answer.status, answer.text);
        }
    }
    text
}

#[tokio::test]
async fn each_role_describes_its_own_doors_and_serves_them() {
    let Some(services) = Services::find("descriptions of roles") else { return };
    let deployment = Deployment::on(&services);
    for (role, own, other) in
        [(Role::Ingest, "publish", "stream"), (Role::Router, "readyz", "publish"), (Role::Edge, "stream", "publish")]
    {
        let process = deployment.start(role).await;
        let text = serves_what_it_describes(&process).await;
        let has = |operation: &str| text.contains(&format!("\"operationId\":\"{operation}\""));
        assert!(has(own) && !has(other), "{role:?}: {text}");
        openapi_is_taken(&text).await;
    }
}

#[tokio::test]
async fn public_validators_take_both_descriptions_with_every_catalogue_that_ships() {
    // The validators come with what `./dev test` installs.
    if Services::find("descriptions").is_none() {
        return;
    }
    let mut deployment = Deployment::embedded();
    for catalogue in CATALOGUES {
        deployment.flag("--catalogue", catalogue);
    }
    let process = deployment.start(Role::Up).await;
    openapi_is_taken(&serves_what_it_describes(&process).await).await;

    let asyncapi = client::get(&process.url("/asyncapi.json")).await;
    let described = asyncapi.json();
    for name in ["wiki.edit", "machine.load", "goal.updated", "risk.flagged", "alert.raised", "device.state"] {
        let fields = &described["components"]["messages"][name]["payload"]["schema"]["fields"];
        assert!(fields.as_array().is_some_and(|fields| !fields.is_empty()), "{name}");
    }
    let mut validator = Command::new("node");
    validator.current_dir(checkout().join("tests/asyncapi")).arg("validate.mjs");
    is_taken_by(validator, &asyncapi.text).await;
}
