//! What a reader was told, at each door, beside what the plainest code says.

use std::collections::{BTreeMap, BTreeSet};

use schemas::position::{Position, Presented};
use serde_json::Value;

use super::chance;
use super::oracle::{Expected, Given};
use super::world::{Answer, Said};

/// What was said of filters that cannot be used, by their text: the same to everybody.
pub type OfFilters = BTreeMap<String, String>;

pub fn compare(given: &Given, answer: &Answer, of_filters: &mut OfFilters) -> Result<(), String> {
    match given {
        Given::Nothing => answer.doors().into_iter().try_for_each(is_refused),
        Given::NoFilter(text) => {
            answer.doors().into_iter().try_for_each(|door| refuses_the_filter(text, door, of_filters))
        }
        Given::Stream { granted, refused, blocks } => {
            answer.doors().into_iter().try_for_each(|door| is_open(door, blocks))?;
            on_the_stream(&answer.stream.body, granted, refused, blocks)?;
            in_the_page(&answer.page.body, blocks)?;
            in_lines(&answer.lines.body, refused, blocks).map_err(|error| format!("in lines: {error}"))?;
            on_the_socket(&answer.socket.body, granted, refused, blocks)
                .map_err(|error| format!("on a socket: {error}"))
        }
    }
}

fn is_refused((door, said): (&str, &Said)) -> Result<(), String> {
    leaks_nothing(&said.body, &[])?;
    match said.status {
        401 | 403 => Ok(()),
        other => Err(format!("{door}: {other}, and not a problem: {}", said.body)),
    }
}

/// The answer hangs on the filter's text alone: on no right, no door and no event.
fn refuses_the_filter(text: &str, (door, said): (&str, &Said), others: &mut OfFilters) -> Result<(), String> {
    let own = chance::secrets(text);
    if let Some(secret) = chance::secrets(&said.body).into_iter().find(|secret| !own.contains(secret)) {
        return Err(format!("{door}: {secret} is told for the filter {text}"));
    }
    if said.status != 400 || !said.body.contains("the filter cannot be used: ") {
        return Err(format!("{door}: {} for the filter {text}: {}", said.status, said.body));
    }
    let before = others.entry(text.to_owned()).or_insert_with(|| said.body.clone());
    if *before == said.body { Ok(()) } else { Err(format!("{door}: {}, and elsewhere: {before}", said.body)) }
}

fn is_open((door, said): (&str, &Said), blocks: &[Expected]) -> Result<(), String> {
    leaks_nothing(&said.head, &[])?;
    leaks_nothing(&said.body, blocks)?;
    if said.status == 200 { Ok(()) } else { Err(format!("{door}: {}: {}", said.status, said.body)) }
}

fn on_the_stream(body: &str, granted: &[String], refused: &[String], blocks: &[Expected]) -> Result<(), String> {
    let mut parts = body.split_inclusive("\n\n");
    let ready = parts.next().unwrap_or_default();
    let data = ready.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
    begins(&json(data)?, granted, refused)?;
    let events = parts.filter(|part| !part.starts_with(":\n") && !part.starts_with("event: tidegate.position\n"));
    in_order(events.map(without_id), blocks, |expected| &expected.block)
}

