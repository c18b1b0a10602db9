//! The ownership protocol holds whatever happens: seeded simulations of the real router over the embedded log with faults.
//!
//! `TIDEGATE_SEED` replays one seed of every scenario; `TIDEGATE_SEEDS` says how many are tried. What fails says its seed.

use tests::rounds;
use tests::simulation::{Report, Scenario, run};

fn simulate(scenario: Scenario, seed: u64) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let report = runtime.expect("a runtime").block_on(run(scenario, seed));
    report.expect("a run that can be set up")
}

fn holds(scenario: Scenario) {
    let mut kept = 0;
    for seed in rounds::seeds() {
        let report = simulate(scenario, seed);
        assert!(report.broken.is_empty(), "{scenario:?}, TIDEGATE_SEED={seed}:\n{}", report.broken.join("\n"));
        kept += report.kept;
    }
    assert!(kept > 0, "nothing was delivered, so nothing was shown");
}

#[test]
fn several_channels_in_all_lanes() {
    holds(Scenario::Channels);
}

#[test]
fn one_channel_that_changes_lanes() {
    holds(Scenario::OneChannelTwoLanes);
}

#[test]
fn channels_that_are_parked() {
    holds(Scenario::Parking);
}

#[test]
fn a_commit_that_is_set_back_by_hand() {
    holds(Scenario::CommitForgotten);
}

#[test]
fn producers_that_send_again() {
    holds(Scenario::Retries);
}

#[test]
fn a_new_catalogue_that_is_rolled_out() {
    holds(Scenario::TwoVersions);
}

#[test]
fn catalogues_that_change_under_running_routers() {
    holds(Scenario::LiveVersions);
}

#[test]
fn two_source_partitions_that_share_the_lanes() {
    holds(Scenario::TwoSourcePartitions);
}

#[test]
fn retention_that_cuts_the_lanes() {
    holds(Scenario::Retention);
}

#[test]
fn delivery_topics_that_grow() {
    holds(Scenario::Growth);
}

#[test]
fn one_seed_twice_gives_the_same_log() {
    for scenario in Scenario::ALL {
        let (first, second) = (simulate(scenario, 7), simulate(scenario, 7));
        assert!(!first.log.is_empty());
        assert_eq!(first, second, "{scenario:?}");
    }
}
