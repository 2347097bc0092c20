//! The file of the label of a data directory: `label` in `stream.directory`, beside the journals.
//!
//! It is text that a person can read, checksummed, and replaced as a whole, as the file [`life`](crate::life) is.
use gds_core::agent::Fault;
use gds_core::journal::Durability;
use gds_core::label::{Label, SessionName, SessionNames};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

const NAME: &str = "label";
const NEW_NAME: &str = "label.new";
const HEADING: &str = "# How the journals beside this file were written, and under which session names their stream went out; written by the node. Do not change it.";
/// Longer is no label.
const BYTES_MAX: u64 = 1 << 14;

/// What stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    stream: String,
    durability: String,
    #[serde(default)]
    session: Vec<SessionText>,
    checksum: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionText {
    name: String,
    from: u64,
}

/// The label of `directory`; `None` when there is none.
pub fn read(directory: &Path) -> Result<Option<Label>, Fault> {
    let path = directory.join(NAME);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text));
    let label = match read {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error.to_string()),
        Ok(length) if length as u64 > BYTES_MAX => Err(format!("it is longer than {BYTES_MAX} bytes")),
        Ok(_) => parse(&text),
    };
    label.map(Some).map_err(|what| {
        Fault(format!(
            "{}: {what}. It says how the journals beside it were written: restore it; or remove it, and the node counts as one written with durability \"memory\", whose \
             stream has no session name but its first",
            path.display()
        ))
    })
}

/// Puts a label on `directory`; once this returns it would survive a power cut.
pub fn write(directory: &Path, label: &Label) -> Result<(), Fault> {
    let replace = || -> io::Result<()> {
        let new = directory.join(NEW_NAME);
        let mut file = File::create(&new)?;
        file.write_all(render(label).as_bytes())?;
        file.sync_all()?;
        fs::rename(new, directory.join(NAME))?;
        File::open(directory)?.sync_all()
    };
    replace().map_err(|error| {
        Fault(format!(
            "{}: cannot be written: {error}; a node must be able to keep how its journals are written",
            directory.join(NAME).display()
        ))
    })
}

fn render(label: &Label) -> String {
    let mut body = format!(
        "{HEADING}\nstream = {:?}\ndurability = \"{}\"\n",
        label.stream.to_string(),
        word(label.durability)
    );
    let sum = checksum(label);
    body += &format!("checksum = \"{sum:08x}\"\n");
    for SessionName { name, from } in label.sessions.names() {
        body += &format!("\n[[session]]\nname = {:?}\nfrom = {from}\n", name.to_string());
    }
    body
}

fn parse(text: &str) -> Result<Label, String> {
    let text: Text = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let named = |name: &str| name.parse().map_err(|error| format!("{name:?}: {error}"));
    let stream = named(&text.stream)?;
    let durability = [Durability::Memory, Durability::Fsync]
        .into_iter()
        .find(|durability| word(*durability) == text.durability)
        .ok_or_else(|| format!("durability = {:?}: memory or fsync", text.durability))?;
    let names = text
        .session
        .iter()
        .map(|session| Ok(SessionName { name: named(&session.name)?, from: session.from }));
    let names = names.collect::<Result<Vec<_>, String>>()?;
    let label = Label { stream, durability, sessions: SessionNames::of(stream, names)? };
    if text.checksum != format!("{:08x}", checksum(&label)) {
        return Err("its checksum does not match".into());
    }
    Ok(label)
}

/// Of what the label says, however it is written.
fn checksum(label: &Label) -> u32 {
    let mut said = format!("{:?} {}", label.stream.0, word(label.durability));
    for SessionName { name, from } in label.sessions.names() {
        said += &format!(" {:?} {from}", name.0);
    }
    gds_wire::checksum(said.as_bytes())
}

fn word(durability: Durability) -> &'static str {
    match durability {
        Durability::Memory => "memory",
        Durability::Fsync => "fsync",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gds_core::time::Time;
    use gds_wire::session::Session;

    const STREAM: Session = Session(*b"GEN\\UM   \0");

    fn label(durability: Durability, names: usize) -> Label {
        let sessions = (0..names).fold(SessionNames::default(), |sessions, from| {
            sessions.renewed(STREAM, from as u64 + 65, Time { monotonic_ns: 0, wall_ns: 1 << 60 })
        });
        Label { stream: STREAM, durability, sessions }
    }

    #[test]
    fn a_label_is_kept_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()), Ok(None));
        for kept in [label(Durability::Memory, 0), label(Durability::Fsync, 2), label(Durability::Memory, 20)]
        {
            write(directory.path(), &kept).unwrap();
            assert_eq!(read(directory.path()), Ok(Some(kept)));
        }
        fs::write(directory.path().join(NEW_NAME), "stre").unwrap();
        assert_eq!(
            read(directory.path()),
            Ok(Some(label(Durability::Memory, 20))),
            "what a dead process had begun"
        );
    }

    #[test]
    fn a_damaged_label_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let good = render(&label(Durability::Memory, 2));
        let mut wrong: Vec<String> = ["", "\0\0\0\0", "stream = 3\n"].map(str::to_owned).to_vec();
        for (from, to) in [
            ("memory", "fsync"),
            ("from = 65", "from = 64"),
            ("from = 65", "from = 0"),
            ("um", "UM"),
            ("UM", "VM"),
        ] {
            wrong.push(good.replace(from, to));
        }
        wrong.push(good.clone() + "\n[[session]]\nname = \"X\"\nfrom = 3\n");
        wrong.push(good[..good.len() - 12].to_owned());
        wrong.push(" ".repeat(1 << 15));
        for text in wrong.iter().filter(|text| **text != good) {
            fs::write(&path, text).unwrap();
            let fault = read(directory.path()).expect_err(text).0;
            assert!(fault.starts_with(&format!("{}: ", path.display())), "{fault}");
            assert!(fault.contains("restore it; or remove it"), "{fault}");
        }
    }

    /// What a fuzzer does: no byte in it may matter to the process but as a fault.
    #[test]
    fn no_change_of_a_byte_goes_unseen() {
        let good = render(&label(Durability::Fsync, 3));
        let kept = parse(&good).expect("good");
        let begin = HEADING.len();
        for at in begin..good.len() {
            for to in [b'0', b'"', b'\n', 0xff, b'x'] {
                let mut bytes = good.clone().into_bytes();
                bytes[at] = to;
                if let Ok(label) =
                    String::from_utf8(bytes).map_err(|_| String::new()).and_then(|text| parse(&text))
                {
                    assert_eq!(label, kept, "a change of byte {at} to {to} was believed");
                }
            }
        }
    }
}
