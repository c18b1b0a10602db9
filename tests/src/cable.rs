//! A cable that is cut: a peer that is there no more, without a word. No firewall is needed, and no rights.

use std::os::fd::AsFd;

use socket2::{SockFilter, SockRef};

/// «Take no byte of it», in the instructions of a packet filter (BPF): `ret 0`.
const NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);

/// From now on the kernel drops what comes for this socket before TCP sees it: nothing is received, acknowledged or refused. Keep the socket, or its end is
/// said.
///
/// # Panics
/// The system takes no filter.
pub fn cut(socket: &impl AsFd) {
    SockRef::from(socket).attach_filter(&[NOTHING]).expect("a filter");
}
