//! How a verb asks a deployment's door for administrators.
//!
//! In: what is asked, and whose token is sent. Out: the answer where it is a success, and its problem's words as a failure otherwise.

use reqwest::{Method, Response, Url};
use schemas::id::Tenant;
use serde::Serialize;
use serde_json::Value;

use crate::credentials::Credentials;
use crate::failure::Failure;
use policy::ADMINISTRATOR;

/// Where nothing else is said.
const DEPLOYMENT: &str = "http://127.0.0.1:8080";
/// Bytes of a problem that are read.
const PROBLEM_BYTES: usize = 64 * 1024;

/// Where a door is; none means this machine's deployment.
pub(crate) fn door(to: Option<&str>) -> Result<Url, Failure> {
    let to = to.unwrap_or(DEPLOYMENT);
    Url::parse(to).map_err(|error| Failure::Usage(vec![format!("--to {to}: {error}")]))
}

/// Asks, as an administrator.
pub(crate) async fn ask<T: Serialize>(
    method: Method,
    url: Url,
    credentials: &Credentials,
    body: Option<&T>,
) -> Result<Response, Failure> {
    let token = credentials.token(&[ADMINISTRATOR])?;
    let request = reqwest::Client::new().request(method, url);
    let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
    let request = body.into_iter().fold(request, reqwest::RequestBuilder::json);
    let mut answer = request.send().await.map_err(unreached)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let problem = bytes(&mut answer, PROBLEM_BYTES).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&problem).unwrap_or_default();
    let detail = problem.get("detail").and_then(Value::as_str).unwrap_or_default();
    Err(Failure::Failed(format!("{status}: {detail}")))
}

/// An answer as JSON, of so many bytes at most.
pub(crate) async fn json(mut answer: Response, bytes_max: usize) -> Result<Value, Failure> {
    serde_json::from_slice(&bytes(&mut answer, bytes_max).await?).map_err(Failure::of)
}

/// Nobody answered, or no more.
pub(crate) fn unreached(error: reqwest::Error) -> Failure {
    Failure::Failed(crate::target::chain(&error))
}

/// Credentials of a tenant, where one is named and the token is signed here.
pub(crate) fn tenant(text: Option<&str>) -> Result<Option<Tenant>, Failure> {
    text.map(Tenant::parse).transpose().map_err(|error| Failure::Usage(vec![error.to_string()]))
}

async fn bytes(answer: &mut Response, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreached)? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(Failure::Failed(format!("the answer has more than {bytes_max} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
