use super::*;
use gds_core::memory::ring::{RingConfig, RingIdentity};
use gds_wire::session::Session;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

fn home() -> (TempDir, Config) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::default();
    config.stream.directory = home.path().join("data");
    config.stream.ring_directory = home.path().to_path_buf();
    fs::create_dir(&config.stream.directory).expect("a folder");
    (home, config)
}

fn of(config: &Config, directory: &str) -> Config {
    let mut config = config.clone();
    config.stream.directory.set_file_name(directory);
    config
}

#[test]
fn a_ring_is_found_by_its_directory_wherever_that_is() {
    let (_home, config) = home();
    let fault = ring_file(&config).expect_err("there is no id").0;
    assert!(fault.contains("no node has been started there"), "{fault}");
    let own = OwnFolder::open(&config).unwrap();
    let ring = ring_file(&config).unwrap();
    assert_eq!(ring, own.folder.path().join(own.ring()));
    assert_eq!(stages_file(&config).unwrap(), own.folder.path().join(own.stages()));
    let renamed = of(&config, "renamed");
    fs::rename(&config.stream.directory, &renamed.stream.directory).unwrap();
    assert_eq!(ring_file(&renamed).unwrap(), ring);
    assert!(OwnFolder::open(&renamed).unwrap().notes.is_empty());
}

#[test]
fn a_copy_has_a_ring_of_its_own_and_says_so() {
    let (_home, config) = home();
    OwnFolder::open(&config).unwrap();
    let copied = of(&config, "copied");
    fs::create_dir(&copied.stream.directory).unwrap();
    fs::copy(config.stream.directory.join("id"), copied.stream.directory.join("id")).unwrap();
    assert!(ring_file(&copied).is_err());
    let notes = OwnFolder::open(&copied).unwrap().notes;
    assert!(notes[0].contains("is a copy of the directory with the id"), "{notes:?}");
    assert_ne!(ring_file(&copied).unwrap(), ring_file(&config).unwrap());
}

#[test]
fn rings_without_their_directory_are_named_and_not_touched() {
    let (_home, config) = home();
    let other = of(&config, "other");
    fs::create_dir(&other.stream.directory).unwrap();
    for config in [&config, &other] {
        OwnFolder::open(config).unwrap();
        fs::write(ring_file(config).unwrap(), "a ring").unwrap();
    }
    let own = OwnFolder::open(&config).unwrap();
    assert_eq!(own.orphans(), None);
    let orphan = ring_file(&other).unwrap();
    fs::remove_dir_all(&other.stream.directory).unwrap();
    let said = own.orphans().expect("its directory is gone");
    assert!(
        said.contains(&format!("{} (of {})", orphan.display(), other.stream.directory.display())),
        "{said}"
    );
    // While a process has it, it is not for anybody to remove.
    let held = File::open(&orphan).unwrap();
    held.lock().unwrap();
    assert_eq!(own.orphans(), None);
    drop(held);
    for number in 0..20 {
        let name = own.folder.path().join(format!("{number:032}.ring"));
        fs::write(name.with_extension("directory"), "/nowhere").unwrap();
        fs::write(name, "a ring").unwrap();
    }
    let said = own.orphans().expect("their directory is gone");
    assert!(said.contains(" and 13 more. ") && said.len() < 4096, "{said}");
    assert!(orphan.exists());
}

#[test]
fn a_folder_that_is_not_its_own_is_named() {
    let (home, config) = home();
    let folder = folder_of(&config, gds_nic::folder::user());
    symlink(home.path(), &folder).unwrap();
    let fault = OwnFolder::open(&config).expect_err("a link").0;
    assert!(fault.contains(&format!("{}: it is a symbolic link", folder.display())), "{fault}");
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
    let fault = OwnFolder::open(&config).expect_err("open to others").0;
    assert!(fault.contains("(mode 0770)"), "{fault}");
}

#[test]
fn a_copy_of_a_ring_takes_what_the_ring_takes() {
    let (home, _) = home();
    let path = home.path().join("ring");
    let config = RingConfig { data_bytes: 1 << 12, positions: 64 };
    let words = HeapWords::shared(Ring::words_needed(&config));
    let identity = RingIdentity { stream: Session::NODE, boot_id: [1; 16], directory: [2; 16] };
    drop(Ring::create(words.clone(), config, identity, 1));
    let bytes: Vec<u8> =
        words.words().iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    // Grown by far more than there is memory, without taking any.
    fs::write(&path, &bytes).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    let copy = copy_of_ring(&path).unwrap();
    assert_eq!(copy.words().len(), words.words().len());
    assert_eq!(Ring::open(copy).unwrap().identity(), identity);
    fs::write(&path, [0xFF; 100_000]).unwrap();
    assert_eq!(copy_of_ring(&path).unwrap().words().len(), Ring::HEADER_WORDS);
    fs::write(&path, [1; 7]).unwrap();
    assert_eq!(copy_of_ring(&path).unwrap().words().len(), 0);
}
