//! Avro's binary primitives, read without trust and written into a buffer.
//!
//! Bytes of unknown origin enter the reader; numbers, texts and slices of the same memory leave it. It never panics, never
//! allocates, and never reads beyond its bytes.

/// Why bytes are not what was asked of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// The bytes end too early.
    #[error("the bytes end too early")]
    End,
    /// A variable-length number of more than 64 bits.
    #[error("a number has more than 64 bits")]
    Varint,
    /// A number outside the range of its type.
    #[error("a number is out of its range")]
    Range,
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
}

/// Reads from the front of a slice.
#[derive(Debug)]
pub(crate) struct WireReader<'a> {
    rest: &'a [u8],
}

impl<'a> WireReader<'a> {
    /// Reads these bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all bytes are read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `size` bytes.
    pub(crate) fn take(&mut self, size: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or(WireError::End)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next bytes, as many as the array holds.
    pub(crate) fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WireError::End)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// An unsigned number, seven bits a byte, least first.
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(WireError::Varint);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(WireError::Varint)
    }

    /// Avro's `long`.
    pub(crate) fn long(&mut self) -> Result<i64, WireError> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Avro's `int`.
    pub(crate) fn int(&mut self) -> Result<i32, WireError> {
        i32::try_from(self.long()?).map_err(|_| WireError::Range)
    }

    /// A `long` that is not negative, e.g. an offset.
    pub(crate) fn offset(&mut self) -> Result<u64, WireError> {
        u64::try_from(self.long()?).map_err(|_| WireError::Range)
    }

    /// An `int` that is not negative, e.g. a partition, an index of an enum or a union.
    pub(crate) fn index(&mut self) -> Result<u32, WireError> {
        u32::try_from(self.int()?).map_err(|_| WireError::Range)
    }

    /// Avro's `bytes`.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let size = usize::try_from(self.long()?).map_err(|_| WireError::Range)?;
        self.take(size)
    }

    /// Avro's `string`.
    pub(crate) fn text(&mut self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::Text)
    }

    /// Whether the second branch of `["null", X]` follows.
    pub(crate) fn is_some(&mut self) -> Result<bool, WireError> {
        match self.long()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Range),
        }
    }

    /// How many items the next block of an array or a map has; 0 ends it.
    ///
    /// The count is not believed: whoever reads the items bounds those that take no bytes.
    pub(crate) fn block(&mut self) -> Result<u64, WireError> {
        let count = self.long()?;
        if count < 0 {
            self.offset()?; // the block's bytes, for readers that skip it
        }
        Ok(count.unsigned_abs())
    }

    /// All blocks of an array or a map: `each` is called once for every item, and reads at least a byte of it.
    pub(crate) fn items<E: From<WireError>>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let count = self.block()?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                each(self)?;
            }
        }
    }
}

/// Writes what [`WireReader::varint`] reads.
pub(crate) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let low = number.to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Writes Avro's `int` or `long`.
pub(crate) fn put_long(number: i64, out: &mut Vec<u8>) {
    put_varint(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

/// Writes an offset or an epoch as a `long`; both are far below its end.
pub(crate) fn put_offset(number: u64, out: &mut Vec<u8>) {
    put_long(i64::try_from(number).unwrap_or(i64::MAX), out);
}

/// Writes Avro's `bytes`.
pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Writes Avro's `string`.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_bytes(text.as_bytes(), out);
}

/// Writes a length or a count.
pub(crate) fn put_count(count: usize, out: &mut Vec<u8>) {
    put_long(i64::try_from(count).unwrap_or(i64::MAX), out);
}

/// Writes an array as one block.
pub(crate) fn put_items<T>(items: &[T], out: &mut Vec<u8>, mut each: impl FnMut(&T, &mut Vec<u8>)) {
    if !items.is_empty() {
        put_count(items.len(), out);
        items.iter().for_each(|item| each(item, out));
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_long_comes_back(number: i64) {
            let mut bytes = Vec::new();
            put_long(number, &mut bytes);
            let mut reader = WireReader::new(&bytes);
            prop_assert_eq!(reader.long(), Ok(number));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn every_unsigned_number_comes_back(number: u64) {
            let mut bytes = Vec::new();
            put_varint(number, &mut bytes);
            prop_assert_eq!(WireReader::new(&bytes).varint(), Ok(number));
        }
    }

    #[test]
    fn longs_have_the_bytes_of_the_avro_specification() {
        for (number, expected) in [(0, vec![0]), (-1, vec![1]), (1, vec![2]), (-64, vec![0x7f]), (64, vec![0x80, 1])] {
            let mut bytes = Vec::new();
            put_long(number, &mut bytes);
            assert_eq!(bytes, expected, "{number}");
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let mut bytes = [0xff_u8; 11];
        assert_eq!(WireReader::new(&bytes).varint(), Err(WireError::Varint));
        bytes[9] = 2;
        assert_eq!(WireReader::new(&bytes).varint(), Err(WireError::Varint));
        bytes[9] = 1;
        assert_eq!(WireReader::new(&bytes).varint(), Ok(u64::MAX));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_without_allocating() {
        let mut bytes = Vec::new();
        put_long(i64::MAX, &mut bytes);
        assert_eq!(WireReader::new(&bytes).bytes(), Err(WireError::End));
    }

    #[test]
    fn a_block_that_says_its_size_is_read() {
        let bytes = [3, 4, 2, 4, 0]; // two items (-2) in 2 bytes: 1, 2; then the end
        let mut seen = Vec::new();
        let read: Result<(), WireError> = WireReader::new(&bytes).items(|reader| {
            seen.push(reader.long()?);
            Ok(())
        });
        assert_eq!((read, seen), (Ok(()), vec![1, 2]));
    }
}
