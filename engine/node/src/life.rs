//! The file in which a member of a cluster keeps which life it lives: `life` in `stream.directory`, beside the journals.
//!
//! It is text that a person can read. Each start replaces it as a whole: a new file is written and synced, takes the old one's
//! name, and the directory is synced, so that there is always one of the two.
use gds_core::agent::Fault;
use gds_core::replication::{INCARNATION_MAX, Life};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

const NAME: &str = "life";
/// Longest text that is read.
const TEXT_BYTES_MAX: u64 = 4096;
const NEW_NAME: &str = "life.new";
const HEADING: &str = "# The life that this node lives; written at each of its starts. It belongs to the journals beside it: do not copy it to another node.";

/// What stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    incarnation: u64,
    whole_since: u64,
}

/// The life kept in `directory`; `None` when there was none.
pub fn read(directory: &Path) -> Result<Option<Life>, Fault> {
    let path = directory.join(NAME);
    let damaged = |what: String| {
        Fault(format!(
            "{}: {what}. Without it the node does not know what it may have lost: restore the file, or remove it, and the others count \
             the node as one that lost something",
            path.display()
        ))
    };
    let text = match File::open(&path).and_then(read_text) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(damaged(error.to_string())),
    };
    parse(&text).map(Some).map_err(damaged)
}

fn read_text(file: File) -> io::Result<String> {
    let mut text = String::new();
    match file.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)? as u64 {
        ..=TEXT_BYTES_MAX => Ok(text),
        _ => Err(io::Error::new(ErrorKind::InvalidData, "it is longer than a life can be")),
    }
}

/// The life that a text holds.
///
/// # Errors
/// With what is wrong with it.
pub fn parse(text: &str) -> Result<Life, String> {
    let Text { incarnation, whole_since } =
        toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if !(1..=incarnation).contains(&whole_since) {
        return Err(format!("whole_since = {whole_since} is not within 1 to incarnation = {incarnation}"));
    }
    let life = Life { incarnation, whole_since };
    if !life.is_possible() {
        return Err(format!("incarnation = {incarnation}: they go from 1 to {INCARNATION_MAX}"));
    }
    Ok(life)
}

/// Keeps a life in `directory`; once this returns it would survive a power cut.
pub fn write(directory: &Path, life: Life) -> Result<(), Fault> {
    let Life { incarnation, whole_since } = life;
    let text = format!("{HEADING}\nincarnation = {incarnation}\nwhole_since = {whole_since}\n");
    replace(directory, NEW_NAME, NAME, &text).map_err(|error| {
        Fault(format!(
            "{}: cannot be written: {error}; a member of a cluster must be able to keep it",
            directory.join(NAME).display()
        ))
    })
}

/// Sets the life kept in `directory` aside, as `life.before`: the node is a member no more.
pub fn set_aside(directory: &Path) -> Result<(), Fault> {
    let (life, before) = (directory.join(NAME), directory.join("life.before"));
    let set_aside = || match fs::rename(&life, &before) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(directory)?.sync_all(),
    };
    set_aside().map_err(|error| Fault(format!("{}: cannot be renamed: {error}", life.display())))
}

/// Gives the file `name` this text, by way of `new`: there is always the old one or the new one, and once this returns the new one would survive a
/// power cut.
pub(crate) fn replace(directory: &Path, new: &str, name: &str, text: &str) -> io::Result<()> {
    let new = directory.join(new);
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, directory.join(name))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_kept_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()), Ok(None));
        for life in [Life { incarnation: 1, whole_since: 1 }, Life { incarnation: 7, whole_since: 3 }] {
            write(directory.path(), life).unwrap();
            assert_eq!(read(directory.path()), Ok(Some(life)));
        }
        let text = fs::read_to_string(directory.path().join(NAME)).unwrap();
        assert_eq!(text, format!("{HEADING}\nincarnation = 7\nwhole_since = 3\n"));
    }

    #[test]
    fn what_a_dead_process_had_begun_to_write_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let life = Life { incarnation: 2, whole_since: 2 };
        write(directory.path(), life).unwrap();
        fs::write(directory.path().join(NEW_NAME), "incarn").unwrap();
        assert_eq!(read(directory.path()), Ok(Some(life)));
        let next = Life { incarnation: 3, ..life };
        write(directory.path(), next).unwrap();
        assert_eq!(read(directory.path()), Ok(Some(next)));
    }

    #[test]
    fn a_damaged_file_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        for text in [
            "",
            "incarnation = 3\n",
            "incarnation = 3\nwhole_since = 4\n",
            "incarnation = 3\nwhole_since = 0\n",
            "incarnation = -3\nwhole_since = 1\n",
            "incarnation = 3\nwhole_since = 1\nname = 2\n",
            "\0\0\0\0",
            "incarnation = 18446744073709551615\nwhole_since = 1\n",
            "incarnation = 9007199254740993\nwhole_since = 1\n",
            &"#".repeat(1 << 20),
        ] {
            fs::write(&path, text).unwrap();
            let fault = read(directory.path()).expect_err(text).0;
            assert!(fault.starts_with(&format!("{}: ", path.display())), "{fault}");
            assert!(fault.ends_with("the node as one that lost something"), "{fault}");
        }
    }

    #[test]
    fn a_directory_that_is_gone_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let fault =
            write(&directory.path().join("gone"), Life { incarnation: 1, whole_since: 1 }).unwrap_err().0;
        assert!(fault.contains("gone/life: cannot be written"), "{fault}");
    }
}
