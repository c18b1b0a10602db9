//! The input: 39,244 real edits of Wikipedia, or a seeded generator of the same shape where the file is not there.
//!
//! Taken from `$TIDEGATE_EVENTS`, else from `../shared/data` beside the checkout; which one, a run says on stderr.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::services::checkout;

/// How many the generator makes: as many as there are real ones.
const GENERATED: usize = 39_244;
/// The generator's seed; another seed is another file.
const SEED: u64 = 0x7469_6465;
/// The first generated edit's time, in ms since 1970: as in the real ones.
const FIRST_MILLIS: i64 = 1_442_018_818_771;
/// The six fields of an edit that carry the label `place`.
pub const PLACE_FIELDS: [&str; 6] =
    ["cityName", "countryName", "countryIsoCode", "regionName", "regionIsoCode", "metroCode"];

/// The edits, and the file that holds them.
#[derive(Debug)]
pub struct Edits {
    /// NDJSON, gzipped.
    pub path: PathBuf,
    /// The same lines, parsed.
    pub lines: Vec<Arc<Value>>,
}

static EDITS: LazyLock<Edits> = LazyLock::new(|| {
    let path = find();
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    let parse = |line: String| Arc::new(serde_json::from_str(&line).expect("one JSON object a line"));
    let lines = lines.map(|line| parse(line.expect("UTF-8"))).collect();
    Edits { path, lines }
});

/// All edits; loaded once.
#[must_use]
pub fn all() -> &'static Edits {
    &EDITS
}

/// What tells an edit from all others.
#[must_use]
pub fn identity(edit: &Value) -> String {
    ["time", "channel", "page", "user"].map(|name| edit[name].as_str().unwrap_or_default()).join("\u{1f}")
}

/// The channel that the map `wikipedia` makes of it.
#[must_use]
pub fn channel(edit: &Value) -> String {
    let wiki = edit["channel"].as_str().unwrap_or_default().trim_start_matches('#');
    format!("wiki:{}", wiki.strip_suffix(".wikipedia").unwrap_or(wiki))
}

/// The lane that the catalogue `wikipedia` gives it.
#[must_use]
pub fn lane(edit: &Value) -> &'static str {
    match (edit["isRobot"].as_bool(), edit["isAnonymous"].as_bool()) {
        (Some(true), _) => "low",
        (_, Some(true)) => "high",
        _ => "medium",
    }
}

/// An edit that none of the others is, in the same channel and lane as this one: whoever has got it has got all before it.
#[must_use]
pub fn sentinel(edit: &Value) -> Value {
    let mut sentinel = edit.clone();
    sentinel["page"] = json!("The end");
    sentinel["user"] = json!("sentinel");
    sentinel
}

fn find() -> PathBuf {
    let real = std::env::var_os("TIDEGATE_EVENTS")
        .map_or_else(|| checkout().join("../shared/data/wikipedia-edits-2015-09-12.json.gz"), PathBuf::from);
    if real.exists() {
        eprintln!("edits: the real ones, {}", real.display());
        return real;
    }
    let path = checkout().join(format!("target/generated-edits-{SEED:x}.json.gz"));
    eprintln!("edits: GENERATED (seed {SEED:x}), because {} is not there", real.display());
    if !path.exists() {
        generate(&path);
    }
    path
}

/// Writes the generated edits beside the target and then moves them there, so that nobody reads half a file.
fn generate(path: &Path) {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().expect("a parent")).expect("a file");
    let mut gzip = GzEncoder::new(&mut file, Compression::fast());
    let mut random = StdRng::seed_from_u64(SEED);
    for number in 0..GENERATED {
        writeln!(gzip, "{}", edit(number, &mut random)).expect("it is written");
    }
    gzip.finish().expect("it is written");
    file.persist(path).expect("it is moved");
}

fn edit(number: usize, random: &mut StdRng) -> Value {
    const WIKIS: [&str; 12] = ["en", "de", "fr", "ru", "it", "es", "ja", "vi", "zh", "uz", "ca", "be-tarask"];
    const PAGES: [&str; 6] = ["Ada Lovelace", "Zürich", "東京", "Шаблон:Кто", "Talk:Café \"noir\"", "a\\b<script>"];
    // Volumes differ by orders of magnitude, as they do in life.
    let rank = (0..3).map(|_| random.random_range(0..WIKIS.len())).min().unwrap_or_default();
    let wiki = WIKIS[rank];
    let is_robot = random.random_bool(0.4);
    let is_anonymous = !is_robot && random.random_bool(0.15);
    let place = |text: &str| if is_anonymous { json!(text) } else { Value::Null };
    let delta: i32 = random.random_range(-2_000..4_000);
    let millis = FIRST_MILLIS + i64::try_from(number).unwrap_or_default() * 2_201;
    json!({
        "time": schemas::time::Timestamp::from_millis(millis).to_string(),
        "channel": format!("#{wiki}.wikipedia"),
        "cityName": place("Turin"), "comment": format!("/* {number} */ ünïcode \u{2028} and\ttabs"),
        "countryIsoCode": place("IT"), "countryName": place("Italy"),
        "isAnonymous": is_anonymous, "isMinor": random.random_bool(0.3), "isNew": random.random_bool(0.1),
        "isRobot": is_robot, "isUnpatrolled": random.random_bool(0.1), "metroCode": Value::Null,
        "namespace": "Main", "page": PAGES[random.random_range(0..PAGES.len())],
        "regionIsoCode": place("21"), "regionName": place("Piedmont"),
        "user": format!("user {number}"), "delta": delta, "added": delta.max(0), "deleted": (-delta).max(0),
    })
}
