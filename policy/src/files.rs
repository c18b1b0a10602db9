//! The files of catalogues: from the binary, a directory or a bundle, and what identifies them.
//!
//! In: where they come from. Out: texts by name, bounded in size, and 64 bits over all of them. It never looks inside, and what it has
//! read once never changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use include_dir::{Dir, include_dir};
use xxhash_rust::xxh3::Xxh3;

use crate::report::{Place, Report};

/// A file of a catalogue may have this many bytes.
pub const FILE_BYTES: usize = 256 * 1024;
/// A catalogue may have this many files.
pub const FILES_PER_CATALOGUE: usize = 64;
/// All files of a deployment as a bundle: one record of a topic, which Kafka by default keeps under 1 MiB.
pub const BUNDLE_BYTES: usize = 768 * 1024;

/// The policy of a catalogue.
pub(crate) const CATALOGUE_FILE: &str = "catalogue.yaml";
/// How lines of a file become its events.
pub(crate) const MAP_FILE: &str = "map.yaml";
/// The events that it makes up.
pub(crate) const GENERATOR_FILE: &str = "generator.yaml";
const SCHEMA_SUFFIX: &str = ".avsc";

static SHIPPED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../schemas/catalogues");

/// Where a catalogue comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogueSource {
    /// One that ships in the binary.
    Shipped(String),
    /// A directory with `catalogue.yaml`, its schemas `*.avsc`, and perhaps `map.yaml` and `generator.yaml`; other files are not read.
    Directory(PathBuf),
}

/// 64 bits over everything in the catalogues, wherever they were loaded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CatalogueVersion(pub u64);

/// The files of one catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    /// What stands before a file's name in a problem.
    label: String,
    texts: BTreeMap<String, String>,
}

/// The files of catalogues, or what could not be read of them, as they were at one moment. Equal where nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueFiles {
    pub(crate) folders: Vec<Folder>,
    pub(crate) report: Report,
}

impl CatalogueFiles {
    /// Reads all sources.
    #[must_use]
    pub fn read(sources: &[CatalogueSource]) -> Self {
        let mut report = Report::default();
        let folders = sources.iter().filter_map(|source| Folder::read(source, &mut report)).collect();
        Self { folders, report }
    }
}

impl CatalogueVersion {
    /// 16 hex digits.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:016x}", self.0)
    }

    /// The number that its first eight hex digits are: for gauges, which hold no more exactly.
    #[must_use]
    pub fn short(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }
}

impl Folder {
    /// Reads a source; what cannot be read is a problem.
    pub(crate) fn read(source: &CatalogueSource, report: &mut Report) -> Option<Self> {
        match source {
            CatalogueSource::Shipped(name) => Self::shipped(name, report),
            CatalogueSource::Directory(path) => Self::directory(path, report),
        }
    }

    /// A folder of a bundle.
    pub(crate) fn bundled(name: &str, texts: BTreeMap<String, String>) -> Self {
        Self { label: name.to_owned(), texts }
    }

    fn shipped(name: &str, report: &mut Report) -> Option<Self> {
        let Some(folder) = SHIPPED.get_dir(name) else {
            let problem = format!("no catalogue of this name ships; there are {}", shipped_names().join(", "));
            report.add(&Place { file: name.into(), line: 1 }, problem);
            return None;
        };
        let texts = folder.files().filter_map(|file| {
            let name = file.path().file_name()?.to_str()?;
            Some((name.to_owned(), file.contents_utf8()?.to_owned()))
        });
        Some(Self { label: name.to_owned(), texts: texts.filter(|(name, _)| is_read(name)).collect() })
    }

    fn directory(path: &Path, report: &mut Report) -> Option<Self> {
        let mut folder = Self { label: path.display().to_string(), texts: BTreeMap::new() };
        let place = Place { file: folder.label.as_str().into(), line: 1 };
        let names = report.check(&place, names_in(path))?;
        if names.len() > FILES_PER_CATALOGUE {
            report.add(&place, format!("{} files, more than {FILES_PER_CATALOGUE}", names.len()));
            return None;
        }
        for name in names {
            let text = report.check(&folder.place(&name, 1), read_text(&path.join(&name)))?;
            folder.texts.insert(name, text);
        }
        Some(folder)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    pub(crate) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// A file's name as problems show it.
    pub(crate) fn file(&self, name: &str) -> Arc<str> {
        format!("{}/{name}", self.label.trim_end_matches('/')).into()
    }

    pub(crate) fn place(&self, name: &str, line: u64) -> Place {
        Place { file: self.file(name), line }
    }
}

/// The names of the catalogues that ship, sorted.
pub(crate) fn shipped_names() -> Vec<String> {
    let mut names: Vec<String> = SHIPPED.dirs().map(|dir| dir.path().display().to_string()).collect();
    names.sort();
    names
}

/// 64 bits over the files by catalogue's name: each length before its bytes, so that no two sets look alike.
pub(crate) fn version_of(folders: &BTreeMap<String, Folder>) -> CatalogueVersion {
    let mut hash = Xxh3::new();
    let mut add = |text: &str| {
        hash.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(text.as_bytes());
    };
    for (catalogue, folder) in folders {
        for (name, text) in &folder.texts {
            [catalogue, name, text].into_iter().for_each(|part| add(part));
        }
    }
    CatalogueVersion(hash.digest())
}

fn is_read(name: &str) -> bool {
    !name.starts_with('.')
        && (name == CATALOGUE_FILE || name == MAP_FILE || name == GENERATOR_FILE || name.ends_with(SCHEMA_SUFFIX))
}

fn names_in(path: &Path) -> Result<Vec<String>, String> {
    let unreadable = |error: std::io::Error| format!("the directory cannot be read: {error}");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        names.extend(name.to_str().filter(|name| is_read(name)).map(str::to_owned));
    }
    Ok(names)
}

fn read_text(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let limit = u64::try_from(FILE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| format!("the file cannot be read: {error}"))?;
    if bytes.len() > FILE_BYTES {
        return Err(format!("the file has more than {FILE_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())
}
