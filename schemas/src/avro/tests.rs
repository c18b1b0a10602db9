//! What Avro ⇄ JSON promises, by theme.

mod wikipedia;
