//! The laws of kept subscriptions.

use schemas::channel::ChannelPattern;

use super::{Bench, is_refused, somebody};
use crate::limits::DEVICES_PER_USER;
use crate::{Device, KeptSubscription};

fn kept(device: &str, channels: &[&str]) -> KeptSubscription {
    let channels = channels.iter().map(|text| ChannelPattern::parse(text).unwrap()).collect();
    KeptSubscription { device: Device::parse(device).unwrap(), channels }
}

/// The last write of a device stands until it is taken out.
pub async fn a_device_keeps_what_was_put_last(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let (first, second, other) = (kept("a", &["wiki:en", "team:*"]), kept("a", &["team:7"]), kept("b", &[]));
    assert_eq!(store.subscription(&ada, &first.device).await.unwrap(), None);
    store.put_subscription(&ada, &first).await.unwrap();
    assert_eq!(store.subscription(&ada, &first.device).await.unwrap(), Some(first));
    store.put_subscription(&ada, &second).await.unwrap();
    store.put_subscription(&ada, &other).await.unwrap();
    assert_eq!(store.subscription(&ada, &second.device).await.unwrap(), Some(second.clone()));
    assert_eq!(store.subscription(&somebody("ada"), &second.device).await.unwrap(), None);
    for _ in 0..2 {
        store.remove_subscription(&ada, &second.device).await.unwrap();
        assert_eq!(store.subscription(&ada, &second.device).await.unwrap(), None);
    }
    assert_eq!(store.subscription(&ada, &other.device).await.unwrap(), Some(other));
    is_refused(store.put_subscription(&ada, &kept("a", &["team:7"; 65])).await);
}

/// A user has so many devices; who writes one more loses the one that was written longest ago.
pub async fn the_device_written_longest_ago_goes_first(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let device = |number: usize| kept(&format!("d{number}"), &["team:7"]);
    for number in (0..DEVICES_PER_USER).chain([0, DEVICES_PER_USER]) {
        store.put_subscription(&ada, &device(number)).await.unwrap();
    }
    for number in 0..=DEVICES_PER_USER {
        let stands = store.subscription(&ada, &device(number).device).await.unwrap();
        assert_eq!(stands.is_some(), number != 1, "{number}");
    }
}

/// One that nobody writes again is gone after its lifetime.
pub async fn a_subscription_ends(bench: &dyn Bench) {
    let (ada, tab) = (somebody("ada"), kept("tab", &["team:7"]));
    bench.brief().put_subscription(&ada, &tab).await.unwrap();
    bench.pass().await;
    assert_eq!(bench.store().subscription(&ada, &tab.device).await.unwrap(), None);
}
