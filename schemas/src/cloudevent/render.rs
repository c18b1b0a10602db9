//! The JSON that a reader gets. The hot path of an edge: no tree, no allocation but the buffer's own.

use bytes::{BufMut, BytesMut};

use crate::delivery::Delivery;
use crate::json_line::put_string;

/// Writes the CloudEvents JSON that a reader of this view gets: one line, no raw CR, LF or NUL.
///
/// `{specversion, id, type, source, subject, time, datacontenttype, lane, data}`, before `data` more attributes where present: `tenant` unless
/// it is the default one, `expires`, `conflationkey`. The view's data stands as it is; null where there is no such view.
pub fn render(delivery: &Delivery, view: usize, out: &mut BytesMut) {
    let data = delivery.views.get(view).map_or(&b"null"[..], |view| &view.data);
    out.reserve(data.len() + 384); // the envelope of a typical event has some 250 bytes
    out.put_slice(br#"{"specversion":"1.0","id":"#);
    put_string(delivery.id.as_str(), out);
    put_member("type", delivery.event_type.as_str(), out);
    put_member("source", delivery.source.as_str(), out);
    put_member("subject", delivery.channel.as_str(), out);
    out.put_slice(br#","time":""#);
    delivery.time.put(out);
    out.put_slice(br#"","datacontenttype":"application/json","lane":""#);
    out.put_slice(delivery.lane.as_str().as_bytes());
    out.put_u8(b'"');
    if delivery.tenant.as_str() != "default" {
        put_member("tenant", delivery.tenant.as_str(), out);
    }
    if let Some(expires) = delivery.expires {
        out.put_slice(br#","expires":""#);
        expires.put(out);
        out.put_u8(b'"');
    }
    if let Some(key) = &delivery.conflation_key {
        put_member("conflationkey", key, out);
    }
    out.put_slice(br#","data":"#);
    out.put_slice(data);
    out.put_u8(b'}');
}

fn put_member(name: &str, text: &str, out: &mut BytesMut) {
    out.put_slice(b",\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":");
    put_string(text, out);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::delivery::tests::{any_delivery, delivery};
    use crate::time::Timestamp;

    fn rendered(delivery: &Delivery, view: usize) -> String {
        let mut out = BytesMut::new();
        render(delivery, view, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_reader_gets_this_line() {
        insta::assert_snapshot!(rendered(&delivery(), 0), @r#"{"specversion":"1.0","id":"1","type":"wiki.edit","source":"/bot","subject":"wiki:en","time":"2015-09-12T00:46:58.771Z","datacontenttype":"application/json","lane":"medium","data":{"page":"Ada"}}"#);
    }

    #[test]
    fn what_is_present_is_said_and_no_more() {
        let mut delivery = delivery();
        delivery.tenant = crate::id::Tenant::parse("acme").unwrap();
        delivery.expires = Some(Timestamp::from_millis(0));
        delivery.conflation_key = Some("a\n\"b".to_owned());
        delivery.principal = Some("ada".to_owned());
        delivery.except_author = Some("bob".to_owned());
        let json: Value = serde_json::from_str(&rendered(&delivery, 1)).unwrap();
        assert_eq!(json["data"], json!({"page": "Ada", "cityName": "Turin"}));
        assert_eq!((&json["tenant"], &json["conflationkey"]), (&json!("acme"), &json!("a\n\"b")));
        assert_eq!(json["expires"], json!("1970-01-01T00:00:00.000Z"));
        assert_eq!(json.as_object().unwrap().len(), 12);
        assert!(rendered(&delivery, 9).ends_with(r#""data":null}"#));
    }

    proptest! {
        #[test]
        fn any_delivery_is_one_line_of_json(mut delivery in any_delivery()) {
            for view in &mut delivery.views {
                view.data = Bytes::from_static(b"{}");
            }
            let line = rendered(&delivery, 0);
            prop_assert!(!line.contains(['\r', '\n', '\0']));
            let json: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(json["id"].as_str(), Some(delivery.id.as_str()));
            prop_assert_eq!(json["subject"].as_str(), Some(delivery.channel.as_str()));
        }
    }
}
