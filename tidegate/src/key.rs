//! A deployment's secrets: the keys of tokens, of masks and of the audit. Each is a given file, or one in the data directory, made once by
//! whoever comes first.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use schemas::audit::chain::ChainKey;
use schemas::avro::MaskKey;

use crate::failure::Failure;

const TOKEN_FILE: &str = "token.key";
const MASK_FILE: &str = "mask.key";
const AUDIT_FILE: &str = "audit.key";
const SECRET_BYTES: usize = 32;
const OWNER_ONLY: u32 = 0o600;

/// The key's bytes: of `key` where it is given, else of the deployment in `data`, where it is made on first use.
///
/// # Errors
/// The file cannot be read or made.
pub(crate) fn read_or_make(key: Option<&Path>, data: &Path) -> Result<Vec<u8>, Failure> {
    match key {
        Some(path) => read(path),
        None => read_or_create(&data.join(TOKEN_FILE)),
    }
}

/// The key of masks: of `key` where it is given, else of the deployment in `data`, where it is made on first use.
///
/// # Errors
/// The file cannot be read or made, or is too short for a secret.
pub(crate) fn mask(key: Option<&Path>, data: &Path) -> Result<MaskKey, Failure> {
    secret("mask_key", key, &data.join(MASK_FILE)).map(|secret| MaskKey::new(&secret))
}

/// The key of the audit's chains: of `key` where it is given, else of the deployment in `data`, where it is made on first use.
///
/// # Errors
/// As [`mask`].
pub(crate) fn audit(key: Option<&Path>, data: &Path) -> Result<ChainKey, Failure> {
    secret("audit_key", key, &data.join(AUDIT_FILE)).map(|secret| ChainKey::new(&secret))
}

fn secret(name: &str, key: Option<&Path>, own: &Path) -> Result<Vec<u8>, Failure> {
    let secret = key.map_or_else(|| read_or_create(own), read)?;
    let secret = secret.trim_ascii_end();
    if secret.len() < SECRET_BYTES {
        return Err(Failure::Usage(vec![format!("{name}: a secret has {SECRET_BYTES} bytes or more")]));
    }
    Ok(secret.to_vec())
}

/// The key of a deployment that has one.
///
/// # Errors
/// There is none.
pub(crate) fn of(data: &Path) -> Result<Vec<u8>, Failure> {
    read(&data.join(TOKEN_FILE))
}

fn read_or_create(path: &Path) -> Result<Vec<u8>, Failure> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|error| said(path, &error))?;
            read(path)
        }
        other => other.map_err(|error| said(path, &error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| said(path, &error))
}

fn said(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("the key {}: {error}", path.display()))
}

/// Written whole under another name, then linked: of several processes that start at once one wins, and none reads half a key.
fn make(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let mut secret = [0; SECRET_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut secret).map_err(io::Error::other)?;
    let draft = path.with_extension(uuid::Uuid::new_v4().to_string());
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
        let mode = fs::metadata(data.join(TOKEN_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, OWNER_ONLY);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_key_of_masks_is_a_secret_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let short = directory.path().join("short");
        fs::write(&short, "short\n").unwrap();
        assert!(mask(Some(&short), directory.path()).is_err());
        assert!(mask(None, directory.path()).is_ok());
        read_or_make(None, directory.path()).unwrap();
        let made = |file: &str| fs::read(directory.path().join(file)).unwrap();
        assert_ne!(made(MASK_FILE), made(TOKEN_FILE));
    }

    #[test]
    fn a_named_key_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read_or_make(Some(&directory.path().join("none")), directory.path()).is_err());
    }
}
