//! Which coding a request asks for: `Accept-Encoding` with weights (RFC 9110 12.5.3). Pure.

use http::{HeaderMap, header};

use super::Encoding;

/// In the order of ours: gzip costs an idle stream nothing.
const OURS: [(Encoding, &[&str]); 2] = [(Encoding::Gzip, &["gzip", "x-gzip"]), (Encoding::Zstd, &["zstd"])];
/// A weight in thousandths, where none is said.
const FULL: u16 = 1_000;

/// The coding with the highest weight; of equals the first of ours. Nothing is coded for a client who does not ask for it.
pub(super) fn best(headers: &HeaderMap) -> Encoding {
    let asked: Vec<(&str, u16)> = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(weighted)
        .collect();
    let weight = |names: &[&str]| {
        let named = asked.iter().find(|(name, _)| names.iter().any(|known| known.eq_ignore_ascii_case(name)));
        let any = asked.iter().find(|(name, _)| *name == "*");
        named.or(any).map(|(_, weight)| *weight)
    };
    let plain = weight(&["identity"]).unwrap_or(0);
    let mut best = (Encoding::Identity, plain);
    for (encoding, names) in OURS {
        let offered = weight(names).unwrap_or(0);
        let better = offered > best.1 || (offered == best.1 && best.0 == Encoding::Identity);
        if offered > 0 && better {
            best = (encoding, offered);
        }
    }
    best.0
}

/// `gzip;q=0.5`; none where the weight is none.
fn weighted(text: &str) -> Option<(&str, u16)> {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let mut weights = parameters.split(';').filter_map(|one| one.trim().strip_prefix("q="));
    let weight = weights.next().map_or(Some(FULL), thousandths)?;
    Some((name.trim(), weight))
}

/// `0`, `1`, `0.25`, with at most three digits behind the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = part.bytes().all(|byte| byte.is_ascii_digit()) && part.len() <= 3;
    let part: u16 = format!("{part:0<3}").parse().ok().filter(|_| digits)?;
    let weight = whole.parse::<u16>().ok()?.checked_mul(FULL)?.checked_add(part)?;
    (weight <= FULL).then_some(weight)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_highest_weight_wins_and_of_equals_the_cheapest() {
        let of = |text: &'static str| {
            best(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(text))]))
        };
        for (asked, encoding) in [
            ("gzip, deflate, br, zstd", Encoding::Gzip),
            ("zstd, gzip", Encoding::Gzip),
            ("zstd", Encoding::Zstd),
            ("gzip;q=0.5, zstd;q=0.8", Encoding::Zstd),
            ("GZIP;q=0.001", Encoding::Gzip),
            ("gzip;q=0, zstd;q=0", Encoding::Identity),
            ("gzip;q=0, *", Encoding::Zstd),
            ("*", Encoding::Gzip),
            ("*;q=0", Encoding::Identity),
            ("identity", Encoding::Identity),
            ("identity, gzip", Encoding::Gzip),
            ("identity, gzip;q=0.5", Encoding::Identity),
            ("br, deflate", Encoding::Identity),
            ("gzip;q=2, zstd;q=x", Encoding::Identity),
            ("", Encoding::Identity),
        ] {
            assert_eq!(of(asked), encoding, "{asked:?}");
        }
        assert_eq!(best(&HeaderMap::new()), Encoding::Identity);
    }
}
