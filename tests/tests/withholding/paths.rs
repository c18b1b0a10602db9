//! What rules and filters may ask of a payload, by type.

use super::payload::{Record, Type};
use super::rules::{Known, Path};
use super::story::IDS;

/// What rules may ask of a payload, by type.
#[derive(Default)]
pub struct Paths {
    texts: Vec<Path>,
    longs: Vec<Path>,
    flags: Vec<Path>,
    lists: Vec<Path>,
    maps: Vec<Path>,
}

impl Paths {
    pub fn of(record: &Record) -> Self {
        let mut paths = Self::default();
        paths.add(record, &[]);
        paths
    }

    /// Fields without labels, of every type of event.
    pub fn open() -> Self {
        Self {
            texts: vec![path("kind")],
            longs: vec![path("n")],
            flags: vec![path("flag")],
            lists: vec![path("users")],
            maps: vec![path("tags")],
        }
    }

    fn add(&mut self, record: &Record, before: &[String]) {
        for field in &record.fields {
            let path = [before, std::slice::from_ref(&field.name)].concat();
            match &field.of {
                Type::Text | Type::Word(_) | Type::Either => self.texts.push(path),
                Type::Nullable(inner) if matches!(**inner, Type::Text) => self.texts.push(path),
                Type::Long => self.longs.push(path),
                Type::Bool => self.flags.push(path),
                Type::List(items) if matches!(**items, Type::Text) => self.lists.push(path),
                Type::Map(values) if matches!(**values, Type::Text) => self.maps.push(path),
                Type::Record(inner) => self.add(inner, &path),
                Type::Nullable(inner) => {
                    if let Type::Record(inner) = &**inner {
                        self.add(inner, &path);
                    }
                }
                Type::Double | Type::Moment | Type::List(_) | Type::Map(_) => {}
            }
        }
    }

    pub fn known<'a>(&'a self, types: &'a [String], guesses: &'a [String]) -> Known<'a> {
        let Self { texts, longs, flags, lists, maps } = self;
        Known { texts, longs, flags, lists, maps, types, channel_ids: &IDS, guesses }
    }
}

pub fn path(name: &str) -> Path {
    name.split('.').map(str::to_owned).collect()
}
