//! Which directory a node's directory is: `id` in `stream.directory`, beside the journals.
//!
//! It holds 128 bits that were drawn for this directory. The ring file in memory is found by them, and repeats them, so that a directory may be renamed or
//! moved within its file system and finds its ring. It also holds what a copy cannot take along: device and inode number of the directory, and when it was
//! made. A directory that does not agree with them is a copy, and draws an id of its own: it never takes the original's ring.
//!
//! Where a running node has lost its ring file, it notes here under which boot of the machine everything that it acknowledged is in its journal; the
//! next start under this boot does without a ring then. That too is nothing that a copy can take along.
//!
//! The file is text, with a checksum, and is replaced as a whole, as `life` is.
use crate::life::replace;
use gds_core::agent::Fault;
use gds_nic::folder::open_to_read;
use serde::Deserialize;
use std::fmt::Write;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

const NAME: &str = "id";
const NEW_NAME: &str = "id.new";
/// More than the file ever has.
const BYTES_MAX: u64 = 4096;
const HEADING: &str = "# Which directory this is: the node's ring file is found by it. A copy of the directory draws another id at its first start.";

/// An id as people see it, and as files are named after it.
pub fn hex(id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let is_plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|_| is_plain).map(u128::to_be_bytes)
}

/// What of a directory no copy of it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
    /// When it was made, ns since 1970; 0 where the file system does not say.
    made_ns: u64,
}

impl Place {
    fn of(directory: &Path) -> io::Result<Self> {
        let about = fs::metadata(directory)?;
        let made = about.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        let made_ns = made.and_then(|made| u64::try_from(made.as_nanos()).ok()).unwrap_or(0);
        Ok(Self { device: about.dev(), inode: about.ino(), made_ns })
    }
}

/// What stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    id: String,
    device: u64,
    inode: u64,
    made_ns: u64,
    without_ring: String,
    check: String,
}

/// The file's text without its last line, which is the checksum of all before it.
fn text(id: [u8; 16], place: Place, without_ring: Option<[u8; 16]>) -> String {
    let Place { device, inode, made_ns } = place;
    let (id, boot) = (hex(id), without_ring.map(hex).unwrap_or_default());
    format!(
        "{HEADING}\nid = \"{id}\"\ndevice = {device}\ninode = {inode}\nmade_ns = {made_ns}\n# The boot of the machine under which everything acknowledged is \
         in the journal, after the ring file was lost; empty: the ring counts.\nwithout_ring = \"{boot}\"\n"
    )
}

fn check_of(text: &str) -> String {
    format!("{:08x}", gds_wire::checksum(text.as_bytes()))
}

/// Who a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The id drawn for it.
    pub id: [u8; 16],
    /// The boot of the machine under which the node lost its ring file and has had everything acknowledged in its journal since.
    pub without_ring: Option<[u8; 16]>,
    place: Place,
    /// The user that the file belongs to.
    pub owner: u32,
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No id: nothing of this version was started there.
    None,
    /// Its own.
    Own(Identity),
    /// That of another directory, of which it is a copy.
    Copied(Identity),
}

impl Identity {
    /// What `directory` holds. Changes nothing.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged.
    pub fn read(directory: &Path) -> Result<Found, Fault> {
        let path = directory.join(NAME);
        let damaged = |what: &dyn std::fmt::Display| {
            Fault(format!(
                "{}: {what}. Without it the node does not find its ring file: restore the file, or remove it, and the ring counts as gone",
                path.display()
            ))
        };
        let read = || -> io::Result<String> {
            let mut text = String::new();
            open_to_read(&path)?.take(BYTES_MAX).read_to_string(&mut text).map(|_| text)
        };
        let text = match read() {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::None),
            Err(error) => return Err(damaged(&error)),
        };
        let (id, place, without_ring) = parse(&text).map_err(|what| damaged(&what))?;
        let owner = fs::metadata(&path).map_err(|error| damaged(&error))?.uid();
        let identity = Self { id, without_ring, place, owner };
        let here = Place::of(directory).map_err(|error| damaged(&error))?;
        Ok(if place == here { Found::Own(identity) } else { Found::Copied(identity) })
    }

    /// Draws an id for `directory`, and keeps it there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn draw(directory: &Path) -> Result<Self, Fault> {
        let id = gds_nic::draw_id().map_err(Fault::from)?;
        let place = Place::of(directory).map_err(|error| failed(directory, &error))?;
        Self { id, without_ring: None, place, owner: gds_nic::folder::user() }.keep(directory)
    }

    /// The same, with another word on the ring; once this returns it would survive a power cut.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn without_ring(self, directory: &Path, boot: Option<[u8; 16]>) -> Result<Self, Fault> {
        Self { without_ring: boot, ..self }.keep(directory)
    }

    fn keep(self, directory: &Path) -> Result<Self, Fault> {
        let mut text = text(self.id, self.place, self.without_ring);
        let check = check_of(&text);
        writeln!(text, "check = \"{check}\"").expect("writing to a string succeeds");
        replace(directory, NEW_NAME, NAME, &text).map_err(|error| failed(directory, &error))?;
        Ok(self)
    }
}