/// A page has the events of the stream, each as it stands there.
fn in_the_page(page: &str, blocks: &[Expected]) -> Result<(), String> {
    let (mut there, mut missing) = (0, None);
    for block in blocks {
        match page.contains(&block.json) {
            true => there += 1,
            false if block.may_miss => {}
            false => missing = Some(&block.json),
        }
    }
    let events = page.matches(r#"{"specversion":"1.0","#).count();
    match missing {
        Some(block) => Err(format!("missing in a page: {block}{page}")),
        None if events != there => Err(format!("{events} events in a page, of which {there} are expected: {page}")),
        None => Ok(()),
    }
}

fn in_lines(lines: &str, refused: &[String], blocks: &[Expected]) -> Result<(), String> {
    let (mut events, mut said) = (Vec::new(), BTreeSet::new());
    for line in lines.lines() {
        let rest = line.strip_prefix(r#"{"position":""#).and_then(|line| line.split_once('"'));
        let (position, rest) = rest.ok_or_else(|| format!("a line without a position: {line}"))?;
        is_position(position)?;
        if let Some(event) = rest.strip_prefix(r#","event":"#).and_then(|event| event.strip_suffix('}')) {
            events.push(Ok(event));
        } else if rest.starts_with(r#","refused":"#) {
            said.extend(names(&json(line)?["refused"], "channel"));
        } else if rest != "}" {
            return Err(format!("nobody expects {line}"));
        }
    }
    if said != refused.iter().cloned().collect() {
        return Err(format!("{said:?} are refused, not {refused:?}"));
    }
    in_order(events.into_iter(), blocks, |expected| &expected.json)
}

fn on_the_socket(messages: &str, granted: &[String], refused: &[String], blocks: &[Expected]) -> Result<(), String> {
    let mut lines = messages.lines();
    let (welcome, ready) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let kinds = (json(welcome)?["type"].clone(), json(ready)?["type"].clone());
    if kinds != (Value::from("welcome"), Value::from("tidegate.ready")) {
        return Err(format!("it begins with {welcome}\n{ready}"));
    }
    begins(&json(ready)?, granted, refused)?;
    let is_position = |line: &str| json(line).is_ok_and(|message| message["type"] == "tidegate.position");
    let events = lines.filter(|line| !is_position(line)).map(|line| {
        let ends = line.rsplit_once(r#","id":""#).and_then(|(rest, id)| Some((rest, id.strip_suffix("\"}")?)));
        let (rest, id) = ends.ok_or_else(|| format!("nobody expects {line}"))?;
        self::is_position(id).map(|()| rest)
    });
    in_order(events, blocks, |expected| &expected.message)
}

/// Each of them once, and those of a lane and channel in their order; what was passed over may be passed over.
fn in_order<'a>(
    events: impl Iterator<Item = Result<&'a str, String>>,
    blocks: &[Expected],
    written: fn(&Expected) -> &str,
) -> Result<(), String> {
    let mut left: BTreeMap<(&str, &str), Vec<&Expected>> = BTreeMap::new();
    blocks.iter().for_each(|block| left.entry((&block.lane, &block.channel)).or_default().push(block));
    for event in events {
        let event = event?;
        let of = left.values_mut().find(|of| of.iter().any(|expected| written(expected) == event));
        let of = of.ok_or_else(|| format!("nobody expects, or once more:\n{event}"))?;
        let at = of.iter().position(|expected| written(expected) == event).unwrap_or_default();
        missed(&of[..at], event)?;
        of.drain(..=at);
    }
    left.values().try_for_each(|of| missed(of, "the end"))
}

fn missed(passed_over: &[&Expected], before: &str) -> Result<(), String> {
    match passed_over.iter().find(|expected| !expected.may_miss) {
        Some(expected) => Err(format!("missing before {before}:\n{}", expected.block)),
        None => Ok(()),
    }
}

fn begins(ready: &Value, granted: &[String], refused: &[String]) -> Result<(), String> {
    let said = (names(&ready["channels"], ""), names(&ready["refused"], "channel"));
    let expected = (granted.iter().cloned().collect(), refused.iter().cloned().collect());
    if said == expected { Ok(()) } else { Err(format!("it begins with {said:?}, not {expected:?}")) }
}

/// The texts of a list, or what its objects hold under a name.
fn names(list: &Value, name: &str) -> BTreeSet<String> {
    let of = |item: &Value| item.as_str().or_else(|| item[name].as_str()).map(str::to_owned);
    list.as_array().into_iter().flatten().filter_map(of).collect()
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{error} in {text}"))
}

/// A block but for its id, which is a position.
fn without_id(block: &str) -> Result<&str, String> {
    let (rest, id) = block.rsplit_once("id: ").ok_or_else(|| format!("a block without an id: {block}"))?;
    is_position(id.trim_end()).map(|()| rest)
}

fn is_position(id: &str) -> Result<(), String> {
    match Position::parse(id) {
        Ok(Presented::Position(_)) => Ok(()),
        other => Err(format!("{id} is no position: {other:?}")),
    }
}

fn leaks_nothing(said: &str, blocks: &[Expected]) -> Result<(), String> {
    let theirs: BTreeSet<&str> = blocks.iter().flat_map(|block| chance::secrets(&block.block)).collect();
    match chance::secrets(said).into_iter().find(|secret| !theirs.contains(secret)) {
        Some(secret) => Err(format!("{secret} is told, and withheld: {said}")),
        None => Ok(()),
    }
}
