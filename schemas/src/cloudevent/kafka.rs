//! The Kafka protocol binding of CloudEvents 1.0, binary mode: attributes ⇄ `ce_` headers.

use bytes::Bytes;

use crate::event::Attributes;
use crate::id::Tenant;

use super::CloudEventError;
use super::texts::{SPEC_VERSION, Texts};

/// Who published through the HTTP door.
const PRINCIPAL_HEADER: &str = "tg_principal";
/// W3C Trace Context.
const TRACEPARENT_HEADER: &str = "traceparent";

impl Attributes {
    /// Reads binary-mode Kafka headers (`ce_*`, `traceparent`, `tg_principal`).
    ///
    /// `headers` yields name and value in order; of a repeated header the last wins, and one without a value says nothing.
    ///
    /// # Errors
    /// No `ce_` header at all, a required one missing, or one malformed (also: not UTF-8).
    pub fn from_kafka_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Result<Self, CloudEventError> {
        let mut texts = Texts::default();
        let mut found = false;
        for (name, value) in headers {
            let attribute = name.strip_prefix("ce_");
            found |= attribute.is_some();
            let place = match name {
                PRINCIPAL_HEADER => Some((PRINCIPAL_HEADER, &mut texts.principal)),
                _ => texts.place(attribute.unwrap_or(if name == TRACEPARENT_HEADER { name } else { "" })),
            };
            if let Some((attribute, place)) = place {
                *place = value.map(std::str::from_utf8).transpose().map_err(|_| not_utf8(attribute))?;
            }
        }
        if found { texts.parse() } else { Err(CloudEventError::NoHeaders) }
    }

    /// The Kafka headers that say the same, `content-type: application/avro` included, schema framing excluded.
    #[must_use]
    pub fn to_kafka_headers(&self) -> Vec<(String, Bytes)> {
        let time = |time: crate::time::Timestamp| time.to_string();
        let tenant = (self.tenant != Tenant::default_tenant()).then(|| self.tenant.to_string());
        [
            ("ce_specversion", Some(SPEC_VERSION.to_owned())),
            ("ce_id", Some(self.id.to_string())),
            ("ce_type", Some(self.event_type.to_string())),
            ("ce_source", Some(self.source.to_string())),
            ("ce_subject", Some(self.channel.to_string())),
            ("ce_time", self.time.map(time)),
            ("ce_tenant", tenant),
            ("ce_priority", self.priority.map(|lane| lane.to_string())),
            ("ce_expires", self.expires.map(time)),
            ("ce_conflationkey", self.conflation_key.clone()),
            ("ce_author", self.author.clone()),
            (TRACEPARENT_HEADER, self.traceparent.clone()),
            (PRINCIPAL_HEADER, self.principal.clone()),
            ("content-type", Some("application/avro".to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, text)| text.map(|text| (name.to_owned(), Bytes::from(text))))
        .collect()
    }
}

fn not_utf8(attribute: &'static str) -> CloudEventError {
    CloudEventError::malformed(attribute, "it is not UTF-8")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channel::Channel;
    use crate::id::{EventId, EventType, Source};
    use crate::lane::Lane;
    use crate::time::Timestamp;

    fn read(headers: &[(String, Bytes)]) -> Result<Attributes, CloudEventError> {
        Attributes::from_kafka_headers(headers.iter().map(|(name, value)| (name.as_str(), Some(&value[..]))))
    }

    fn pairs<'a>(headers: &'a [(&'a str, &'a [u8])]) -> Result<Attributes, CloudEventError> {
        Attributes::from_kafka_headers(headers.iter().map(|(name, value)| (*name, Some(*value))))
    }

    const LEAST: [(&str, &[u8]); 4] =
        [("ce_id", b"1"), ("ce_type", b"wiki.edit"), ("ce_source", b"/bot"), ("ce_subject", b"wiki:en")];

