//! A real Chromium: two users on the page see each other come, type, fall silent and go.

use std::process::Stdio;
use std::time::Duration;

use tests::deployment::{Deployment, Role};
use tests::services::checkout;
use tokio::process::Command;

/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(240);

#[tokio::test]
async fn the_page_shows_who_is_here_and_who_types_over_two_tabs() {
    let deployment = Deployment::embedded();
    let mut launch = deployment.launch(Role::Up, "up");
    launch.env.push(("TIDEGATE_AUTH__COOKIE".to_owned(), "session".to_owned()));
    let process = launch.start().await;
    process.ready().await;
    let (ada, ben) = (deployment.token("ada", &[]).await, deployment.token("ben", &[]).await);
    let mut command = Command::new("node");
    command.current_dir(checkout().join("tests/browser"));
    command.args(["people.mjs", &process.url("/?channel=room:lobby"), &ada, &ben]);
    let browser = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(WITHIN, browser).await.expect("in time").expect("node runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "here\ntyping\nsilent\ngone\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
}
