//! The key of tokens: a given file, or `token.key` in the data directory, made once by whoever comes first.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;

use crate::failure::Failure;

const FILE: &str = "token.key";
const SECRET_BYTES: usize = 32;
const OWNER_ONLY: u32 = 0o600;

/// The key's bytes: of `key` where it is given, else of the deployment in `data`, where it is made on first use.
///
/// # Errors
/// The file cannot be read or made.
pub(crate) fn read_or_make(key: Option<&Path>, data: &Path) -> Result<Vec<u8>, Failure> {
    match key {
        Some(path) => read(path),
        None => of_deployment(data),
    }
}

/// The key of a deployment that has one.
///
/// # Errors
/// There is none.
pub(crate) fn of(data: &Path) -> Result<Vec<u8>, Failure> {
    read(&data.join(FILE))
}

fn of_deployment(data: &Path) -> Result<Vec<u8>, Failure> {
    let path = data.join(FILE);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(data, &path).map_err(|error| said(&path, &error))?;
            read(&path)
        }
        other => other.map_err(|error| said(&path, &error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| said(path, &error))
}

fn said(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("the key {}: {error}", path.display()))
}

/// Written whole under another name, then linked: of several processes that start at once one wins, and none reads half a key.
fn make(data: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(data)?;
    let mut secret = [0; SECRET_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut secret).map_err(io::Error::other)?;
    let draft = data.join(format!("{FILE}.{}", uuid::Uuid::new_v4()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&draft)?;
    file.write_all(URL_SAFE_NO_PAD.encode(secret).as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let makers: Vec<_> = (0..8)
            .map(|_| {
                let data = data.clone();
                std::thread::spawn(move || read_or_make(None, &data).unwrap())
            })
            .collect();
        let keys: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
        assert!(keys[0].len() >= SECRET_BYTES && keys.iter().all(|key| *key == keys[0]));
        let mode = fs::metadata(data.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, OWNER_ONLY);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_named_key_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read_or_make(Some(&directory.path().join("none")), directory.path()).is_err());
    }
}
