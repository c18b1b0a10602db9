//! `/openapi.json`: what a process serves, as its doors say it of themselves.
//!
//! In: a description of each role's doors. Out: one of the process: those and the common doors, what a refusal is, and how a request says whose
//! it is. It knows no door: a door's words stand beside its handler (ADR 36).

use schemas::problem::Problem;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};
use utoipa::{Modify, OpenApi as Made};

use crate::doors;

/// Makes a part's description.
pub(crate) type Describe = fn() -> OpenApi;

/// What every description has.
#[derive(Made)]
#[openapi(
    info(
        title = "Tidegate",
        version = "1",
        description = "Typed events from services to people's screens, through Kafka.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem), responses(Problem)),
    modifiers(&Tokens)
)]
struct Base;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_with(Components::new);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        let said = "A token, in the cookie that auth.cookie names, from our own pages.";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description("auth.cookie", said));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    }
}

/// The whole: the common doors, and these.
pub(crate) fn merged(parts: &[Describe]) -> OpenApi {
    parts.iter().fold(Base::openapi().merge_from(doors::openapi()), |whole, part| whole.merge_from(part()))
}

/// The same as JSON.
pub(crate) fn text(parts: &[Describe]) -> String {
    // Texts, numbers and maps with texts as keys: there is nothing that JSON cannot say.
    merged(parts).to_json().unwrap_or_default()
}
