//! Who is measured, and the requests that each understands. Pure: who runs them is `servers`.

use std::fmt::Write;

use memchr::memmem::{find, rfind};

/// A server of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Contender {
    /// Tidegate's edge, behind its router and Kafka.
    Us,
    /// The yardstick of `floor`: one write a delivery, and nothing else.
    Floor,
    /// An nginx module, in C.
    Nchan,
    /// In Go.
    Centrifugo,
    /// The reference hub, in Go.
    Mercure,
}

/// One event to publish by HTTP.
#[derive(Debug)]
pub(crate) struct Post {
    /// The channel's name.
    pub(crate) channel: String,
    /// Its marker and filling.
    pub(crate) payload: String,
}

impl Contender {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 5] = [Self::Us, Self::Floor, Self::Nchan, Self::Centrifugo, Self::Mercure];

    /// As the table has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Us => "tidegate",
            Self::Floor => "floor",
            Self::Nchan => "nchan",
            Self::Centrifugo => "centrifugo",
            Self::Mercure => "mercure",
        }
    }

    /// Whether it is one to be better than.
    pub(crate) const fn is_peer(self) -> bool {
        match self {
            Self::Us | Self::Floor => false,
            Self::Nchan | Self::Centrifugo | Self::Mercure => true,
        }
    }

    /// Whether it keeps channels apart and keeps what was missed; the floor knows one channel and no past.
    pub(crate) const fn has_channels(self) -> bool {
        match self {
            Self::Floor => false,
            Self::Us | Self::Nchan | Self::Centrifugo | Self::Mercure => true,
        }
    }

    /// A channel's name; `run` tells it from those of other runs.
    pub(crate) fn channel(self, run: &str, number: u64) -> String {
        match self {
            Self::Us => format!("bench:{run}x{number}"),
            Self::Floor | Self::Nchan | Self::Centrifugo | Self::Mercure => format!("{run}x{number}"),
        }
    }

    /// The request of a stream; `resume` is what [`Self::resume_token`] found.
    pub(crate) fn subscribe(self, channel: &str, resume: Option<&str>) -> Vec<u8> {
        let path = match self {
            Self::Us => format!("/v1/stream?channel={channel}"),
            Self::Floor => format!("/{channel}"),
            Self::Nchan => format!("/sub?id={channel}"),
            Self::Mercure => format!("/.well-known/mercure?topic={channel}"),
            Self::Centrifugo => format!("/connection/uni_sse?cf_connect={}", recover(channel, resume)),
        };
        let by_header = resume.filter(|_| self != Self::Centrifugo);
        let last = by_header.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{last}\r\n").into_bytes()
    }

    /// The request of a stream that reads all channels of the load from the beginning of the log; none where there is no such past.
    pub(crate) fn past(self) -> Option<Vec<u8>> {
        match self {
            Self::Us => Some(self.subscribe("bench:*", Some("earliest"))),
            Self::Floor | Self::Nchan | Self::Centrifugo | Self::Mercure => None,
        }
    }

    /// Where a stream stands, from the beginning of its body and from its end.
    pub(crate) fn resume_token(self, first: &[u8], recent: &[u8]) -> Option<String> {
        let value = |bytes: &[u8], at: usize, ends: &[u8]| {
            let value: Vec<u8> = bytes[at..].iter().copied().take_while(|byte| !ends.contains(byte)).collect();
            String::from_utf8(value).ok()
        };
        if self == Self::Centrifugo {
            const OFFSET: &[u8] = b"\"offset\":";
            const EPOCH: &[u8] = b"\"epoch\":\"";
            let offset = value(recent, rfind(recent, OFFSET)? + OFFSET.len(), b",}")?;
            let epoch = value(first, find(first, EPOCH)? + EPOCH.len(), b"\"")?;
            return Some(format!("{offset}:{epoch}"));
        }
        const ID: &[u8] = b"\nid:";
        let whole = &recent[..rfind(recent, b"\n\n")? + 1];
        Some(value(whole, rfind(whole, ID)? + ID.len(), b"\r\n")?.trim().to_owned())
    }

    /// Appends the requests that publish these events; how many answers they bring.
    pub(crate) fn publish(self, posts: &[Post], header: &str, out: &mut String) -> usize {
        match self {
            Self::Centrifugo => {
                let command = |post: &Post| {
                    let Post { channel, payload } = post;
                    format!(r#"{{"publish":{{"channel":"{channel}","data":"{payload}"}}}}"#)
                };
                let commands: Vec<String> = posts.iter().map(command).collect();
                let body = format!(r#"{{"commands":[{}]}}"#, commands.join(","));
                request(out, "/api/batch", "application/json", header, &body);
                return 1;
            }
            Self::Mercure => {
                for Post { channel, payload } in posts {
                    let payload = payload.replace('#', "%23").replace('!', "%21").replace(',', "%2C");
                    let body = format!("topic={channel}&data={payload}");
                    request(out, "/.well-known/mercure", "application/x-www-form-urlencoded", header, &body);
                }
            }
            Self::Us | Self::Floor | Self::Nchan => {
                for Post { channel, payload } in posts {
                    request(out, &format!("/pub?id={channel}"), "text/plain", header, payload);
                }
            }
        }
        posts.len()
    }
}

/// Centrifugo's connect command, as a query takes it.
fn recover(channel: &str, resume: Option<&str>) -> String {
    let from = resume.and_then(|token| token.split_once(':'));
    let how = from
        .map_or_else(String::new, |(offset, epoch)| format!(r#""recover":true,"offset":{offset},"epoch":"{epoch}""#));
    let command = format!(r#"{{"subs":{{"{channel}":{{{how}}}}}}}"#);
    command.bytes().fold(String::new(), |mut query, byte| {
        if byte.is_ascii_alphanumeric() {
            query.push(char::from(byte));
        } else {
            let _ = write!(query, "%{byte:02X}");
        }
        query
    })
}

fn request(out: &mut String, path: &str, content_type: &str, header: &str, body: &str) {
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let _ = write!(
        out,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{header}Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_resumes_behind_its_last_whole_block() {
        let recent = b"data: a\nid: 7:0\n\ndata: b\nid: 8:0\n\ndata: c\nid: 9";
        assert_eq!(Contender::Us.resume_token(b"", recent).as_deref(), Some("8:0"));
        assert_eq!(Contender::Us.resume_token(b"", b"data: a\n"), None);
        let first = br#"data: {"connect":{"subs":{"c":{"epoch":"xyz"}}}}"#;
        let recent = br#"{"pub":{"data":"a","offset":41}}  {"pub":{"data":"b","offset":42}}"#;
        assert_eq!(Contender::Centrifugo.resume_token(first, recent).as_deref(), Some("42:xyz"));
    }

    #[test]
    fn a_batch_is_one_request_or_one_each() {
        let post = || Post { channel: "c".to_owned(), payload: "p".to_owned() };
        let mut out = String::new();
        assert_eq!(Contender::Centrifugo.publish(&[post(), post()], "", &mut out), 1);
        out.clear();
        assert_eq!(Contender::Nchan.publish(&[post(), post()], "A: b", &mut out), 2);
        assert_eq!(out.matches("A: b\r\n").count(), 2);
    }
}
