//! A real Chromium: two tabs on each of two devices of one user are loaded anew while events come. Nothing is lost, and nothing that was
//! acknowledged comes again.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::services::checkout;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// How long the browser may take to the next thing that it says.
const SAYS_WITHIN: Duration = Duration::from_secs(180);
const RELOADS: usize = 3;
const EVENT_EVERY: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
struct Tab {
    tab: String,
    pages: Vec<Page>,
}

/// What one load of the page saw.
#[derive(Deserialize)]
struct Page {
    start: String,
    received: Vec<Received>,
    acknowledged: String,
}

#[derive(Deserialize)]
struct Received {
    id: String,
    page: String,
}

impl Tab {
    /// Which event it was, of those that this tab received.
    fn number_of(&self, id: &str, published: &[String]) -> Option<usize> {
        let received = self.pages.iter().flat_map(|page| &page.received).find(|received| received.id == id)?;
        published.iter().position(|page| *page == received.page)
    }

    /// How often a reload began behind an event that was acknowledged.
    fn judge(&self, published: &[String]) -> usize {
        let number = |received: &Received| published.iter().position(|page| *page == received.page).expect("published");
        let (mut last, mut acknowledged, mut known) = (None, None, 0);
        for (load, page) in self.pages.iter().enumerate() {
            let expected = if load == 0 { "live" } else { "stored" };
            assert_eq!(page.start, expected, "{} {load}", self.tab);
            let numbers: Vec<usize> = page.received.iter().map(number).collect();
            assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{} {load}: {numbers:?}", self.tab);
            if let (Some(first), Some(last)) = (numbers.first(), last) {
                assert!(*first <= last + 1, "{} {load} has lost what stands between {last} and {first}", self.tab);
            }
            if let (Some(first), Some(acknowledged)) = (numbers.first(), acknowledged) {
                assert!(*first > acknowledged, "{} {load}: {first} was acknowledged ({acknowledged})", self.tab);
                known += 1;
            }
            last = numbers.last().copied().or(last);
            acknowledged = self.number_of(&page.acknowledged, published).or(acknowledged);
        }
        assert_eq!(last, Some(published.len() - 1), "{} has the last one", self.tab);
        known
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_are_loaded_anew_lose_nothing_and_repeat_nothing_that_was_acknowledged() {
    let deployment = Deployment::embedded();
    let mut launch = deployment.launch(Role::Up, "up");
    launch.env.push(("TIDEGATE_AUTH__COOKIE".to_owned(), "session".to_owned()));
    let process = launch.start().await;
    process.ready().await;
    let token = deployment.token("ada", &["publisher"]).await;

    let mut command = Command::new("node");
    command.current_dir(checkout().join("tests/browser"));
    command.args(["reload.mjs", &process.url("/?channel=wiki:en"), &token]);
    let mut browser =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("node runs");
    let mut says = BufReader::new(browser.stdout.take().expect("piped")).lines();
    let mut told = browser.stdin.take();
    let mut next = async || {
        let line = tokio::time::timeout(SAYS_WITHIN, says.next_line()).await;
        line.unwrap_or_else(|_| panic!("the browser has said nothing within {SAYS_WITHIN:?}")).expect("UTF-8")
    };
    assert_eq!(next().await.as_deref(), Some("open"));

    let done = AtomicBool::new(false);
    let publishing = async {
        let mut published = Vec::new();
        let mut is_last = false;
        let mut pace = tokio::time::interval(EVENT_EVERY);
        while !is_last {
            pace.tick().await;
            is_last = done.load(Ordering::Relaxed);
            let page = if is_last { "last".to_owned() } else { format!("page {}", published.len()) };
            client::publish(&process.url(""), &token, &client::event(&page, &client::edit(&page))).await;
            published.push(page);
        }
        published
    };
    let reloading = async {
        for _ in 0..RELOADS {
            told.as_mut().expect("open").write_all(b"again\n").await.expect("it listens");
            assert_eq!(next().await.as_deref(), Some("reloaded"));
        }
        done.store(true, Ordering::Relaxed);
    };
    let (published, ()) = tokio::join!(publishing, reloading);
    drop(told.take());
    let mut known = 0;
    for _ in 0..4 {
        let line = next().await.expect("a tab's line");
        let tab: Tab = serde_json::from_str(&line).expect("JSON");
        assert_eq!(tab.pages.len(), RELOADS + 1, "{}", tab.tab);
        known += tab.judge(&published);
    }
    assert!(known > 0, "no reload began behind an event that was acknowledged");
    assert!(browser.wait().await.expect("its status").success());
}
