//! CloudEvents as posted over HTTP: structured JSON, and binary mode with `ce-*` headers.
//!
//! JSON or headers enter, a [`PostedEvent`] leaves. It never checks the payload against a schema.

use serde_json::Value;

use super::texts::Texts;
use super::{CloudEventError, PostedEvent};

impl PostedEvent {
    /// Reads one structured CloudEvent from JSON. An attribute that is null is absent; one that is not known is ignored.
    ///
    /// # Errors
    /// `id`, `source`, `type` or `subject` missing, `specversion` not 1.0, data that is not JSON, or an attribute malformed.
    pub fn from_json(json: Value) -> Result<Self, CloudEventError> {
        let Value::Object(mut event) = json else {
            return Err(CloudEventError::Json("an event is a JSON object".to_owned()));
        };
        let data = event.remove("data").unwrap_or(Value::Null);
        let mut texts = Texts::default();
        for (name, value) in &event {
            read_member(&mut texts, name, value)?;
        }
        Ok(Self { attributes: texts.parse()?, data })
    }

    /// Reads binary mode: `ce-*` HTTP headers (name in lower case without `ce-`, value) and the body's JSON.
    ///
    /// `traceparent` is the HTTP header of that name; the attribute `ce-traceparent` wins over it.
    ///
    /// # Errors
    /// As [`PostedEvent::from_json`].
    pub fn from_http_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        traceparent: Option<&str>,
        data: Value,
    ) -> Result<Self, CloudEventError> {
        let decoded: Vec<(&str, Option<String>)> =
            headers.into_iter().map(|(name, value)| (name, decode_header(value))).collect();
        let mut texts = Texts::default();
        for (name, value) in &decoded {
            if let Some((attribute, place)) = texts.place(name) {
                let detail = "it is not percent-encoded UTF-8";
                *place = Some(value.as_deref().ok_or_else(|| CloudEventError::malformed(attribute, detail))?);
            }
        }
        if let (Some((_, place @ None)), Some(header)) = (texts.place("traceparent"), traceparent) {
            *place = Some(header);
        }
        Ok(Self { attributes: texts.parse()?, data })
    }
}

fn read_member<'a>(texts: &mut Texts<'a>, name: &str, value: &'a Value) -> Result<(), CloudEventError> {
    match (name, value) {
        (_, Value::Null) => Ok(()),
        ("data_base64", _) => Err(CloudEventError::malformed("data_base64", "payloads are JSON, in data")),
        ("datacontenttype", value) => check_content_type(value),
        (name, value) => match (texts.place(name), value) {
            (Some((_, place)), Value::String(text)) => {
                *place = Some(text);
                Ok(())
            }
            (Some((attribute, _)), _) => Err(CloudEventError::malformed(attribute, "it is not a string")),
            (None, _) => check_name(name),
        },
    }
}

fn check_content_type(value: &Value) -> Result<(), CloudEventError> {
    let essence = value.as_str().and_then(|text| text.split(';').next()).unwrap_or("").trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.contains('/') && essence.ends_with("+json")) {
        Ok(())
    } else {
        Err(CloudEventError::malformed("datacontenttype", "payloads are JSON: application/json, or a type with +json"))
    }
}

fn check_name(name: &str) -> Result<(), CloudEventError> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(CloudEventError::Json("an attribute's name is made of a-z and 0-9".to_owned()))
    }
}

/// CloudEvents HTTP binding 3.1.3.2: quotes are taken off, then percent escapes are undone once. None where the result is
/// no UTF-8, or an escape is broken.
fn decode_header(value: &str) -> Option<String> {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let value = inner.map_or_else(|| value.to_owned(), unescape_quoted);
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            decoded.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &tail[2..];
        } else {
            decoded.push(*first);
        }
    }
    String::from_utf8(decoded).ok()
}

