//! The limit of connections per user over all edges of a store: under races, when an edge dies, by either policy, and while the store is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Client;
use serde_json::json;
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::services::{self, OwnService, Services};
use tests::socket::Socket;
use tests::stream::{Next, Stream};
use tests::wait::until;

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);
/// The limit, as it is by default.
const LIMIT: usize = 5;
/// So many edges.
const EDGES: usize = 3;
/// Who races.
const RACERS: usize = 1_000;
/// Readers who come and go, and how long.
const RESTLESS: usize = 60;
const RESTLESS_FOR: Duration = Duration::from_secs(5);
/// Streams whose first blocks are timed.
const FIRST_BLOCKS: usize = 300;
/// The longest that one of them stays.
const STAY_MS: u64 = 200;
/// Nothing changes any more within this time.
const QUIET: Duration = Duration::from_secs(2);
/// A machine that is busy is no store that is away.
const LOOK: (&str, &str) = ("TIDEGATE_EDGE__CONNECTIONS_LOOK_MS", "10000");

struct Edges {
    edges: Vec<Process>,
    deployment: Deployment,
    client: Client,
    token: String,
}

/// Streams that are open, and the most that ever were at one time.
#[derive(Default)]
struct Count {
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Count {
    fn opened(&self) {
        self.most.fetch_max(self.open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    }

    fn closes(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Edges {
    async fn start(services: &Services, cql: &str, env: &[(&str, &str)]) -> Self {
        let mut deployment = Deployment::on(services);
        deployment.flag("--cql", cql);
        let keyspace = services::own_prefix().replace('.', "");
        let env = [env, &[("TIDEGATE_CQL_CLIENT__KEYSPACE", keyspace.as_str())]].concat();
        let first = deployment.start_with(Role::Up, "first", &env).await;
        store_answers(&first, true).await;
        let edge = |name| deployment.start_with(Role::Edge, name, &env);
        let (second, third) = tokio::join!(edge("second"), edge("third"));
        for edge in [&second, &third] {
            store_answers(edge, true).await;
        }
        let token = deployment.token("ada", &[]).await;
        let client = Client::builder().no_proxy().http1_only().pool_max_idle_per_host(0).build().expect("a client");
        Self { edges: vec![first, second, third], deployment, client, token }
    }

    fn url(&self, edge: usize) -> String {
        self.edges[edge % EDGES].url("/v1/stream?channel=wiki:en")
    }

    async fn come(&self, edge: usize) -> Option<Stream> {
        come(&self.client, &self.url(edge), Some(&self.token)).await
    }

    /// Comes again until there is a seat, as a browser does.
    async fn sit(&self, edge: usize) -> Stream {
        let seat = until(WITHIN, || async { self.come(edge).await.ok_or_else(|| "it is refused".to_owned()) });
        seat.await.unwrap_or_else(|error| panic!("no seat on edge {edge}: {error}"))
    }

    async fn counted(&self, metric: &str) -> u64 {
        let mut sum = 0;
        for edge in &self.edges {
            let text = client::get(&edge.url("/metrics")).await.text;
            sum += text.lines().filter_map(|line| line.strip_prefix(metric)?.trim().parse::<u64>().ok()).sum::<u64>();
        }
        sum
    }
}

/// A stream, where it is let in; none where its user has too many.
async fn come(client: &Client, url: &str, token: Option<&str>) -> Option<Stream> {
    let request = client.get(url);
    let request = token.iter().fold(request, |request, token| request.bearer_auth(token));
    let mut stream = Stream::of(request).await.expect("200, or a browser gives up");
    let first = stream.block(WITHIN).await;
    if first.is("tidegate.ready") {
        return Some(stream);
    }
    assert!(first.is("tidegate.bye") && first.retry.is_some(), "{first:?}");
    assert_eq!(first.json()["reason"], json!("limit"));
    None
}

/// How long the first block of a stream takes, in the middle and at the 99th of a hundred.
async fn first_blocks(edges: &Edges, tokens: &[Option<String>]) -> [Duration; 2] {
    let mut taken = Vec::new();
    for turn in 0..FIRST_BLOCKS {
        let began = Instant::now();
        let came = come(&edges.client, &edges.url(0), tokens[turn % tokens.len()].as_deref()).await;
        // Whoever is refused, because the stream before has not ended yet, says nothing of it.
        taken.extend(came.map(|_stream| began.elapsed()));
    }
    taken.sort_unstable();
    [taken[taken.len() / 2], taken[taken.len() * 99 / 100]]
}

/// Whether a stream is told that it is over the limit.
async fn is_ended(stream: &mut Stream) -> bool {
    loop {
        match stream.next(WITHIN).await {
            Next::Block(block) if block.is("tidegate.bye") => {
                assert_eq!(block.json()["reason"], json!("limit"));
                return true;
            }
            Next::Block(_) | Next::Comment => {}
            Next::End { .. } | Next::Silence => return false,
        }
    }
}

/// Whether a stream stays open.
async fn stays(stream: &mut Stream) -> bool {
    let until = Instant::now() + QUIET;
    loop {
        match stream.next(until.saturating_duration_since(Instant::now())).await {
            Next::Block(block) => assert!(!block.is("tidegate.bye"), "{block:?}"),
            Next::Comment => {}
            Next::End { .. } => return false,
            Next::Silence => return true,
        }
    }
}

/// Until `/readyz`, which is 200 all the while, says so of the store.
async fn store_answers(process: &Process, answers: bool) {
    let asked = until(WITHIN, || async {
        let answer = client::get(&process.url("/readyz")).await;
        let store = answer.json()["dependencies"]["store"].clone();
        let said = store["detail"].as_str().unwrap_or_default().contains("limits hold for this process alone");
        let is_so = answer.status.is_success() && store["ready"] == json!(answers) && said != answers;
        if is_so { Ok(()) } else { Err(answer.text) }
    });
    asked.await.unwrap_or_else(|last| panic!("{last}\n{}", process.log()));
}

/// All at once, each once; those who got a seat keep it.
async fn race(edges: &Arc<Edges>) -> Vec<Stream> {
    let racing = (0..RACERS).map(|racer| {
        let edges = edges.clone();
        tokio::spawn(async move { edges.come(racer).await })
    });
    join_all(racing).await.into_iter().filter_map(|came| came.expect("it came")).collect()
}

/// Some come and go for a while; how many of them were there at one time.
async fn be_restless(edges: &Arc<Edges>) -> usize {
    let (count, end) = (Arc::new(Count::default()), Instant::now() + RESTLESS_FOR);
    let coming = (0..RESTLESS).map(|reader| {
        let (edges, count) = (edges.clone(), count.clone());
        tokio::spawn(async move {
            while Instant::now() < end {
                if let Some(stream) = edges.come(reader).await {
                    count.opened();
                    tokio::time::sleep(Duration::from_millis(rand::random_range(0..STAY_MS))).await;
                    count.closes();
                    drop(stream);
                }
            }
        })
    });
    join_all(coming).await.into_iter().for_each(|came| came.expect("it came"));
    count.most.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_racing_connects_of_one_user_are_at_most_two_over_the_limit_and_an_edge_that_dies_frees_its_seats() {
    let (Some(services), Some(cql)) = (Services::find("three edges"), services::cql("three edges")) else { return };
    let edges = Arc::new(Edges::start(&services, &cql, &[LOOK]).await);
    let mut streams = race(&edges).await;
    eprintln!("{} of {RACERS} have a seat", streams.len());
    assert!((LIMIT..LIMIT + EDGES).contains(&streams.len()), "{} are open", streams.len());
    let refused = edges.counted("tidegate_edge_limits_total{limit=\"connections_per_user\"}").await;
    assert_eq!(usize::try_from(refused).expect("a number"), RACERS - streams.len());
    for stream in &mut streams {
        assert!(stays(stream).await, "who has a seat keeps it");
    }
    drop(streams);

    let most = be_restless(&edges).await;
    eprintln!("{most} at one time, of {RESTLESS} who came and went");
    assert!((1..LIMIT + EDGES).contains(&most), "{most} were open at one time");
    let unseen =
        ["late", "failed"].map(|outcome| format!("tidegate_edge_connection_looks_total{{outcome=\"{outcome}\"}}"));
    for outcome in &unseen {
        assert_eq!(edges.counted(outcome).await, 0, "{outcome}: the store was not asked in vain");
    }

    let users = ["eve", "flo", "gus", "hal"].map(|user| edges.deployment.token(user, &[]));
    let users: Vec<_> = join_all(users).await.into_iter().map(Some).collect();
    let (nobody, somebody) = (first_blocks(&edges, &[None]).await, first_blocks(&edges, &users).await);
    eprintln!("the first block takes {nobody:?} (p50, p99) without a seat, {somebody:?} with one");

    let mut seats = Vec::new();
    for edge in [2, 2, 0, 1] {
        seats.push(edges.sit(edge).await);
    }
    let socket_url = edges.edges[0].url("/v1/ws?channel=wiki:en");
    let mut socket = Socket::open(&socket_url, Some(&edges.token)).await.expect("101");
    socket.of("tidegate.ready").await;
    for edge in 0..EDGES {
        assert!(edges.come(edge).await.is_none(), "five are open, on whatever edge, streams and sockets alike");
        let page = edges.edges[edge].url("/v1/events?channel=wiki:en");
        let page = client::ask(reqwest::Method::GET, &page, Some(&edges.token), None).await;
        assert_eq!(page.status.as_u16(), 200, "pages are counted on each edge");
    }
    let ben = edges.deployment.token("ben", &[]).await;
    assert!(come(&edges.client, &edges.url(0), Some(&ben)).await.is_some(), "another user has seats of their own");
    assert!(come(&edges.client, &edges.url(0), None).await.is_some(), "and the anonymous have no limit");
    drop(seats.pop());
    seats.push(edges.sit(0).await);
    assert!(edges.come(1).await.is_none(), "a tab that was loaded again has the seat that it left on another edge");

    let mut edges = Arc::into_inner(edges).expect("nobody comes any more");
    let mut third = edges.edges.remove(2);
    third.kill().await;
    let killed = Instant::now();
    let url = edges.edges[0].url("/v1/stream?channel=wiki:en");
    let freed = until(WITHIN, || async {
        come(&edges.client, &url, Some(&edges.token)).await.ok_or_else(|| "it is refused".to_owned())
    });
    let freed = freed.await.expect("what a dead edge held is free");
    eprintln!("a seat is free {:?} after its edge was killed", killed.elapsed());
    drop((freed, seats, socket));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_oldest_ends_it_makes_room_on_its_own_edge_and_on_another() {
    let (Some(services), Some(cql)) = (Services::find("three edges"), services::cql("three edges")) else { return };
    let oldest = ("TIDEGATE_EDGE__CONNECTIONS_OVER", "oldest");
    let edges = Edges::start(&services, &cql, &[LOOK, oldest]).await;
    let mut seats = Vec::new();
    for edge in [0, 1, 0, 0, 1] {
        seats.push(edges.sit(edge).await);
    }
    let mut sixth = edges.sit(0).await;
    assert!(is_ended(&mut seats.remove(0)).await, "the oldest of all made room, on the same edge");
    let mut seventh = edges.sit(2).await;
    assert!(is_ended(&mut seats.remove(0)).await, "and on another");
    for stream in seats.iter_mut().chain([&mut sixth, &mut seventh]) {
        assert!(stays(stream).await, "nobody else did");
    }
    let socket_url = edges.edges[1].url("/v1/ws?channel=wiki:en");
    let mut socket = Socket::open(&socket_url, Some(&edges.token)).await.expect("101");
    socket.of("tidegate.ready").await;
    assert!(is_ended(&mut seats.remove(0)).await, "also for a socket");
    drop(seats);
    drop((sixth, seventh));
    let mut later = Vec::new();
    for edge in [0, 0, 0, 0, 1] {
        later.push(edges.sit(edge).await);
    }
    assert_eq!(socket.of("tidegate.bye").await["reason"], json!("limit"), "and a socket itself is the oldest");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_the_limit_holds_on_each_edge_and_when_it_is_back_over_all_of_them() {
    if services::cql("three edges").is_none() {
        return;
    }
    let Some(services) = Services::find("three edges") else { return };
    let cassandra = OwnService::cassandra().await;
    let edges = Edges::start(&services, &cassandra.address, &[]).await;
    let mut seats = Vec::new();
    for edge in 0..EDGES {
        seats.push(edges.sit(edge).await);
    }
    cassandra.kill().await;
    for edge in 0..EDGES {
        while let Some(stream) = edges.come(edge).await {
            seats.push(stream);
        }
        store_answers(&edges.edges[edge], false).await;
    }
    assert_eq!(seats.len(), EDGES * LIMIT, "each edge has as many as it alone may have");
    for stream in &mut seats {
        assert!(stays(stream).await, "a stream needs no store");
    }

    cassandra.start().await;
    for edge in &edges.edges {
        store_answers(edge, true).await;
    }
    let held = until(WITHIN, || async {
        // An edge that still counts alone has room here; one that counts all has not.
        let nobody = edges.deployment.token("ben", &[]).await;
        let mut bens = Vec::new();
        for edge in 0..LIMIT {
            bens.extend(come(&edges.client, &edges.url(edge), Some(&nobody)).await);
        }
        let over = (0..EDGES).map(|edge| {
            let (client, url, nobody) = (&edges.client, edges.url(edge), &nobody);
            async move { come(client, &url, Some(nobody)).await }
        });
        let over = join_all(over).await;
        let over = over.iter().flatten().count();
        if over == 0 { Ok(()) } else { Err(format!("{over} over the limit")) }
    });
    held.await.expect("the limit holds over all edges again");
    // Of those that came meanwhile every one has its row: only with all but four gone is there room again.
    for left in [EDGES * LIMIT - 1, LIMIT] {
        seats.truncate(left);
        let noticed = Instant::now() + QUIET;
        while Instant::now() < noticed {
            assert!(edges.come(2).await.is_none(), "{left} are open");
        }
    }
    seats.truncate(LIMIT - 1);
    let fifth = edges.sit(2).await;
    for edge in 0..EDGES {
        assert!(edges.come(edge).await.is_none());
    }
    drop(fifth);
}
