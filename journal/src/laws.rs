//! What every body of the journal promises, as tests that run on each of them: embedded and real Kafka.
//!
//! A law is a function whose name is the promise; it panics where the promise is broken. It makes topics and groups
//! under a prefix of its own, so laws share one log. [`journal_laws!`](crate::journal_laws) and
//! [`registry_laws!`](crate::registry_laws) make a test of each.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::missing_panics_doc,
    reason = "laws are tests, kept where every body can run them"
)]

pub mod scene;
pub mod topic;
pub mod append;
pub mod read;
pub mod time;
pub mod follow;
pub mod group;
pub mod handover;
pub mod compaction;
pub mod registry;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::JournalError;
use crate::{Journal, Registry};

/// How long a law waits for what must come. A real broker rebalances and compacts in seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A body under test, and what only its own tools can do to it.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The body.
    fn journal(&self) -> Arc<dyn Journal>;

    /// The beginning of names that nobody uses on this log.
    fn prefix(&self) -> String;

    /// Copies of each topic that a law makes.
    fn replication(&self) -> u32 {
        1
    }

    /// Ends a topic, and returns when it is gone.
    ///
    /// # Errors
    /// The log does not answer.
    async fn delete_topic(&self, name: &str) -> Result<(), JournalError>;

    /// Compacts, or gives the log a moment to do so by itself; a law calls it until it sees the result.
    ///
    /// # Errors
    /// The log does not answer.
    async fn compact(&self) -> Result<(), JournalError>;
}

/// A registry under test.
pub trait RegistryBench: Send + Sync {
    /// The registry.
    fn registry(&self) -> Arc<dyn Registry>;

    /// The beginning of names that nobody uses in this registry; letters and digits.
    fn prefix(&self) -> String;
}

/// Awaits what must come within [`PATIENCE`].
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// One test for each law of the journal. `$bench` is an expression that makes a [`Bench`]; it may await.
#[macro_export]
macro_rules! journal_laws {
    ($bench:expr) => {
        $crate::law_tests! { $bench;
            topic [a_topic_is_made_once, an_unknown_topic_is_none, a_topic_made_again_has_another_id,
                its_configuration_is_told_and_changed, the_cluster_id_stays]
            append [records_of_a_partition_keep_the_order_of_their_appends, an_acknowledged_record_is_readable,
                a_key_goes_to_the_partition_of_its_hash, a_record_comes_back_as_it_was_given,
                a_delivery_of_the_largest_size_is_taken, a_record_too_large_is_refused_at_once,
                a_refused_record_is_never_in_the_log, flushing_waits_for_every_acknowledgement,
                append_times_never_go_back]
            read [watermarks_are_start_and_end, a_read_returns_at_most_what_its_limits_say,
                page_by_page_everything_is_read, a_read_at_the_end_waits_for_the_next_record,
                a_read_at_the_end_returns_nothing_when_its_wait_is_over, a_read_outside_the_log_is_out_of_range,
                an_unknown_partition_is_unknown]
            time [the_offset_for_a_time_is_the_first_record_not_before_it, the_offset_for_the_future_is_the_end,
                the_offset_for_a_time_is_never_below_the_start]
            follow [a_follower_gives_everything_from_its_position_on, a_follower_says_the_end_once,
                a_follower_beyond_the_end_is_out_of_range, a_follower_below_the_start_is_out_of_range,
                nothing_is_said_of_a_released_partition, a_moved_partition_starts_where_it_was_moved_to,
                no_partition_starves_another]
            group [the_first_event_is_an_assignment, one_member_owns_every_partition,
                a_commit_is_found_with_its_metadata, metadata_over_its_limit_is_refused,
                what_was_never_committed_is_none, a_member_starts_wherever_it_says,
                a_start_outside_the_log_is_out_of_range, a_paused_partition_rests_until_it_is_resumed,
                a_topic_made_later_is_joined]
            handover [two_members_share_the_partitions, commits_are_taken_until_a_revoked_partition_is_let_go,
                a_commit_by_an_older_ownership_is_refused, a_member_that_leaves_hands_over_at_once,
                what_was_committed_is_where_the_next_owner_starts]
            compaction [compaction_keeps_the_newest_record_of_each_key, holes_are_read_and_followed_over]
        }
    };
}

/// One test for each law of the registry. `$bench` is an expression that makes a [`RegistryBench`]; it may await.
#[macro_export]
macro_rules! registry_laws {
    ($bench:expr) => {
        $crate::law_tests! { $bench;
            registry [the_same_schema_has_the_same_id, a_schema_is_found_by_its_id, an_unknown_id_is_not_found,
                a_version_that_reads_the_last_one_is_taken, a_version_that_breaks_readers_is_refused,
                a_schema_may_stand_under_two_subjects, a_registry_answers]
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
