//! The keys of rows: a table, and what its rows are found by. Every text stands behind its length, so that no key begins like another by
//! chance; rows of one beginning stand together.

use schemas::grant::User;
use schemas::id::Tenant;
use uuid::Uuid;

/// Bytes of a text's length.
const LENGTH_BYTES: usize = 4;
/// Bytes of an id.
const ID_BYTES: usize = 16;
/// Bytes of a number.
const NUMBER_BYTES: usize = 4;

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Cursors,
    Subscriptions,
    Nodes,
    Sweeps,
    Connections,
    ConnectionsByNode,
    Presence,
    Members,
    Occupancy,
    Receipts,
    ReceiptPositions,
    ReceiptsByUser,
    Displaced,
    Preferences,
}

/// A key, or the beginning of several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

/// A key's rest, part by part.
#[derive(Debug)]
pub struct Parts<'a>(&'a [u8]);

impl Key {
    /// All rows of a table.
    pub fn of(table: Table) -> Self {
        Self(vec![table.tag()])
    }

    /// All rows of a user in a table.
    pub fn of_user(table: Table, user: &User) -> Self {
        Self::of(table).text(user.tenant.as_str()).text(&user.sub)
    }

    /// Those among them that have this text next.
    pub fn text(mut self, text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Those that have this id next.
    pub fn id(mut self, id: Uuid) -> Self {
        self.0.extend_from_slice(id.as_bytes());
        self
    }

    /// Those that have this byte next.
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Those that have this number next.
    pub fn number(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// A key as it stands in the database.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What stands behind a beginning.
    pub fn behind<'a>(&'a self, beginning: &Self) -> Parts<'a> {
        Parts(self.0.get(beginning.0.len()..).unwrap_or_default())
    }
}

impl Parts<'_> {
    /// The next part is a text.
    pub fn text(&mut self) -> Option<String> {
        let length = u32::from_be_bytes(self.take(LENGTH_BYTES)?.try_into().ok()?);
        String::from_utf8(self.take(usize::try_from(length).ok()?)?.to_vec()).ok()
    }

    /// It is an id.
    pub fn id(&mut self) -> Option<Uuid> {
        Uuid::from_slice(self.take(ID_BYTES)?).ok()
    }

    /// It is a byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// It is a number.
    pub fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(NUMBER_BYTES)?.try_into().ok()?))
    }

    /// It is a user.
    pub fn user(&mut self) -> Option<User> {
        Some(User { tenant: Tenant::parse(&self.text()?).ok()?, sub: self.text()? })
    }

    fn take(&mut self, bytes: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
impl Table {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Cursors,
        Self::Subscriptions,
        Self::Nodes,
        Self::Sweeps,
        Self::Connections,
        Self::ConnectionsByNode,
        Self::Presence,
        Self::Members,
        Self::Occupancy,
        Self::Receipts,
        Self::ReceiptPositions,
        Self::ReceiptsByUser,
        Self::Displaced,
        Self::Preferences,
    ];

    /// As the other body names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cursors => "cursors",
            Self::Subscriptions => "subscriptions",
            Self::Nodes => "nodes",
            Self::Sweeps => "sweeps",
            Self::Connections => "connections",
            Self::ConnectionsByNode => "connections_by_node",
            Self::Presence => "presence",
            Self::Members => "members",
            Self::Occupancy => "occupancy",
            Self::Receipts => "receipts",
            Self::ReceiptPositions => "receipt_positions",
            Self::ReceiptsByUser => "receipts_by_user",
            Self::Displaced => "displaced",
            Self::Preferences => "preferences",
        }
    }

    /// The table of a key.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|table| Some(&table.tag()) == key.first())
    }
}

impl Table {
    /// What stands before its keys; never given to another table.
    const fn tag(self) -> u8 {
        match self {
            Self::Cursors => 1,
            Self::Subscriptions => 2,
            Self::Nodes => 3,
            Self::Sweeps => 4,
            Self::Connections => 5,
            Self::ConnectionsByNode => 6,
            Self::Presence => 7,
            Self::Members => 8,
            Self::Occupancy => 9,
            Self::Receipts => 10,
            Self::ReceiptPositions => 11,
            Self::ReceiptsByUser => 12,
            Self::Displaced => 13,
            Self::Preferences => 14,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parts_of_a_key_are_read_back_and_no_user_is_the_beginning_of_another(
            tenant in "[a-z]{1,8}", sub in "\\PC{0,12}", other in "\\PC{0,12}", text in "\\PC{0,12}", number: u128,
        ) {
            let user = User { tenant: Tenant::parse(&tenant).unwrap(), sub };
            let id = Uuid::from_u128(number);
            let key = Key::of_user(Table::Cursors, &user).text(&text).id(id);
            let mut parts = key.behind(&Key::of(Table::Cursors));
            prop_assert_eq!(parts.user(), Some(user.clone()));
            prop_assert_eq!((parts.text(), parts.id(), parts.id()), (Some(text), Some(id), None));
            let other = User { sub: other, ..user.clone() };
            let begins = key.bytes().starts_with(Key::of_user(Table::Cursors, &other).bytes());
            prop_assert_eq!(begins, other == user);
        }
    }
}
