//! Care after a claim: an attempt at the first uncommitted record is counted in the commit before it is decoded, so that a
//! record which crashes every router is found, and only that one (design 3.8).
//!
//! A claim that finds no attempt counts its first record only. One that finds some suspects a crash, and takes its first
//! [`CAREFUL_RECORDS`] records one by one, each committed and counted before the next, so that no innocent one bears the
//! blame. Pure.

/// So many records are taken one by one after a crash is suspected.
const CAREFUL_RECORDS: u32 = 100;

/// How many records are still taken with care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Care {
    left: u32,
    counted_at: Option<u64>,
    survived: bool,
}

impl Care {
    /// After a claim that found so many attempts in the commit.
    pub(crate) fn after_claim(attempts: u32) -> Self {
        Self { left: if attempts == 0 { 1 } else { CAREFUL_RECORDS }, counted_at: None, survived: false }
    }

    /// Records are taken freely.
    pub(crate) fn is_over(self) -> bool {
        self.left == 0
    }

    /// Whether the attempt at this offset stands in the commit.
    pub(crate) fn has_counted(self, offset: u64) -> bool {
        self.counted_at == Some(offset)
    }

    /// The attempt at this offset stands in the commit.
    pub(crate) fn counted(&mut self, offset: u64) {
        self.counted_at = Some(offset);
    }

    /// One record was taken, and (unless it was buried unseen) nothing crashed: handling does not wait.
    pub(crate) fn took(&mut self, buried: bool) {
        self.left = self.left.saturating_sub(1);
        self.counted_at = None;
        self.survived |= !buried;
    }

    /// An attempt that stands in the commit did not crash, so it need not stand there any longer.
    pub(crate) fn has_survived(self) -> bool {
        self.survived && self.counted_at.is_none()
    }
}
