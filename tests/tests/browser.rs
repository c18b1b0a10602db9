//! A real Chromium: the page's EventSource counts every edit, over a kill and a restart of the edge under its eyes.

use std::process::Stdio;
use std::time::Duration;

use tests::deployment::{Deployment, Role};
use tests::edits;
use tests::services::{Services, checkout};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long the browser may take to the next thing that it says.
const SAYS_WITHIN: Duration = Duration::from_secs(120);

/// The driver of a browser that looks at the page.
struct Browser {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    fn open(url: &str, expected: usize) -> Self {
        let mut command = Command::new("node");
        command.current_dir(checkout().join("tests/browser")).args(["count.mjs", url, &expected.to_string()]);
        command.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("node runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// What it says next; none when it has ended.
    async fn says(&mut self) -> Option<String> {
        let line = tokio::time::timeout(SAYS_WITHIN, self.lines.next_line()).await;
        line.unwrap_or_else(|_| panic!("the browser has said nothing within {SAYS_WITHIN:?}")).expect("UTF-8")
    }

    /// Waits until the counter has come to at least so many.
    async fn counts_to(&mut self, number: usize) {
        loop {
            let said = self.says().await.unwrap_or_else(|| panic!("it ended before it had counted to {number}"));
            if said.parse::<usize>().is_ok_and(|count| count >= number) {
                return;
            }
        }
    }

    /// Waits for its verdict.
    async fn ends_well(mut self) {
        while self.says().await.is_some() {}
        let status = tokio::time::timeout(SAYS_WITHIN, self.child.wait()).await.expect("it ends").expect("its status");
        assert!(status.success(), "the counter did not come to the number of events");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_counter_comes_to_all_edits_over_a_kill_and_a_restart_of_the_edge() {
    let Some(services) = Services::find("the browser") else { return };
    let deployment = Deployment::on(&services);
    let (ingest, _router, mut edge) =
        tokio::join!(deployment.start(Role::Ingest), deployment.start(Role::Router), deployment.start(Role::Edge));
    let count = edits::all().lines.len();
    let mut browser = Browser::open(&edge.url("/?channel=wiki:*"), count);
    assert_eq!(browser.says().await.as_deref(), Some("open"));
    let url = ingest.url("");
    let replay = deployment.replay(&edits::all().path, &url, &["--speed", "max"]);
    let look = async {
        browser.counts_to(count / 3).await;
        edge.kill_and_restart().await;
        browser.ends_well().await;
    };
    tokio::join!(replay, look);
}
