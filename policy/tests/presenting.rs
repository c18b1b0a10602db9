//! How a request says whose it is: header, ticket, cookie, query; and what is refused although the token is good.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use policy::{
    Act, ChannelGrants, Claims, Doorkeeper, IdentityError, InQuery, Origins, Presented, Signer, TokenError, Verifier,
};
use schemas::channel::{Channel, ChannelPattern};
use schemas::time::Timestamp;

const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests only";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn someone() -> Claims {
    Claims { sub: Some("ada".to_owned()), exp: Some(NOW.plus(Duration::from_secs(600))), ..Claims::anonymous() }
}

fn token() -> String {
    Signer::from_key(SECRET).unwrap().sign(&someone(), NOW).unwrap()
}

fn doorkeeper() -> Doorkeeper {
    Doorkeeper::of_key(SECRET).unwrap()
}

async fn identify(
    doorkeeper: &Doorkeeper,
    headers: &[(&str, &str)],
    act: Act,
    query: InQuery<'_>,
) -> Result<Claims, IdentityError> {
    let pairs = headers.iter().map(|(name, value)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, value);
    }
    let uri = Uri::from_static("/v1/stream");
    doorkeeper.identify(Presented::new(&map, &uri, act).with_query(query), NOW).await
}

#[tokio::test]
async fn only_a_bearer_header_carries_a_token() {
    let (doorkeeper, token) = (doorkeeper(), token());
    let nothing = InQuery::Nothing;
    assert_eq!(identify(&doorkeeper, &[], Act::Read, nothing).await, Ok(Claims::anonymous()));
    for header in [format!("Bearer {token}"), format!("bearer  {token} ")] {
        assert_eq!(identify(&doorkeeper, &[("authorization", &header)], Act::Read, nothing).await, Ok(someone()));
    }
    let (basic, tab) = (format!("Basic {token}"), format!("Bearer\t{token}"));
    for header in ["", "Bearer", "Bearer ", &token, &basic, &tab, "Bearer \u{e9}"] {
        let refused = identify(&doorkeeper, &[("authorization", header)], Act::Read, nothing).await;
        assert_eq!(refused, Err(TokenError::NotBearer.into()), "{header}");
    }
    let bearer = format!("Bearer {token}");
    let twice = [("authorization", bearer.as_str()), ("authorization", "Bearer x")];
    assert_eq!(identify(&doorkeeper, &twice, Act::Read, nothing).await, Err(IdentityError::Several));
    let cookie = format!("session={token}");
    let unknown = identify(&doorkeeper, &[("cookie", &cookie)], Act::Read, nothing).await;
    assert_eq!(unknown, Ok(Claims::anonymous()), "no cookie counts where none is configured");
}

#[tokio::test]
async fn a_token_stands_in_a_url_only_where_it_is_configured() {
    let (strict, lax, token) = (doorkeeper(), doorkeeper().with_tokens_in_query(), token());
    for (act, query) in [(Act::Read, InQuery::Token(&token)), (Act::Converse, InQuery::Either(&token))] {
        assert!(identify(&strict, &[], act, query).await.is_err());
        assert_eq!(identify(&lax, &[], act, query).await, Ok(someone()));
    }
    assert_eq!(identify(&strict, &[], Act::Read, InQuery::Token("x")).await, Err(IdentityError::TokenInQuery));
    let bearer = format!("Bearer {token}");
    let both = identify(&lax, &[("authorization", &bearer)], Act::Read, InQuery::Token(&token)).await;
    assert_eq!(both, Err(IdentityError::Several));
}

#[tokio::test]
async fn a_ticket_is_for_a_short_while_for_reading_and_for_nothing_else() {
    let doorkeeper = doorkeeper();
    let ticket = doorkeeper.ticket(&someone(), None, NOW).unwrap();
    assert_eq!(ticket.expires_at, NOW.plus(Duration::from_secs(60)));
    let text = ticket.ticket.as_str();
    for query in [InQuery::Ticket(text), InQuery::Either(text)] {
        assert_eq!(identify(&doorkeeper, &[], Act::Read, query).await, Ok(someone()), "lives as long as the token");
    }
    let other_edge = Doorkeeper::of_key(SECRET).unwrap().with_tokens_in_query();
    for query in [InQuery::Ticket(text), InQuery::Either(text)] {
        assert_eq!(identify(&other_edge, &[], Act::Read, query).await, Ok(someone()));
    }
    let bearer = format!("Bearer {text}");
    let as_token = identify(&doorkeeper, &[("authorization", &bearer)], Act::Change, InQuery::Nothing).await;
    assert_eq!(as_token, Err(TokenError::Purpose.into()));
    let in_query = identify(&other_edge, &[], Act::Read, InQuery::Token(text)).await;
    assert_eq!(in_query, Err(TokenError::Purpose.into()));
    assert_eq!(Verifier::from_key(SECRET).unwrap().verify(text, NOW), Err(TokenError::Purpose));
    let token = token();
    let as_ticket = identify(&doorkeeper, &[], Act::Read, InQuery::Ticket(&token)).await;
    assert_eq!(as_ticket, Err(TokenError::Purpose.into()));
    let (head, tail) = text.rsplit_once('.').unwrap();
    for bad in [format!("{head}."), format!("{head}.{}", tail.to_uppercase()), "x".to_owned(), "x".repeat(9_000)] {
        assert!(identify(&doorkeeper, &[], Act::Read, InQuery::Ticket(&bad)).await.is_err(), "{bad}");
    }
    let stranger = Doorkeeper::of_key(b"another secret of more than 32 bytes, too").unwrap();
    assert_eq!(
        identify(&stranger, &[], Act::Read, InQuery::Ticket(text)).await,
        Err(TokenError::Signature.into()),
        "of another deployment"
    );
}

