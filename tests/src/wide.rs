//! A catalogue with as many views as a type may have, for events as large as they may be.

use std::path::Path;

use serde_json::{Value, json};

/// Labels of each of the three fields; every role holds those of one field, which makes eight views.
#[derive(Debug, Clone, Copy)]
pub struct Labels {
    /// How many.
    pub count: usize,
    /// Bytes of each.
    pub bytes: usize,
}

/// Fields that carry labels, and the roles that hold them.
pub const FIELDS: [&str; 3] = ["x", "y", "z"];

/// Writes the catalogue `wide` into a directory.
///
/// # Panics
/// It cannot be written.
pub fn write(directory: &Path, labels: Labels) {
    let of = |field: &str| -> Vec<String> {
        (0..labels.count).map(|number| format!("{field}{number:0>width$}", width = labels.bytes - 1)).collect()
    };
    let field = |name: &&str| json!({"name": name, "type": "string", "labels": of(name)});
    let mut fields = vec![json!({"name": "text", "type": "string"})];
    fields.extend(FIELDS.iter().map(field));
    let schema = json!({"type": "record", "name": "wide.Note", "fields": fields});
    let mut yaml = "name: wide\nchannels: {wide: {subscribe: 'true', publish: 'true'}}\ntypes:\n  wide.note:\n    \
                    schema: note.avsc\n    channel: wide\n    lane: medium\nroles:\n"
        .to_owned();
    for name in FIELDS {
        yaml.push_str(&format!("  {name}: [{}]\n", of(name).join(", ")));
    }
    std::fs::create_dir_all(directory).expect("a directory");
    std::fs::write(directory.join("note.avsc"), schema.to_string()).expect("written");
    std::fs::write(directory.join("catalogue.yaml"), yaml).expect("written");
}

/// An event with so many bytes of text.
#[must_use]
pub fn event(id: &str, text_bytes: usize) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/tests", "type": "wide.note", "subject": "wide:a",
        "time": "2026-01-02T03:04:05.678Z", "data": {"text": "x".repeat(text_bytes), "x": "1", "y": "2", "z": "3"},
    })
}
