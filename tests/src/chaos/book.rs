//! What one observer was told of users and rooms, in order, and what is wrong with it by itself.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use crate::chaos::person::Shown;

/// All that was told.
#[derive(Debug, Default)]
pub struct Book {
    ids: HashSet<(String, String)>,
    told: BTreeMap<String, Vec<Told>>,
    occupied: BTreeMap<String, bool>,
    versions: BTreeMap<(String, u64), Version>,
    last: BTreeMap<(String, String), (u64, Shown)>,
}

/// An announcement in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The event's id.
    pub id: String,
    /// What it says.
    pub says: String,
}

/// One version of a user's presence: what it says, and where it was told.
#[derive(Debug, Clone)]
struct Version {
    shown: Shown,
    rooms: BTreeSet<String>,
}

impl Book {
    /// Takes an event.
    ///
    /// # Errors
    /// It comes twice, it is older than what was told before, or it says something else than the same version elsewhere.
    pub fn take(&mut self, event: &Value) -> Result<(), String> {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let (room, id, kind) = (text("subject"), text("id"), text("type"));
        if !self.ids.insert((room.clone(), format!("{}{id}", text("source")))) {
            return Err(format!("{room}: {id} comes twice"));
        }
        let told = Told { id: id.clone(), says: event["data"].to_string() };
        self.told.entry(room.clone()).or_default().push(told);
        match kind.as_str() {
            "wiki.presence" => self.take_presence(room, &id, &event["data"]),
            "wiki.occupancy" => self.take_occupancy(room, &event["data"]),
            _ => Err(format!("nobody tells this: {event}")),
        }
    }

    fn take_presence(&mut self, room: String, id: &str, data: &Value) -> Result<(), String> {
        let user = data["user_id"].as_str().unwrap_or_default().to_owned();
        let version = version(id, &user).ok_or_else(|| format!("{room}: {id} is no id of {user}'s presence"))?;
        let shown = Shown::of(data);
        if let Some((before, _)) = self.last.get(&(room.clone(), user.clone())).filter(|last| last.0 >= version) {
            return Err(format!("{room}: version {version} of {user} comes behind {before}"));
        }
        self.last.insert((room.clone(), user.clone()), (version, shown.clone()));
        let place = (user.clone(), version);
        let known =
            self.versions.entry(place).or_insert_with(|| Version { shown: shown.clone(), rooms: BTreeSet::new() });
        known.rooms.insert(room);
        match known.shown == shown {
            true => Ok(()),
            false => Err(format!("{user}: version {version} is told in two ways: {:?} and {shown:?}", known.shown)),
        }
    }

    fn take_occupancy(&mut self, room: String, data: &Value) -> Result<(), String> {
        let occupied = data["status"] == "occupied";
        match self.occupied.insert(room.clone(), occupied) {
            before if before.unwrap_or(false) != occupied => Ok(()),
            _ => Err(format!("{room}: told to be {} twice", data["status"])),
        }
    }

    /// What a user was said to be in a room last.
    #[must_use]
    pub fn last(&self, room: &str, user: &str) -> Option<&Shown> {
        self.last.get(&(room.to_owned(), user.to_owned())).map(|(_, shown)| shown)
    }

    /// Whether a room was last said to be occupied.
    #[must_use]
    pub fn is_occupied(&self, room: &str) -> bool {
        self.occupied.get(room).copied().unwrap_or(false)
    }

    /// How many changes of presence were told.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.versions.len()
    }

    /// What another observer was told otherwise, or not yet; nothing where both were told the same.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Option<String> {
        let rooms: BTreeSet<&String> = self.told.keys().chain(other.told.keys()).collect();
        rooms.into_iter().find_map(|room| {
            let of = |book: &Self| book.told.get(room).cloned().unwrap_or_default();
            let (one, two) = (of(self), of(other));
            let at = (0..one.len().max(two.len())).find(|at| one.get(*at) != two.get(*at))?;
            Some(format!("{room}: number {at} is {:?} for one and {:?} for the other", one.get(at), two.get(at)))
        })
    }

    /// Announcements that say what was known already, in no channel that is new. Right only when all is told.
    #[must_use]
    pub fn said_again(&self) -> Vec<String> {
        let pairs = self.versions.iter().zip(self.versions.iter().skip(1));
        let again = pairs.filter(|((one, before), (two, after))| {
            let next = one.0 == two.0 && one.1 + 1 == two.1;
            next && before.shown == after.shown && after.rooms.is_subset(&before.rooms)
        });
        again
            .map(|(_, ((user, version), what))| format!("{user}: version {version} says {:?} again", what.shown))
            .collect()
    }
}

/// `presence/<user>/<version>-<last seen>`.
fn version(id: &str, user: &str) -> Option<u64> {
    let (version, _) = id.strip_prefix("presence/")?.strip_prefix(user)?.strip_prefix('/')?.split_once('-')?;
    version.parse().ok()
}
