//! People who open and close streams and say how they are, at a steady pace, until they are hushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::chaos::complaints::Complaints;
use crate::chaos::edges::Edges;
use crate::chaos::person::{Person, Shown};
use crate::simulation::chance::Chance;
use crate::wait::until;

/// People.
pub const PEOPLE: usize = 36;
/// How long one of them rests between two things, at most; so that about 1,000 changes a minute are told.
const REST_MOST: Duration = Duration::from_millis(2_400);

/// All of them.
#[derive(Debug)]
pub struct Crowd {
    people: Vec<Arc<Mutex<Person>>>,
    goes: watch::Sender<bool>,
    done: Arc<AtomicUsize>,
    went: Mutex<(Duration, Option<Instant>)>,
}

/// How one of them must be seen.
#[derive(Debug)]
pub struct Expected {
    /// Their name.
    pub name: String,
    /// By others.
    pub shown: Shown,
    /// Where they have a stream open.
    pub rooms: Vec<&'static str>,
    /// What they did, for who reads why it is not so.
    pub story: String,
}

impl Crowd {
    /// People by these names and tokens; nobody does anything yet.
    pub fn gather(
        people: &[(String, String)],
        edges: &Edges,
        seed: u64,
        tasks: &mut JoinSet<()>,
        complaints: &Complaints,
    ) -> Self {
        let (goes, done) = (watch::Sender::new(false), Arc::<AtomicUsize>::default());
        let person = |(number, (name, token)): (u64, &(String, String))| {
            let chance = Chance::new(seed.wrapping_mul(1_000).wrapping_add(number));
            let person = Arc::new(Mutex::new(Person::new(name, token, number % 2 == 1, edges.clone(), chance.clone())));
            tasks.spawn(live(person.clone(), goes.subscribe(), chance, done.clone(), complaints.clone()));
            person
        };
        let people = (0u64..).zip(people).map(person).collect();
        Self { people, goes, done, went: Mutex::default() }
    }

    /// All do things.
    pub async fn go(&self) {
        self.went.lock().await.1 = Some(Instant::now());
        self.goes.send_replace(true);
    }

    /// How many things were done in a minute of those in which they were not hushed.
    pub async fn pace(&self) -> u64 {
        let ms = self.went.lock().await.0.as_millis().max(1);
        let done = self.done.load(Ordering::Relaxed);
        u64::try_from(u128::try_from(done).unwrap_or(u128::MAX).saturating_mul(60_000) / ms).unwrap_or(u64::MAX)
    }

    /// Nobody does anything more, and what was unsure is made sure.
    ///
    /// # Errors
    /// Not within the time.
    pub async fn hush(&self, within: Duration) -> Result<(), String> {
        self.goes.send_replace(false);
        {
            let mut went = self.went.lock().await;
            let went_on = went.1.take().map_or(Duration::ZERO, |since| since.elapsed());
            went.0 += went_on;
        }
        let settled = self.people.iter().map(|person| {
            until(within, || async {
                match person.lock().await.settle().await {
                    Ok(None) => Ok(()),
                    Ok(Some(left)) | Err(left) => Err(left),
                }
            })
        });
        join_all(settled).await.into_iter().collect()
    }

    /// How all must be seen now.
    pub async fn expected(&self) -> Vec<Expected> {
        let one = |person: &Arc<Mutex<Person>>| {
            let person = person.clone();
            async move {
                let person = person.lock().await;
                let (name, story) = (person.name.clone(), person.story());
                Expected { name, shown: person.shown(), rooms: person.rooms(), story }
            }
        };
        join_all(self.people.iter().map(one)).await
    }
}

async fn live(
    person: Arc<Mutex<Person>>,
    mut goes: watch::Receiver<bool>,
    chance: Chance,
    done: Arc<AtomicUsize>,
    complaints: Complaints,
) {
    while goes.wait_for(|goes| *goes).await.is_ok() {
        tokio::time::sleep(chance.delay(REST_MOST, REST_MOST)).await;
        let mut person = person.lock().await;
        if !*goes.borrow() {
            continue;
        }
        match person.act().await {
            Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
            Err(error) => complaints.say(format!("{}: {error}", person.name)),
        }
    }
}
