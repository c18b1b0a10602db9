//! The keys that an issuer publishes, kept fresh: fetched at start, again and again, and when a token names one that is lacking.
//!
//! In: documents of keys over HTTP, bounded. Out: the set as it stands now. While the issuer is away the old keys stay; what cannot be
//! used never takes their place. Nobody who lacks a key makes it fetch more than once in [`LACKING_EVERY`].

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use policy::key::KEY_SET_BYTES;
use policy::{KeyError, KeySet, KeySource};
use reqwest::redirect::Policy;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Tokens that name unknown keys make us fetch once in so long, however many there are.
const LACKING_EVERY: Duration = Duration::from_secs(30);
/// How long a request waits for keys that are lacking.
const LACKING_WAIT: Duration = Duration::from_secs(2);
/// How long to wait for a connection, and for a whole answer.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
const FETCH_WAIT: Duration = Duration::from_secs(5);
/// After a fetch that failed the next comes after so long, and then later and later.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Why no keys were had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no answer: {0}")]
    Http(String),
    #[error("the document has more than {KEY_SET_BYTES} bytes")]
    TooLarge,
    #[error("the document is no UTF-8")]
    NotUtf8,
    #[error("{0}")]
    Keys(#[from] KeyError),
}

/// Keeps the keys of one issuer.
#[derive(Debug)]
pub(crate) struct JwksKeeper {
    issuer: String,
    url: String,
    http: reqwest::Client,
    refresh: Duration,
    kept: Arc<Kept>,
}

/// The keys, as others see them.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    keys: RwLock<Option<Arc<KeySet>>>,
    asked: Mutex<Asked>,
    wanted: Notify,
    fetches: watch::Sender<u64>,
}

/// What those ask who lack a key.
#[derive(Debug, Default)]
struct Asked {
    last: Option<Instant>,
    under_way: bool,
}

impl KeySource for Kept {
    fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lacking(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut fetches = self.fetches.subscribe();
        Box::pin(async move {
            if self.ask(Instant::now()) {
                // Whoever waited in vain is answered by the keys as they are.
                let _ = tokio::time::timeout(LACKING_WAIT, fetches.changed()).await;
            }
        })
    }
}

impl Kept {
    /// Asks for a fetch, unless it is too early; whether one is under way now.
    fn ask(&self, now: Instant) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.under_way && asked.last.is_none_or(|last| now.duration_since(last) >= LACKING_EVERY) {
            (asked.last, asked.under_way) = (Some(now), true);
            self.wanted.notify_one();
        }
        asked.under_way
    }

    fn fetched(&self, keys: Option<KeySet>) {
        if let Some(keys) = keys {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
        }
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).under_way = false;
        self.fetches.send_modify(|fetches| *fetches += 1);
    }
}

impl JwksKeeper {
    /// A keeper that has fetched nothing yet.
    ///
    /// # Errors
    /// No HTTP client can be had.
    pub(crate) fn new(issuer: &str, url: &str, refresh: Duration) -> Result<Self, FetchError> {
        // Where a document of keys has moved to is for a person to say.
        let http =
            reqwest::Client::builder().connect_timeout(CONNECT_WAIT).timeout(FETCH_WAIT).redirect(Policy::none());
        let http = http.build().map_err(|error| FetchError::Http(error.to_string()))?;
        Ok(Self { issuer: issuer.to_owned(), url: url.to_owned(), http, refresh, kept: Arc::default() })
    }

    /// The keys, as others see them.
    pub(crate) fn keys(&self) -> Arc<Kept> {
        self.kept.clone()
    }

    /// Whose keys they are.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Fetches until `shutdown`.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let retries =
            ExponentialBuilder::default().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX).without_max_times();
        let mut retry = retries.build();
        let mut due = Instant::now();
        // Shutdown first: an issuer that does not answer must not hold it up.
        while tokio::select! {
            biased;
            () = shutdown.cancelled() => false,
            () = self.kept.wanted.notified() => true,
            () = tokio::time::sleep_until(due) => true,
        } {
            let fetched = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                fetched = self.fetch() => fetched,
            };
            let wait = match &fetched {
                Ok(_) => {
                    retry = retries.build();
                    self.refresh
                }
                Err(_) => retry.next().unwrap_or(RETRY_MAX).min(self.refresh.max(RETRY_MIN)),
            };
            due = Instant::now() + wait;
            self.take(fetched);
        }
    }

    fn take(&self, fetched: Result<KeySet, FetchError>) {
        let (issuer, url) = (&self.issuer, &self.url);
        match fetched {
            Ok(keys) => {
                let first = self.kept.current().is_none();
                if first {
                    tracing::info!(issuer, url, keys = keys.len(), "an issuer's keys are there");
                }
                metrics::counter!("tidegate_jwks_fetches_total", "outcome" => "fetched").increment(1);
                self.kept.fetched(Some(keys));
            }
            Err(error) => {
                let known = self.kept.current().is_some();
                tracing::warn!(issuer, url, %error, known, "an issuer's keys cannot be fetched; those that are known stay");
                metrics::counter!("tidegate_jwks_fetches_total", "outcome" => "failed").increment(1);
                self.kept.fetched(None);
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let http = |error: reqwest::Error| FetchError::Http(error.without_url().to_string());
        let answer = self.http.get(&self.url).send().await.and_then(reqwest::Response::error_for_status);
        let mut answer = answer.map_err(http)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(http)? {
            if bytes.len() + chunk.len() > KEY_SET_BYTES {
                return Err(FetchError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(bytes).map_err(|_| FetchError::NotUtf8)?;
        Ok(KeySet::from_jwks(&text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_lacks_a_key_is_heard_once_in_a_while() {
        let (kept, now) = (Kept::default(), Instant::now());
        assert!(kept.ask(now) && kept.ask(now), "all who come meanwhile wait for the same fetch");
        kept.fetched(None);
        assert!(!kept.ask(now) && !kept.ask(now + LACKING_EVERY - Duration::from_millis(1)));
        assert!(kept.ask(now + LACKING_EVERY));
        assert!(kept.current().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_lacks_a_key_waits_no_longer_than_its_time() {
        let kept = Kept::default();
        let began = Instant::now();
        kept.lacking().await;
        assert_eq!(began.elapsed(), LACKING_WAIT);
    }
}
