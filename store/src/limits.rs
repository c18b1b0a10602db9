//! The bounds of what is remembered, by name. What has one beside its table is never larger.

use std::time::Duration;

/// How long an operation may take before it is a [`Timeout`](crate::StoreError::Timeout).
pub const TIMEOUT: Duration = Duration::from_secs(1);
/// Devices of one user whose cursors and subscriptions are kept; the one that was quiet longest goes first.
pub const DEVICES_PER_USER: usize = 16;
/// Streams of one device whose cursors are kept; the one that was quiet longest goes first.
pub const STREAMS_PER_DEVICE: usize = 16;
/// Cursors of one user, over all devices. A few more stand there between a write and [`bound_cursors`](crate::Cursors::bound_cursors).
pub const CURSORS_PER_USER: usize = DEVICES_PER_USER * STREAMS_PER_DEVICE;
/// Cursors in one call of [`put_cursors`](crate::Cursors::put_cursors).
pub const CURSOR_WRITES: usize = 256;
/// Bytes of a device's name.
pub const DEVICE_BYTES: usize = 64;
/// Connections of one user that are read; whoever has more is known by the oldest of them.
pub const CONNECTIONS_PER_USER: usize = 1_024;
/// Parts into which the connections of one node are divided, by their id: 20,000 open connections are about 1,250 rows a part.
pub const NODE_BUCKETS: u8 = 16;
/// Rows in one page of connections of a node, or of members of a channel.
pub const PAGE_ROWS: usize = 500;
/// Nodes that are read. A node is one life of an edge.
pub const NODES: usize = 1_000;
/// Parts into which the members of one channel are divided, by user: 100,000 members are about 12,500 rows a part.
pub const MEMBER_BUCKETS: u8 = 8;
/// Users whose presence is asked for in one call.
pub const USERS_ASKED: usize = 64;
/// Bytes of a custom status.
pub const CUSTOM_BYTES: usize = 1_024;
/// Channels that one change of presence is announced in.
pub const AUDIENCE_CHANNELS: usize = 256;
/// Parts into which the receipts of one event are divided, by user: 100,000 readers are about 12,500 rows a part. As many more are for what
/// users say for themselves, here and of positions.
pub const RECEIPT_BUCKETS: u8 = 8;
/// Parts into which the positions of one channel's receipts are divided, by user: 100,000 readers are about 18,750 rows a part.
pub const RECEIPT_POSITION_BUCKETS: u8 = 32;
/// Parts into which what one user said is divided, by event and channel.
pub const USER_RECEIPT_BUCKETS: u8 = 16;
/// Lines of one «all up to here»: the lanes of a generation, and of the one before while streams go over.
pub const RECEIPT_LINES: usize = 6;
/// Positions of one user in a channel that are read: two kinds, on the lanes of as many generations as are begun in 30 days.
pub const RECEIPT_LINES_PER_USER: usize = 96;
/// Users whom a tally finds.
pub const USERS_TALLIED: usize = 10_000;
