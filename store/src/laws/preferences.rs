//! The laws of preferences.

use schemas::grant::User;

use super::{Bench, is_refused, somebody};
use crate::{Preference, Visibility};

/// What was set last stands, for that user alone, until it is taken out.
pub async fn what_was_set_last_stands(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    assert_eq!(store.preference(&ada).await.unwrap(), None);
    for receipts in [Visibility::Hidden, Visibility::Shown, Visibility::Hidden] {
        store.put_preference(&ada, &Preference { receipts }).await.unwrap();
        assert_eq!(store.preference(&ada).await.unwrap(), Some(Preference { receipts }));
    }
    let ben = User { sub: "ben".to_owned(), ..ada.clone() };
    assert_eq!(store.preference(&ben).await.unwrap(), None);
    assert_eq!(store.preference(&somebody("ada")).await.unwrap(), None);
    for _ in 0..2 {
        store.remove_preference(&ada).await.unwrap();
        assert_eq!(store.preference(&ada).await.unwrap(), None);
    }
    is_refused(store.put_preference(&User { sub: "x".repeat(513), ..ada }, &Preference::default()).await);
}

/// It outlives everything that ages.
pub async fn a_preference_does_not_end(bench: &dyn Bench) {
    let (ada, hidden) = (somebody("ada"), Preference { receipts: Visibility::Hidden });
    bench.brief().put_preference(&ada, &hidden).await.unwrap();
    bench.pass().await;
    assert_eq!(bench.store().preference(&ada).await.unwrap(), Some(hidden));
}
