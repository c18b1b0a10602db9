//! What holds of activities, whatever is said and whenever.

use std::collections::HashMap;

use policy::Matter;
use proptest::prelude::*;
use schemas::channel::Channel;
use schemas::grant::User;
use schemas::id::Tenant;

use super::*;

const ROOM: Room = Room { all: 4, per_user: 2, per_second: 5 };

fn activity(user: u8, content: u8) -> Activity {
    Activity {
        user: User { tenant: Tenant::default_tenant(), sub: user.to_string() },
        matter: Matter::Typing,
        channel: Channel::parse("team:1").unwrap(),
        content: (content > 0).then(|| content.to_string()),
    }
}

fn told(tell: Option<Tell>) -> Option<bool> {
    tell.map(|tell| tell.active)
}

#[test]
fn silence_of_three_seconds_ends_it_and_a_word_ends_it_at_once() {
    let (mut activities, began) = (Activities::new(ROOM), Instant::now());
    let at = |ms: u64| began + Duration::from_millis(ms);
    assert_eq!(told(activities.say(activity(1, 0), true, at(0)).unwrap()), Some(true));
    assert_eq!(told(activities.say(activity(1, 0), true, at(500)).unwrap()), None, "it is known");
    assert_eq!(activities.next(), Some(at(1_000)));
    assert_eq!(activities.due(at(1_000), 9).len(), 1, "it goes on");
    assert_eq!(activities.due(at(3_499), 9), []);
    let ended = activities.due(at(3_500), 9);
    assert_eq!((ended.len(), ended[0].active), (1, false));
    assert_eq!((activities.next(), activities.users.len()), (None, 0), "nothing is left of it");
    assert_eq!(told(activities.say(activity(1, 0), false, at(3_600)).unwrap()), None, "it has ended already");
    assert_eq!(told(activities.say(activity(1, 0), true, at(3_700)).unwrap()), Some(true));
    assert_eq!(told(activities.say(activity(1, 0), false, at(3_800)).unwrap()), Some(false));
}

#[test]
fn each_limit_is_reached_and_harms_nobody_else() {
    let (mut activities, now) = (Activities::new(ROOM), Instant::now());
    for content in 1..=2 {
        assert!(activities.say(activity(1, content), true, now).is_ok());
    }
    assert_eq!(activities.say(activity(1, 3), true, now), Err(Over::User));
    for _ in 0..2 {
        assert!(activities.say(activity(1, 1), true, now).is_ok());
    }
    assert_eq!(activities.say(activity(1, 1), true, now), Err(Over::Pace));
    assert!(activities.say(activity(1, 1), true, now + COUNTED).is_ok());
    assert!(activities.say(activity(2, 1), true, now).is_ok() && activities.say(activity(3, 1), true, now).is_ok());
    assert_eq!(activities.say(activity(4, 1), true, now), Err(Over::Edge));
}

proptest! {
    /// A reader who believes what is told sees somebody active exactly while they were heard within the silence, and hears of it so often
    /// that who comes later knows within a second; nothing is told of it more often, nothing twice that has ended, and nothing stays.
    #[test]
    fn readers_see_what_was_said(words in prop::collection::vec((0u8..3, 0u8..3, any::<bool>(), 0u64..2_500), 1..120)) {
        let (mut activities, began) = (Activities::new(ROOM), Instant::now());
        let (mut now, mut shown) = (began, HashMap::<Activity, Instant>::new());
        let mut heard = HashMap::<Activity, Instant>::new();
        let mut tell = |tell: Tell, now: Instant| {
            let before = shown.remove(&tell.activity);
            if tell.active {
                if let Some(before) = before {
                    assert!(now - before >= TOLD_EVERY, "told too often");
                }
                shown.insert(tell.activity, now);
            } else {
                assert!(before.is_some(), "an end of what nobody sees");
            }
            shown.clone()
        };
        let quiet = (0, 0, false, 10_000);
        for (user, content, active, pause) in words.into_iter().chain([quiet]) {
            let until = now + Duration::from_millis(pause);
            while let Some(due) = activities.next().filter(|due| *due <= until) {
                now = due.max(now);
                for told in activities.due(now, 2) {
                    let ended = !told.active;
                    let activity = told.activity.clone();
                    tell(told, now);
                    if ended {
                        prop_assert_eq!(heard.remove(&activity).map(|heard| now - heard), Some(SILENCE));
                    }
                }
            }
            now = until;
            let activity = activity(user, content);
            if let Ok(told) = activities.say(activity.clone(), active, now) {
                match active {
                    true => heard.insert(activity, now),
                    false => heard.remove(&activity),
                };
                told.map(|told| tell(told, now));
            }
            prop_assert!(activities.live.len() <= ROOM.all && activities.users.len() <= ROOM.all);
            prop_assert_eq!(activities.due.len(), activities.live.len());
            prop_assert!(activities.live.keys().all(|live| heard.contains_key(live)) && heard.len() == activities.live.len());
        }
    }
}
