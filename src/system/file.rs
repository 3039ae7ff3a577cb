//! Files that other programs wrote: regular files only, opened once, and read up to a limit.
//!
//! Checks look at the open handle, never at the path again, where another file may be by then.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The bytes of a regular file.
///
/// # Errors
/// The file cannot be opened, is a FIFO, a device or a folder, or has more than `max_bytes` (`FileTooLarge`).
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    read_handle(open(path, 0)?, max_bytes)
}

/// The bytes of a regular file that is not a link.
///
/// # Errors
/// Those of [`read`]; `path` is a link.
pub fn read_unlinked(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = open(path, libc::O_NOFOLLOW).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => io::Error::other("it is a link, not a regular file"),
        _ => error,
    })?;
    read_handle(file, max_bytes)
}

/// The text of a regular file.
///
/// # Errors
/// Those of [`read`]; the text is not UTF-8.
pub fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    String::from_utf8(read(path, max_bytes)?).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Makes a file, or empties an existing regular file.
///
/// # Errors
/// The file cannot be opened for writing, or is not a regular file.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        // Emptied below, once it is known to be a regular file.
        .truncate(false)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    expect_regular(&file)?;
    file.set_len(0)?;
    Ok(file)
}

/// What is at `path`, in words, if something is and it is not a regular file.
pub fn special(path: &Path) -> Option<&'static str> {
    let kind = std::fs::metadata(path).ok()?.file_type();
    (!kind.is_file()).then(|| name(kind))
}

/// `O_NONBLOCK` keeps `open` from waiting for the writer of a FIFO. It changes nothing for regular files.
fn open(path: &Path, flags: i32) -> io::Result<File> {
    let flags = flags | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    expect_regular(&file)?;
    Ok(file)
}

fn expect_regular(file: &File) -> io::Result<()> {
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(io::Error::other(format!("it is {}, not a regular file", name(kind))))
}

fn name(kind: FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () if kind.is_block_device() || kind.is_char_device() => "a device",
        () => "something special",
    }
}

fn read_handle(file: File, max_bytes: u64) -> io::Result<Vec<u8>> {
    let too_large = |size: &dyn std::fmt::Display| {
        let text = format!("it has {size} bytes, at most {max_bytes} are read");
        io::Error::new(io::ErrorKind::FileTooLarge, text)
    };
    let size = file.metadata()?.len();
    if size > max_bytes {
        return Err(too_large(&size));
    }
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(size as usize + 1)
        .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // The file may grow meanwhile, and some of the system's files do not tell their size.
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(too_large(&format_args!("more than {max_bytes}")));
    }
    Ok(bytes)
}

#[cfg(test)]
pub mod tests {
    use std::ffi::CString;
    use std::os::unix::net::UnixListener;

    use super::*;

    pub fn make_fifo(path: &Path) {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a plain call with a text that ends in NUL.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    }

    #[test]
    fn a_special_file_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        make_fifo(&at("fifo"));
        let _socket = UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("endless")).unwrap();
        for (path, said) in [
            (at("fifo"), "a FIFO"),
            (at("endless"), "a device"),
            (folder.path().into(), "a folder"),
        ] {
            let error = read(&path, 100).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("not a regular file"), "{error}");
            assert_eq!(special(&path), Some(said));
        }
        // A socket cannot be opened at all.
        assert!(read(&at("socket"), 100).is_err());
        assert_eq!(special(&at("socket")), Some("a socket"));
        assert_eq!(special(&at("nothing")), None);
        assert!(create(&at("fifo")).is_err());
        assert!(create(folder.path()).is_err());
    }

    #[test]
    fn no_more_is_read_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(read(&path, 4).unwrap_err().to_string().contains("5 bytes, at most 4"));
        // A file with bytes whose size is given as 0.
        assert!(!read_text(Path::new("/proc/self/status"), 1 << 16).unwrap().is_empty());
        let error = read(Path::new("/proc/self/status"), 4).unwrap_err().to_string();
        assert!(error.contains("more than 4 bytes"), "{error}");
        // A terabyte that takes no space on the disk.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(read(&path, 1 << 31).is_err());
    }

    #[test]
    fn a_link_is_followed_where_links_are_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&link, 10).unwrap(), b"text");
        assert_eq!(read_unlinked(&file, 10).unwrap(), b"text");
        assert!(read_unlinked(&link, 10).unwrap_err().to_string().contains("a link"));
    }

    #[test]
    fn a_file_is_made_or_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for _ in 0..2 {
            create(&path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"");
            std::fs::write(&path, "text").unwrap();
        }
    }
}