fn failed(directory: &Path, error: &io::Error) -> Fault {
    Fault(format!(
        "{}: cannot be written: {error}; the node must be able to keep it",
        directory.join(NAME).display()
    ))
}

/// What stands in the file: the id, the place, and the boot for which the ring counts for nothing.
type Kept = ([u8; 16], Place, Option<[u8; 16]>);

fn parse(whole: &str) -> Result<Kept, String> {
    let found: Text = toml::from_str(whole).map_err(|error| error.message().to_owned())?;
    let Text { id, device, inode, made_ns, without_ring, check } = found;
    let id = parse_hex(&id).ok_or_else(|| format!("id = {id:?} is not 32 hexadecimal digits"))?;
    let boot = match without_ring.as_str() {
        "" => None,
        boot => Some(
            parse_hex(boot).ok_or_else(|| format!("without_ring = {boot:?} is not 32 hexadecimal digits"))?,
        ),
    };
    let place = Place { device, inode, made_ns };
    if check != check_of(&text(id, place, boot)) {
        return Err("it has a wrong checksum".into());
    }
    Ok((id, place, boot))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: [u8; 16] = [0xB0; 16];

    fn own(directory: &Path) -> Identity {
        match Identity::read(directory).unwrap() {
            Found::Own(identity) => identity,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_id_stays_when_its_directory_is_renamed() {
        let place = tempfile::tempdir().unwrap();
        let (before, after) = (place.path().join("before"), place.path().join("after"));
        fs::create_dir(&before).unwrap();
        assert_eq!(Identity::read(&before), Ok(Found::None));
        let drawn = Identity::draw(&before).unwrap();
        assert_eq!(own(&before), drawn);
        fs::rename(&before, &after).unwrap();
        assert_eq!(own(&after), drawn);
        assert_eq!(drawn.owner, gds_nic::folder::user());
    }

    #[test]
    fn a_copy_is_known_for_one_and_draws_another() {
        let place = tempfile::tempdir().unwrap();
        let (original, copy) = (place.path().join("original"), place.path().join("copy"));
        fs::create_dir(&original).unwrap();
        fs::create_dir(&copy).unwrap();
        let drawn = Identity::draw(&original).unwrap().without_ring(&original, Some(BOOT)).unwrap();
        fs::copy(original.join(NAME), copy.join(NAME)).unwrap();
        assert_eq!(Identity::read(&copy), Ok(Found::Copied(drawn)));
        let other = Identity::draw(&copy).unwrap();
        assert_ne!(other.id, drawn.id);
        assert_eq!((own(&copy), own(&original), other.without_ring), (other, drawn, None));
    }

    #[test]
    fn what_it_says_of_the_ring_is_kept_and_taken_back() {
        let place = tempfile::tempdir().unwrap();
        let drawn = Identity::draw(place.path()).unwrap();
        let without = drawn.without_ring(place.path(), Some(BOOT)).unwrap();
        assert_eq!((own(place.path()), without.without_ring), (without, Some(BOOT)));
        without.without_ring(place.path(), None).unwrap();
        assert_eq!(own(place.path()), drawn);
    }

    #[test]
    fn a_damaged_file_says_what_to_do() {
        let place = tempfile::tempdir().unwrap();
        Identity::draw(place.path()).unwrap();
        let path = place.path().join(NAME);
        let whole = fs::read_to_string(&path).unwrap();
        let digit = whole.find("id = \"").unwrap() + 6;
        let mut other = whole.clone();
        let changed = if &whole[digit..=digit] == "0" { "1" } else { "0" };
        other.replace_range(digit..=digit, changed);
        let other = [other, whole.replace("device = ", "device = 1"), whole.replace("id = \"", "id = \"0")];
        let broken = ["", "\0\0\0", "id = 3\n", &whole[..whole.len() / 2], &format!("{whole}more = 1\n")];
        for text in other.iter().map(String::as_str).chain(broken) {
            fs::write(&path, text).unwrap();
            let fault = Identity::read(place.path()).expect_err(text).0;
            assert!(fault.starts_with(&format!("{}: ", path.display())), "{fault}");
            assert!(fault.ends_with("and the ring counts as gone"), "{fault}");
        }
    }

    #[test]
    fn what_a_dead_process_had_begun_to_write_does_not_count() {
        let place = tempfile::tempdir().unwrap();
        let drawn = Identity::draw(place.path()).unwrap();
        fs::write(place.path().join(NEW_NAME), "id = \"").unwrap();
        assert_eq!(own(place.path()), drawn);
    }
}