    fn attributes() -> impl Strategy<Value = Attributes> {
        let text = || "[^\\p{Cc}]{1,20}";
        let time = || proptest::option::of((0..253_402_300_800_000_i64).prop_map(Timestamp::from_millis));
        let optional = || proptest::option::of(text());
        let names = (text(), text(), "[^\\p{Cc}\\s]{1,20}", "[a-z][a-z0-9_-]{0,5}:[a-z0-9]{1,9}(/[a-z]{1,4})?");
        let lane = proptest::option::of(proptest::sample::select(&Lane::ALL[..]));
        let trace = proptest::option::of("00-[0-9a-f]{31}1-[0-9a-f]{15}1-0[01]");
        (names, "[^/:\\p{Cc}]{1,10}", time(), lane, time(), optional(), optional(), trace, optional()).prop_map(
            |(
                (id, source, event_type, channel),
                tenant,
                time,
                priority,
                expires,
                key,
                author,
                traceparent,
                principal,
            )| {
                Attributes {
                    id: EventId::parse(&id).unwrap(),
                    source: Source::parse(&source).unwrap(),
                    event_type: EventType::parse(&event_type).unwrap(),
                    channel: Channel::parse(&channel).unwrap(),
                    tenant: Tenant::parse(&tenant).unwrap(),
                    time,
                    priority,
                    expires,
                    conflation_key: key,
                    author,
                    traceparent,
                    principal,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_comes_back(attributes in attributes()) {
            prop_assert_eq!(read(&attributes.to_kafka_headers()), Ok(attributes));
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(headers in proptest::collection::vec(
            ("(ce_(id|type|source|subject|time|expires|priority)|traceparent|x)", any::<Option<Vec<u8>>>()), 0..9)) {
            let _ = Attributes::from_kafka_headers(headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())));
        }
    }

    #[test]
    fn the_least_event_has_the_default_tenant() {
        let attributes = pairs(&LEAST).unwrap();
        assert_eq!((attributes.tenant.as_str(), attributes.time), ("default", None));
    }

    #[test]
    fn each_required_header_is_missed_by_its_name() {
        for (at, attribute) in ["id", "type", "source", "subject"].into_iter().enumerate() {
            let rest: Vec<_> = LEAST.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, header)| *header).collect();
            assert_eq!(pairs(&rest), Err(CloudEventError::Missing { attribute }));
        }
        assert_eq!(pairs(&[("content-type", b"application/avro")]), Err(CloudEventError::NoHeaders));
        assert_eq!(pairs(&[]), Err(CloudEventError::NoHeaders));
    }

    #[test]
    fn each_malformed_header_is_refused_by_its_name() {
        let long = [b'x'; crate::limits::ATTRIBUTE_BYTES + 1];
        let cases: [(&str, &[u8], &str); 12] = [
            ("ce_id", b"\xff", "id"),
            ("ce_id", b"", "id"),
            ("ce_id", &long, "id"),
            ("ce_source", b"a\nb", "source"),
            ("ce_subject", b"nothing", "subject"),
            ("ce_specversion", b"0.3", "specversion"),
            ("ce_time", b"yesterday", "time"),
            ("ce_expires", b"1", "expires"),
            ("ce_priority", b"urgent", "priority"),
            ("ce_tenant", b"a/b", "tenant"),
            ("ce_author", &long, "author"),
            ("tg_principal", b"\x00", "tg_principal"),
        ];
        for (name, value, expected) in cases {
            let headers: Vec<_> = LEAST.iter().copied().chain([(name, value)]).collect();
            match pairs(&headers) {
                Err(CloudEventError::Malformed { attribute, .. }) => assert_eq!(attribute, expected),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_principal_comes_only_from_its_own_header_and_unknown_ones_say_nothing() {
        let unknown: [(&str, &[u8]); 4] =
            [("ce_tg_principal", b"eve"), ("ce_principal", b"eve"), ("id", b"2"), ("ce_other", b"\xff")];
        let headers: Vec<_> = LEAST.iter().copied().chain(unknown).collect();
        let attributes = pairs(&headers).unwrap();
        assert_eq!((attributes.principal, attributes.id.as_str()), (None, "1"));
    }

    #[test]
    fn of_a_repeated_header_the_last_wins_and_a_broken_trace_is_dropped() {
        let more: [(&str, &[u8]); 2] = [("ce_id", b"2"), ("traceparent", b"broken")];
        let headers: Vec<_> = LEAST.iter().copied().chain(more).collect();
        let attributes = pairs(&headers).unwrap();
        assert_eq!((attributes.id.as_str(), attributes.traceparent), ("2", None));
    }
}
