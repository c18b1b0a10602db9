//! The foreign implementation of Avro whose bytes ours are compared with, both ways. For tests only.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{AvroResult, Schema};

/// What the foreign reader makes of bytes, all of which it has to read.
pub(crate) fn read(schema: &Schema, mut bytes: &[u8]) -> AvroResult<Value> {
    let value = GenericDatumReader::builder(schema).build()?.read_value(&mut bytes)?;
    assert!(bytes.is_empty(), "the foreign reader leaves bytes over");
    Ok(value)
}

/// What the foreign writer makes of a value.
pub(crate) fn write(schema: &Schema, value: Value) -> AvroResult<Vec<u8>> {
    GenericDatumWriter::builder(schema).build()?.write_value_to_vec(value)
}
