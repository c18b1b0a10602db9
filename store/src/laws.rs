//! What every body of the store promises, as tests that run on each of them: embedded and real CQL.
//!
//! A law is a function whose name is the promise; it panics where the promise is broken. It writes under a tenant of its own, so laws share
//! one store. [`store_laws!`](crate::store_laws) makes a test of each.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "laws are tests, kept where every body can run them"
)]

pub mod cursors;
pub mod subscriptions;
pub mod nodes;
pub mod connections;
pub mod presence;
pub mod occupancy;
pub mod receipts;
pub mod preferences;
pub mod persons;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemas::grant::User;
use schemas::id::Tenant;
use uuid::Uuid;

use crate::{Store, StoreError};

/// How long rows live in [`Bench::brief`].
pub const BRIEF: Duration = Duration::from_secs(2);

/// A body under test.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The body.
    fn store(&self) -> Arc<dyn Store>;

    /// The same rows; what is written by this one ends after [`BRIEF`].
    fn brief(&self) -> Arc<dyn Store>;

    /// Returns when more than [`BRIEF`] has gone by for the body.
    async fn pass(&self);

    /// Every row of every table that stands, as (its table, its text), by a scan that no statement of ours makes.
    async fn everything(&self) -> Vec<(String, String)>;
}

/// A user of a tenant that nobody else has.
#[must_use]
pub fn somebody(sub: &str) -> User {
    User { tenant: Tenant::parse(&Uuid::new_v4().simple().to_string()).unwrap(), sub: sub.to_owned() }
}

/// A body that answers.
pub async fn it_answers(bench: &dyn Bench) {
    assert_eq!(bench.store().ping().await, Ok(()));
}

/// Fails with `Invalid`, which is never tried again.
pub(crate) fn is_refused<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    let error = result.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { .. }) && !error.retry(), "{error}");
}

/// One test for each law. `$bench` is an expression that makes a [`Bench`]; it may await.
#[macro_export]
macro_rules! store_laws {
    ($bench:expr) => {
        $crate::law_tests! { $bench;
            cursors [the_position_acknowledged_last_is_kept, a_late_write_never_moves_a_cursor_back,
                of_many_writes_in_any_order_the_last_acknowledgement_stands, cursors_are_told_by_user_device_and_stream,
                the_quiet_cursors_of_a_user_go_first, a_cursor_ends, a_cursor_over_its_bounds_is_refused]
            subscriptions [a_device_keeps_what_was_put_last, the_device_written_longest_ago_goes_first,
                a_subscription_ends]
            nodes [a_node_is_seen_with_its_last_beat, one_survivor_has_the_sweep, a_sweep_is_free_again_after_a_while]
            connections [the_connections_of_a_user_are_read_in_the_order_of_their_opening,
                a_connection_that_is_put_again_is_the_same, racing_connections_see_each_other,
                a_connection_that_is_kept_lives_on_in_all_its_rows, what_no_heartbeat_refreshes_ends,
                the_connections_of_a_node_are_found_part_by_part, a_connection_over_its_bounds_is_refused,
                a_node_hears_what_it_is_asked_to_end_for_a_while]
            presence [versions_are_made_one_by_one, of_racing_changes_one_wins,
                nothing_is_changed_before_it_is_announced, announcing_again_changes_nothing,
                presences_are_read_in_the_order_asked_for, presence_over_its_bounds_is_refused]
            occupancy [members_are_told_page_by_page_each_once, a_member_ends_and_its_channel_is_empty,
                a_channel_is_occupied_and_vacated_in_order, channels_of_two_tenants_are_two]
            receipts [the_latest_receipt_of_an_event_stands, the_furthest_position_stands,
                receipts_are_told_page_by_page_each_once, users_are_tallied_once_by_event_and_by_position,
                what_a_user_said_is_found_and_erased, an_erased_user_may_say_more, a_receipt_ends,
                a_receipt_over_its_bounds_is_refused, what_is_hidden_stands_apart_and_goes_with_its_user]
            preferences [what_was_set_last_stands, a_preference_does_not_end]
            persons [nothing_of_an_erased_person_stands_in_any_table_and_all_of_others_does,
                an_erasure_that_was_cut_is_finished_by_the_next, a_late_position_never_brings_back_who_was_erased,
                presence_is_erased_only_as_it_was_announced, many_receipts_of_a_person_are_read_page_by_page]
        }

        #[tokio::test]
        async fn it_answers() {
            let bench = $bench;
            $crate::laws::it_answers(&bench).await;
        }
    };
}

/// Tests of laws, by module.
#[doc(hidden)]
#[macro_export]
macro_rules! law_tests {
    ($bench:expr; $($module:ident [$($law:ident),+])+) => { $($($crate::law_test!($bench, $module, $law);)+)+ };
}

/// The test of one law.
#[doc(hidden)]
#[macro_export]
macro_rules! law_test {
    ($bench:expr, $module:ident, $law:ident) => {
        #[tokio::test]
        async fn $law() {
            let bench = $bench;
            $crate::laws::$module::$law(&bench).await;
        }
    };
}
