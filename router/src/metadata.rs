//! The metadata beside a committed offset: what the next owner of a source partition must know (design 3.2).
//!
//! Layout: the digit of the format's version (`1`), then base64url without padding of: the catalogue version (8 bytes, big
//! endian), then varints (LEB128): epoch, attempts, the number of lows, the lows in the order of
//! [`schemas::partition::DeliveryPartition::index`]. At most 4,096 bytes: 180 lows take at most 2,490.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policy::CatalogueVersion;

/// The metadata of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The epoch that committed.
    pub epoch: u64,
    /// The catalogue that everything from this offset on is planned with, until the owner's own barrier.
    pub catalogue: CatalogueVersion,
    /// How often the record at this offset was begun without being passed.
    pub attempts: u32,
    /// By delivery partition: the lowest offset at which a kept delivery from beyond this commit may stand.
    pub lows: Vec<u64>,
}

/// The text is no metadata of a version that this build reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// A newer router's.
    #[error("its metadata is of a newer version")]
    Newer,
    /// Damaged.
    #[error("its metadata is damaged")]
    Malformed,
}

const VERSION: char = '1';
const CATALOGUE_BYTES: usize = 8;

impl Metadata {
    /// Reads the text; none where it is empty: the offset was set by hand.
    ///
    /// # Errors
    /// It is of a newer version, or damaged.
    pub fn parse(text: &str) -> Result<Option<Self>, MetadataError> {
        let Some(version) = text.chars().next() else { return Ok(None) };
        if version != VERSION {
            return Err(if version.is_ascii_digit() { MetadataError::Newer } else { MetadataError::Malformed });
        }
        let bytes = URL_SAFE_NO_PAD.decode(&text[VERSION.len_utf8()..]).map_err(|_| MetadataError::Malformed)?;
        Self::read(&bytes).ok_or(MetadataError::Malformed).map(Some)
    }

    /// The text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut bytes = self.catalogue.0.to_be_bytes().to_vec();
        let count = u64::try_from(self.lows.len()).unwrap_or(u64::MAX);
        for value in [self.epoch, u64::from(self.attempts), count].iter().chain(&self.lows) {
            write_varint(*value, &mut bytes);
        }
        let mut text = String::from(VERSION);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        text
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (catalogue, mut rest) = bytes.split_at_checked(CATALOGUE_BYTES)?;
        let catalogue = CatalogueVersion(u64::from_be_bytes(catalogue.try_into().ok()?));
        let epoch = read_varint(&mut rest)?;
        let attempts = u32::try_from(read_varint(&mut rest)?).ok()?;
        let count = usize::try_from(read_varint(&mut rest)?).ok()?;
        if count > schemas::limits::DELIVERY_PARTITIONS_ALL {
            return None;
        }
        let lows = (0..count).map(|_| read_varint(&mut rest)).collect::<Option<Vec<u64>>>()?;
        rest.is_empty().then_some(Self { epoch, catalogue, attempts, lows })
    }
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part.leading_zeros() < shift {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use policy::CatalogueVersion;
    use proptest::prelude::*;

    use super::{Metadata, MetadataError};

    proptest! {
        #[test]
        fn metadata_survives_its_text(epoch: u64, catalogue: u64, attempts: u32, lows in prop::collection::vec(any::<u64>(), 0..=180)) {
            let metadata = Metadata { epoch, catalogue: CatalogueVersion(catalogue), attempts, lows };
            let text = metadata.to_text();
            prop_assert!(text.len() <= 4_096);
            prop_assert_eq!(Metadata::parse(&text), Ok(Some(metadata)));
        }

        #[test]
        fn no_text_is_read_in_two_ways(text in ".{0,40}") {
            if let Ok(Some(metadata)) = Metadata::parse(&text) {
                prop_assert_eq!(Metadata::parse(&metadata.to_text()), Ok(Some(metadata)));
            }
        }
    }

    #[test]
    fn the_text_of_version_1_stays_readable() {
        let metadata = Metadata {
            epoch: 7,
            catalogue: CatalogueVersion(0x0102_0304_0506_0708),
            attempts: 2,
            lows: vec![0, 300, 1],
        };
        assert_eq!(metadata.to_text(), "1AQIDBAUGBwgHAgMArAIB");
        assert_eq!(Metadata::parse("1AQIDBAUGBwgHAgMArAIB"), Ok(Some(metadata)));
    }

    #[test]
    fn an_offset_set_by_hand_has_no_metadata_and_a_newer_one_is_refused() {
        assert_eq!(Metadata::parse(""), Ok(None));
        assert_eq!(Metadata::parse("2AQID"), Err(MetadataError::Newer));
        assert_eq!(Metadata::parse("1AQID"), Err(MetadataError::Malformed));
        assert_eq!(Metadata::parse("x"), Err(MetadataError::Malformed));
    }
}
