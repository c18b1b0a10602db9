//! A device: one place from which a user reads, by a name that the client chose and keeps.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::DEVICE_BYTES;

/// 1 to 64 of `A-Z a-z 0-9 . _ -`. Two tabs that may stand at different positions are two devices.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Device(Arc<str>);

/// The text is no device's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a device is 1 to {DEVICE_BYTES} letters, digits, dots, hyphens or underscores")]
pub struct DeviceError;

impl Device {
    /// Parses the text.
    ///
    /// # Errors
    /// It is empty, too long, or holds something else.
    pub fn parse(text: &str) -> Result<Self, DeviceError> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > DEVICE_BYTES || !text.bytes().all(fine) {
            return Err(DeviceError);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The text as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Device {
    type Error = DeviceError;
    fn try_from(text: String) -> Result<Self, DeviceError> {
        Self::parse(&text)
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{DEVICE_BYTES, Device};

    #[test]
    fn a_device_is_a_short_word() {
        for fine in ["tab-1", "a", "A.b_c-9", &"x".repeat(DEVICE_BYTES)] {
            assert_eq!(Device::parse(fine).unwrap().as_str(), fine);
        }
        for wrong in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(DEVICE_BYTES + 1)] {
            assert!(Device::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
