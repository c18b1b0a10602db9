//! Every metric of the listener. Labels are closed.

use metrics::{counter, gauge};

/// A connection that is open; counted while it lives.
#[derive(Debug)]
pub(super) struct Open;

impl Open {
    /// A connection opens, over `plain` or `tls`.
    pub(super) fn begin(transport: &'static str) -> Self {
        gauge!("tidegate_http_connections").increment(1.0);
        counter!("tidegate_http_connections_total", "transport" => transport).increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!("tidegate_http_connections").decrement(1.0);
    }
}

/// A connection was not served: `accept` failed, its `address` has too many, its `handshake` failed or it sent no `head` in time.
pub(super) fn refused(reason: &'static str) {
    counter!("tidegate_http_connections_refused_total", "reason" => reason).increment(1);
}

/// A new certificate was `taken`, or `refused`.
pub(super) fn reloaded(outcome: &'static str) {
    counter!("tidegate_tls_reloads_total", "outcome" => outcome).increment(1);
}
