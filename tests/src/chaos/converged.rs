//! Whether all edges say of everybody what is so, and all observers were told it; and since when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};

use crate::chaos::crowd::{Crowd, Expected};
use crate::chaos::edges::Edges;
use crate::chaos::person::{ROOMS, Shown};
use crate::chaos::watchers::Observer;
use crate::client;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Differences that are shown.
const SHOWN_MOST: usize = 12;

/// Since when it is so, counted from the last change or fault.
#[derive(Debug, Clone, Copy)]
pub struct Since {
    /// What edges answer.
    pub asked: Duration,
    /// What observers were told.
    pub told: Duration,
}

/// Who looks.
#[derive(Debug)]
pub struct Look<'a> {
    /// Where.
    pub edges: &'a Edges,
    /// A user who is nowhere.
    pub token: &'a str,
    /// Of whom.
    pub crowd: &'a Crowd,
    /// What they were told.
    pub observers: &'a [Observer],
}

impl Look<'_> {
    /// Waits until it is so.
    ///
    /// # Errors
    /// Not within the time: what differs.
    pub async fn converged(&self, from: Instant, within: Duration) -> Result<Since, String> {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut asked, mut told) = (None, None);
        loop {
            every.tick().await;
            let began = from.elapsed();
            let expected = self.crowd.expected().await;
            let wrong_asked = self.asked(&expected).await;
            let wrong_told = self.told(&expected);
            note(&mut asked, wrong_asked.is_empty(), began);
            note(&mut told, wrong_told.is_empty(), began);
            if let (Some(asked), Some(told)) = (asked, told) {
                return Ok(Since { asked, told });
            }
            if began > within {
                let wrong = [wrong_asked, wrong_told].concat();
                let more = wrong.len().saturating_sub(SHOWN_MOST);
                let shown: Vec<String> = wrong.into_iter().take(SHOWN_MOST).collect();
                return Err(format!("not within {within:?}:\n{}\nand {more} more", shown.join("\n")));
            }
        }
    }

    /// What living edges say otherwise.
    async fn asked(&self, expected: &[Expected]) -> Vec<String> {
        let mut wrong = Vec::new();
        for edge in self.edges.living() {
            let users: Vec<String> = expected.iter().map(|one| format!("user={}", one.name)).collect();
            match self.get(edge, &users.join("&")).await {
                Ok(seen) => wrong.extend(expected.iter().filter_map(|one| {
                    let seen = seen.get(&one.name);
                    let other = seen != Some(&one.shown);
                    other.then(|| format!("edge {edge} says {seen:?} instead of {:?}: {}", one.shown, one.story))
                })),
                Err(error) => wrong.push(format!("edge {edge}: {error}")),
            }
            for room in ROOMS {
                let there = expected.iter().filter(|one| one.rooms.contains(&room) && one.shown.status != "offline");
                let there: BTreeMap<String, Shown> = there.map(|one| (one.name.clone(), one.shown.clone())).collect();
                match self.get(edge, &format!("channel={room}")).await {
                    Ok(seen) if seen == there => {}
                    Ok(seen) => {
                        let (seen, there): (Vec<_>, Vec<_>) = (seen.keys().collect(), there.keys().collect());
                        wrong.push(format!("edge {edge} says that in {room} are {seen:?} instead of {there:?}"));
                    }
                    Err(error) => wrong.push(format!("edge {edge}, {room}: {error}")),
                }
            }
        }
        wrong
    }

    async fn get(&self, edge: usize, query: &str) -> Result<BTreeMap<String, Shown>, String> {
        let url = self.edges.url(edge, &format!("/v1/presence?{query}"));
        let answer = client::try_send(self.edges.http.get(url).bearer_auth(self.token)).await?;
        let said = answer.json();
        if answer.status.as_u16() != 200 || said["stale"] == true {
            return Err(format!("{}: {}", answer.status, answer.text.chars().take(100).collect::<String>()));
        }
        let user = |user: &Value| (user["user_id"].as_str().unwrap_or_default().to_owned(), Shown::of(user));
        Ok(said["users"].as_array().into_iter().flatten().map(user).collect())
    }

    /// What observers were told otherwise.
    fn told(&self, expected: &[Expected]) -> Vec<String> {
        let mut wrong = Vec::new();
        for (number, observer) in self.observers.iter().enumerate() {
            let book = observer.book();
            for room in ROOMS {
                let occupied = expected.iter().any(|one| one.rooms.contains(&room));
                if book.is_occupied(room) != occupied {
                    wrong.push(format!("observer {number}: {room} is told to be occupied: {}", !occupied));
                }
                wrong.extend(expected.iter().filter_map(|one| {
                    let last = book.last(room, &one.name);
                    let right = is_right(last, one, room);
                    (!right).then(|| {
                        format!("observer {number}, {room}: told last {last:?}, but {:?}: {}", one.shown, one.story)
                    })
                }));
            }
        }
        let pairs = self.observers.iter().zip(self.observers.iter().skip(1));
        wrong.extend(pairs.filter_map(|(one, two)| {
            // Never both locks in one expression: temporaries live to its end, and these two are different observers.
            let (one, two) = (one.book(), two.book());
            one.differs(&two)
        }));
        wrong
    }
}

/// Where somebody is, it was told; where they were, it is told until they go offline; elsewhere it may have been.
fn is_right(last: Option<&Shown>, one: &Expected, room: &str) -> bool {
    let is_there = one.rooms.contains(&room) && one.shown.status != "offline";
    match last {
        Some(last) if *last == one.shown => true,
        Some(last) => !is_there && last.status == "offline",
        None => !is_there,
    }
}

/// Since when it is so; not any more where it is not.
fn note(since: &mut Option<Duration>, is_so: bool, now: Duration) {
    *since = if is_so { since.or(Some(now)) } else { None };
}
