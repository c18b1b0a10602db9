//! What a user says of themselves: `{status, device?, custom?}`, in a JSON object or in the query. Pure.

use axum::body::Body;
use http::{Method, Uri};
use schemas::problem::Slug;
use serde::Deserialize;
use store::limits::CUSTOM_BYTES;
use store::{DeviceKind, Status};
use utoipa::ToSchema;

use super::described;
use crate::ask::pairs;
use crate::refusal::Refusal;
use crate::tickets::json_body;

/// A user's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How they are.
    pub status: Status,
    /// On what.
    pub device: DeviceKind,
    /// In their own words.
    pub custom: Option<String>,
}

/// The same as it is written.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PresenceStatement)]
pub struct Written {
    #[schema(required, schema_with = described::statuses_said)]
    status: Option<String>,
    #[schema(schema_with = described::devices)]
    device: Option<String>,
    #[schema(schema_with = described::custom)]
    custom: Option<String>,
}

impl Said {
    /// Checks what is written.
    ///
    /// # Errors
    /// A word that is none of those that are known, or too many of their own.
    pub fn of(status: Option<&str>, device: Option<&str>, custom: Option<String>) -> Result<Self, Refusal> {
        let bad = |detail: String| Refusal::new(Slug::BadRequest, detail);
        let status = status.and_then(Status::parse);
        let status = status.ok_or_else(|| bad("status is online, away, busy, offline or invisible".to_owned()))?;
        let device = device.map_or(Some(DeviceKind::Web), DeviceKind::parse);
        let device = device.ok_or_else(|| bad("device is web, mobile or desktop".to_owned()))?;
        let custom = custom.filter(|custom| !custom.is_empty());
        if custom.as_ref().is_some_and(|custom| custom.len() > CUSTOM_BYTES) {
            return Err(bad(format!("custom has at most {CUSTOM_BYTES} bytes")));
        }
        Ok(Self { status, device, custom })
    }

    /// Reads a request: its query, and its body, which says it more strongly.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn read(method: &Method, uri: &Uri, body: Body) -> Result<Self, Refusal> {
        let mut written = Written::default();
        for (name, value) in pairs(uri)? {
            match name.as_str() {
                "status" => written.status = Some(value),
                "device" => written.device = Some(value),
                "custom" => written.custom = Some(value),
                other => {
                    let shown: String = other.chars().take(64).collect();
                    let detail = format!("{shown:?} is unknown; known are status, device, custom");
                    return Err(Refusal::new(Slug::UnknownParameter, detail));
                }
            }
        }
        if method != Method::GET {
            let body: Written = json_body(body).await?.unwrap_or_default();
            written = Written {
                status: body.status.or(written.status),
                device: body.device.or(written.device),
                custom: body.custom.or(written.custom),
            };
        }
        Self::of(written.status.as_deref(), written.device.as_deref(), written.custom)
    }
}