#[tokio::test]
async fn a_ticket_ends_with_its_time_or_its_token_and_never_has_more_rights() {
    let doorkeeper = doorkeeper();
    let soon = NOW.plus(Duration::from_secs(20));
    let claims = Claims {
        exp: Some(soon),
        channels: ChannelGrants { subscribe: Some(vec!["wiki:*".to_owned()]), publish: Some(Vec::new()) },
        ..someone()
    };
    let patterns = ["wiki:en", "user:1"].map(|text| ChannelPattern::parse(text).unwrap());
    let ticket = doorkeeper.ticket(&claims, Some(&patterns), NOW).unwrap();
    assert_eq!(ticket.expires_at, soon);
    let narrowed = identify(&doorkeeper, &[], Act::Read, InQuery::Ticket(&ticket.ticket)).await.unwrap();
    assert_eq!(narrowed.channels.subscribe, Some(vec!["wiki:en".to_owned()]));
    assert!(!narrowed.channels.leaves_publish(&Channel::parse("wiki:en").unwrap()));
    let long = doorkeeper.ticket(&someone(), None, NOW.minus(Duration::from_secs(60))).unwrap();
    let late = identify(&doorkeeper, &[], Act::Read, InQuery::Ticket(&long.ticket)).await;
    assert_eq!(late, Err(TokenError::Expired.into()));
}

#[tokio::test]
async fn a_cookie_counts_only_from_our_own_pages_and_those_that_are_allowed() {
    let origins = Origins::new(vec!["https://app.example".to_owned()]);
    let doorkeeper = doorkeeper().with_cookie("session".to_owned(), origins);
    let cookie = format!("theme=dark; session={}", token());
    let ask = |more: &[(&'static str, &'static str)], act| {
        let headers: Vec<(&str, &str)> =
            [("cookie", cookie.as_str()), ("host", "edge.example")].into_iter().chain(more.iter().copied()).collect();
        let doorkeeper = &doorkeeper;
        let headers: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        async move {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            identify(doorkeeper, &headers, act, InQuery::Nothing).await
        }
    };
    let refused = Err(IdentityError::Origin);
    for act in [Act::Read, Act::Change, Act::Converse] {
        for origin in ["https://edge.example", "https://app.example"] {
            assert_eq!(ask(&[("origin", origin)], act).await, Ok(someone()), "{origin} {act:?}");
        }
        for origin in ["https://evil.example", "null", "", "https://app.example.evil.example", "http://localhost:5173"]
        {
            assert_eq!(ask(&[("origin", origin)], act).await, refused, "{origin} {act:?}");
        }
    }
    assert_eq!(ask(&[], Act::Change).await, refused);
    assert_eq!(ask(&[], Act::Converse).await, refused);
    assert_eq!(ask(&[], Act::Read).await, Ok(someone()), "a page that reads from its own origin names none");
    assert_eq!(ask(&[("sec-fetch-site", "same-origin")], Act::Read).await, Ok(someone()));
    assert_eq!(ask(&[("sec-fetch-site", "cross-site")], Act::Read).await, refused);
    assert_eq!(ask(&[("sec-fetch-site", "same-site")], Act::Read).await, refused);
    assert_eq!(
        ask(&[("cookie", "session=tossed"), ("origin", "https://edge.example")], Act::Read).await,
        Err(TokenError::Malformed.into()),
        "of two with one name one is somebody else's"
    );
    let ticket = doorkeeper.ticket(&Claims { sub: Some("ben".to_owned()), ..someone() }, None, NOW).unwrap();
    let headers = [("cookie", cookie.as_str())];
    let by_ticket = identify(&doorkeeper, &headers, Act::Read, InQuery::Ticket(&ticket.ticket)).await.unwrap();
    assert_eq!(by_ticket.sub.as_deref(), Some("ben"), "a cookie is sent along unasked");
}