fn unescape_quoted(text: &str) -> String {
    let mut escaped = false;
    text.chars()
        .filter(|c| {
            escaped = *c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::lane::Lane;

    fn least() -> Value {
        json!({"specversion": "1.0", "id": "1", "source": "/bot", "type": "wiki.edit", "subject": "wiki:en", "data": {"page": "Ada"}})
    }

    fn with(name: &str, value: Value) -> Result<PostedEvent, CloudEventError> {
        let mut event = least();
        event[name] = value;
        PostedEvent::from_json(event)
    }

    #[test]
    fn every_attribute_of_a_structured_event_is_read() {
        let mut event = least();
        let more = json!({"time": "2015-09-12T00:46:58.771Z", "tenant": "acme", "priority": "high", "author": "ada",
            "expires": "2015-09-13T00:00:00Z", "conflationkey": "k", "datacontenttype": "application/json; charset=utf-8",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "dataschema": null, "other": 7});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let posted = PostedEvent::from_json(event).unwrap();
        let attributes = posted.attributes;
        assert_eq!(attributes.time.unwrap().to_string(), "2015-09-12T00:46:58.771Z");
        assert_eq!((attributes.tenant.as_str(), attributes.priority), ("acme", Some(Lane::High)));
        assert_eq!((attributes.author.as_deref(), attributes.conflation_key.as_deref()), (Some("ada"), Some("k")));
        assert!(attributes.expires.is_some() && attributes.traceparent.is_some() && attributes.principal.is_none());
        assert_eq!(posted.data, json!({"page": "Ada"}));
    }

    #[test]
    fn a_null_attribute_is_absent_and_so_is_the_version_where_none_is_given() {
        assert_eq!(with("id", Value::Null), Err(CloudEventError::Missing { attribute: "id" }));
        for name in ["specversion", "time", "data_base64", "datacontenttype", "data"] {
            assert!(with(name, Value::Null).is_ok(), "{name}");
        }
    }

    #[test]
    fn each_malformed_attribute_is_refused_by_its_name() {
        let cases = [
            ("specversion", json!("0.3")),
            ("id", json!(7)),
            ("id", json!("")),
            ("subject", json!("no channel")),
            ("time", json!("soon")),
            ("data_base64", json!("AA==")),
            ("datacontenttype", json!("application/xml")),
            ("datacontenttype", json!(1)),
            ("priority", json!("urgent")),
        ];
        for (name, value) in cases {
            match with(name, value) {
                Err(CloudEventError::Malformed { attribute, .. }) => assert_eq!(attribute, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_event_at_all_is_refused() {
        for json in [json!([]), json!("x"), json!(null), json!({"": 1}), json!({"Bad-Name": 1})] {
            assert!(matches!(PostedEvent::from_json(json), Err(CloudEventError::Json(_))));
        }
        assert!(matches!(PostedEvent::from_json(json!({})), Err(CloudEventError::Missing { .. })));
    }

    #[test]
    fn an_error_never_holds_the_value() {
        for (name, value) in [("time", "sesame"), ("priority", "sesame"), ("subject", "sesame"), ("tenant", "sesame/")]
        {
            assert!(!with(name, json!(value)).unwrap_err().to_string().contains("sesame"), "{name}");
        }
    }

    #[test]
    fn binary_mode_undoes_what_http_headers_need() {
        let headers = [
            ("specversion", "1.0"),
            ("id", "\"a \\\"b\\\"\""),
            ("source", "/caf%C3%A9"),
            ("type", "wiki.edit"),
            ("subject", "wiki:en"),
        ];
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let posted = PostedEvent::from_http_headers(headers, Some(trace), json!({})).unwrap();
        assert_eq!((posted.attributes.id.as_str(), posted.attributes.source.as_str()), ("a \"b\"", "/café"));
        assert_eq!(posted.attributes.traceparent.as_deref(), Some(trace));
        for broken in ["%", "%4", "%zz", "%ff", "%+1"] {
            let headers = [("id", broken), ("source", "s"), ("type", "t"), ("subject", "wiki:en")];
            let refused = PostedEvent::from_http_headers(headers, None, Value::Null);
            assert!(matches!(refused, Err(CloudEventError::Malformed { attribute: "id", .. })), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_header_value_is_read_or_refused(value in any::<String>()) {
            let _ = decode_header(&value);
        }
    }
}
