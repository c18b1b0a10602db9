//! What a process says of itself to machines: `/openapi.json` and `/asyncapi.json` are taken by the validators that their readers use.

use std::process::Stdio;
use std::time::Duration;

use tests::client;
use tests::deployment::{Deployment, Role};
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
    let openapi = client::get(&process.url("/openapi.json")).await.text;
    let mut validator = python();
    validator.args(["-m", "openapi_spec_validator", "-"]);
    is_taken_by(validator, &openapi).await;

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
