//! Lines of a file or of stdin, gzip or not, read on a thread of their own and handed over within bounds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use tokio::sync::mpsc;

/// Bytes of a line; a longer one ends the reading.
const LINE_BYTES: u64 = 2 * 1024 * 1024;
/// Lines read ahead.
const AHEAD: usize = 1_024;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A line and its number, from 1; without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) text: Vec<u8>,
}

/// Opens a file, and unpacks it where it begins as gzip does. `watch` sees the file's own bytes go by.
///
/// # Errors
/// It cannot be read.
pub(crate) fn open<R: Read + Send + 'static>(
    path: &Path,
    watch: impl FnOnce(File) -> R,
) -> io::Result<Box<dyn BufRead + Send>> {
    let mut reader = BufReader::new(watch(File::open(path)?));
    if reader.fill_buf()?.starts_with(&GZIP) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(reader))));
    }
    Ok(Box::new(reader))
}

/// Reads lines on a thread and maps each there; empty lines are counted and left out. The receiver ends with the reader,
/// or with the error that ended it.
pub(crate) fn spawn<T: Send + 'static>(
    mut reader: Box<dyn BufRead + Send>,
    mut map: impl FnMut(Line) -> T + Send + 'static,
) -> mpsc::Receiver<io::Result<T>> {
    let (tx, rx) = mpsc::channel(AHEAD);
    // Ends when the lines do or when the receiver is gone: each is what its owner awaits.
    tokio::task::spawn_blocking(move || {
        let mut number = 0;
        loop {
            number += 1;
            let said = match next(&mut *reader, number) {
                Ok(None) => return,
                Ok(Some(line)) if line.text.is_empty() => continue,
                Ok(Some(line)) => Ok(map(line)),
                Err(error) => Err(error),
            };
            let last = said.is_err();
            if tx.blocking_send(said).is_err() || last {
                return;
            }
        }
    });
    rx
}

fn next(reader: &mut dyn BufRead, number: u64) -> io::Result<Option<Line>> {
    let mut text = Vec::new();
    let read = reader.take(LINE_BYTES).read_until(b'\n', &mut text)?;
    if read == 0 {
        return Ok(None);
    }
    if text.last() == Some(&b'\n') {
        text.pop();
    } else if u64::try_from(read).is_ok_and(|read| read == LINE_BYTES) {
        let detail = format!("line {number} has more than {LINE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
    }
    if text.last() == Some(&b'\r') {
        text.pop();
    }
    Ok(Some(Line { number, text }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    async fn read(bytes: &[u8]) -> Vec<Result<(u64, String), String>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let reader = open(file.path(), |file| file).unwrap();
        let mut lines = spawn(reader, |line| (line.number, String::from_utf8(line.text).unwrap()));
        let mut all = Vec::new();
        while let Some(line) = lines.recv().await {
            all.push(line.map_err(|error| error.to_string()));
        }
        all
    }

    #[tokio::test]
    async fn lines_are_counted_from_one_over_empty_ones() {
        let said = |number, text: &str| Ok((number, text.to_owned()));
        assert_eq!(read(b"a\r\n\nb\nlast").await, [said(1, "a"), said(3, "b"), said(4, "last")]);
    }

    #[tokio::test]
    async fn gzip_is_known_by_its_first_bytes() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"a\nb\n").unwrap();
        assert_eq!(read(&packed.finish().unwrap()).await.len(), 2);
    }

    #[tokio::test]
    async fn a_line_without_end_is_an_error() {
        let size = usize::try_from(LINE_BYTES).unwrap() + 1;
        let lines = read(&vec![b'x'; size]).await;
        assert!(matches!(&lines[..], [Err(detail)] if detail.starts_with("line 1 has more")), "{lines:?}");
    }
}
