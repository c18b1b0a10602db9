//! What is measured: a router and two edges of one deployment that remembers, and clients with tokens for them.

use std::time::{Duration, Instant};

use benches::deployment::Deployment;
use benches::error::Failure;
use benches::role::Role;
use policy::{Claims, Signer};
use reqwest::{Method, RequestBuilder};
use schemas::time::Timestamp;

use crate::stream::{Stream, refused};

/// Of the catalogue that ships, rooms tell of everything.
const CATALOGUE: &str = "wikipedia";
/// Channels that one stream may have.
const CHANNELS_OF_A_STREAM: usize = 64;

/// What the edge asks of the store for each who comes or goes.
const CHANGES: &str = "tidegate_store_statements_total{kind=\"lwt\"";
/// Without such a change for so long it is calm.
const CALM: Duration = Duration::from_secs(2);
const CALM_LIMIT: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(200);

/// One of the two edges.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At {
    /// Where users say things.
    Here,
    /// Where others read.
    There,
}

/// Everything that runs. What it started ends with it.
#[derive(Debug)]
pub(crate) struct World {
    signer: Signer,
    http: reqwest::Client,
    here: Role,
    there: Role,
    _router: Role,
    _deployment: Deployment,
}

impl World {
    /// Starts it.
    ///
    /// # Errors
    /// A service is not named, or something does not start.
    pub(crate) fn open() -> Result<Self, Failure> {
        let unnamed = || Failure::Usage("TIDEGATE_KAFKA, TIDEGATE_REGISTRY and TIDEGATE_CQL are not set".to_owned());
        let mut deployment = Deployment::find(CATALOGUE)?.ok_or_else(unnamed)?;
        if !deployment.remember()? {
            return Err(unnamed());
        }
        let router = deployment.start("router")?;
        let (here, there) = (deployment.start("edge")?, deployment.start("edge")?);
        let key = deployment.token_key().map_err(Failure::system("the key of tokens"))?;
        let signer =
            Signer::from_key(&key).map_err(|error| Failure::contender("the key of tokens", error.to_string()))?;
        let http = reqwest::Client::builder().no_proxy().build().map_err(refused)?;
        Ok(Self { signer, http, here, there, _router: router, _deployment: deployment })
    }

    /// An edge's process.
    pub(crate) fn pid(&self, at: At) -> u32 {
        self.role(at).pid()
    }

    /// A request to an edge, of a user or of nobody.
    ///
    /// # Errors
    /// The user can have no token.
    pub(crate) fn ask(
        &self,
        at: At,
        method: Method,
        path: &str,
        user: Option<&str>,
    ) -> Result<RequestBuilder, Failure> {
        let request = self.http.request(method, format!("http://{}{path}", self.role(at).address()?));
        let Some(user) = user else { return Ok(request) };
        let claims = Claims { sub: Some(user.to_owned()), ..Claims::anonymous() };
        let token = self.signer.sign(&claims, Timestamp::now());
        Ok(request.bearer_auth(token.map_err(|error| Failure::contender("a token", error.to_string()))?))
    }

    /// A stream of these channels, and whatever else its query says.
    ///
    /// # Errors
    /// It is refused.
    pub(crate) async fn stream(
        &self,
        at: At,
        channels: &[String],
        query: &str,
        user: Option<&str>,
    ) -> Result<Stream, Failure> {
        let channels: String = channels.iter().map(|channel| format!("channel={channel}&")).collect();
        Stream::open(self.ask(at, Method::GET, &format!("/v1/stream?{channels}{query}"), user)?).await
    }

    /// Streams of nobody in particular at the other edge that have all these channels.
    ///
    /// # Errors
    /// One is refused.
    pub(crate) async fn observers(&self, channels: &[String]) -> Result<Vec<Stream>, Failure> {
        let streams = channels.chunks(CHANNELS_OF_A_STREAM).map(|some| self.stream(At::There, some, "", None));
        futures::future::try_join_all(streams).await
    }

    /// Waits until nobody comes or goes any more at the first edge: no compare-and-set is asked of the store for a while.
    ///
    /// # Errors
    /// The edge does not answer, or is not calm within the limit.
    pub(crate) async fn calm(&self) -> Result<(), Failure> {
        let (started, mut since, mut last) = (Instant::now(), Instant::now(), f64::NAN);
        while since.elapsed() < CALM {
            tokio::time::sleep(LOOK).await;
            let now = self.metric(At::Here, CHANGES).await?;
            if now != last {
                (since, last) = (Instant::now(), now);
            }
            if started.elapsed() > CALM_LIMIT {
                return Err(Failure::contender("an edge", format!("users still come and go after {CALM_LIMIT:?}")));
            }
        }
        Ok(())
    }

    /// What a metric of an edge stands at, over all labels that begin so.
    ///
    /// # Errors
    /// The edge does not answer.
    pub(crate) async fn metric(&self, at: At, name: &str) -> Result<f64, Failure> {
        let answer = self.ask(at, Method::GET, "/metrics", None)?.send().await.map_err(refused)?;
        let text = answer.text().await.map_err(refused)?;
        let lines = text.lines().filter(|line| line.starts_with(name));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    fn role(&self, at: At) -> &Role {
        match at {
            At::Here => &self.here,
            At::There => &self.there,
        }
    }
}
