//! An issuer as small as one can be: it publishes one document of keys, and counts who fetches it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running issuer; it ends when this is dropped.
#[derive(Debug)]
pub struct KeyServer {
    /// Where its keys are.
    pub url: String,
    published: Arc<Published>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Published {
    /// None answers 503.
    document: Mutex<Option<String>>,
    fetches: AtomicUsize,
}

impl KeyServer {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// There is none.
    pub async fn start(document: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let published = Arc::new(Published { document: Mutex::new(document), fetches: AtomicUsize::new(0) });
        let routes = Router::new().route("/keys", get(keys)).with_state(published.clone());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { url, published, task }
    }

    /// From now on it publishes these; none is an error.
    ///
    /// # Panics
    /// A thread that held the document panicked.
    pub fn publish(&self, document: Option<String>) {
        *self.published.document.lock().expect("not poisoned") = document;
    }

    /// How often it was asked.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::Relaxed)
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keys(State(published): State<Arc<Published>>) -> Result<String, StatusCode> {
    published.fetches.fetch_add(1, Ordering::Relaxed);
    published.document.lock().expect("not poisoned").clone().ok_or(StatusCode::SERVICE_UNAVAILABLE)
}
