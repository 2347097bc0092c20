use super::*;
use crate::rings::OwnFolder;
use crate::step::unwatched;
use crate::surroundings::Place;
use gds_core::agent::start::Surroundings;
use gds_core::disk::Disk;
use gds_core::journal::{JournalRead, JournalReader};
use tempfile::TempDir;

const STREAM: Session = Session(*b"1700000000");
const LIFE: Life = Life { incarnation: 7, whole_since: 3 };

/// A node's folder with something of every kind in it, and its configuration.
fn home() -> (TempDir, Config) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::default();
    config.stream.directory = home.path().join("data");
    config.stream.ring_directory = home.path().to_path_buf();
    config.journal.segment_bytes = 1 << 20;
    let directory = &config.stream.directory;
    for name in FOLDERS {
        fs::create_dir_all(directory.join(name)).expect("a folder");
        fs::write(directory.join(name).join("old"), "old").expect("a file");
    }
    life::write(directory, LIFE).expect("a life");
    OwnFolder::open(&config).expect("an id and a folder");
    fs::write(ring_file(&config).expect("a name"), "ring").expect("a file");
    (home, config)
}

/// The folder of what has come whole, without a snapshot's files: those are the engine's.
fn arrived(config: &Config) {
    let folder = config.stream.directory.join(ARRIVING);
    fs::create_dir_all(folder.join(SNAPSHOTS)).expect("a folder");
    let disk = Directory::open(snapshot_directory(folder.join(SNAPSHOTS))).expect("a folder");
    let arrival = Arrival::new(STREAM, 90, 0, 1 << 20);
    assert!(arrival.is_whole(), "nothing is to come");
    let arriving = Arriving { config, stream: STREAM, folder, disk: Files(disk), arrival };
    let (message, acknowledgement) = (b"message".to_vec(), b"outcome".to_vec());
    arriving
        .land(&Landing { sequence: 90, epoch: 4, chains: [7, 8], message, acknowledgement })
        .expect("room for it");
}

/// What the node has of old: its folders, and its ring.
fn old(config: &Config) -> (usize, bool) {
    let folders = FOLDERS.iter().filter(|name| config.stream.directory.join(name).join("old").exists());
    (folders.count(), ring_file(config).expect("a name").exists())
}

fn is_settled(config: &Config) {
    let directory = &config.stream.directory;
    assert!(!directory.join(ARRIVED).exists() && !directory.join(ARRIVING).exists());
    assert_eq!(old(config), (0, false));
    let of =
        [("bus", STREAM, &b"message"[..]), ("acknowledgements", acknowledgement_session(STREAM), b"outcome")];
    for (name, session, expected) in of {
        let mut files = Files::open_to_read(&directory.join(name)).expect("a journal");
        let mut bytes = [0; 4096];
        let mut reader = JournalReader::new(session);
        let read = reader.read(90, &mut files, &mut bytes);
        let chain = if name == "bus" { 7 } else { 8 };
        assert_eq!(read, Ok(JournalRead::Message { length: expected.len(), epoch: 4, chain }), "{name}");
        assert_eq!(&bytes[..expected.len()], expected);
        assert_eq!((reader.first_kept(), reader.last(&mut files)), (Some(90), Ok(90)));
        assert!(files.segments().expect("a folder").contains(&1));
    }
    let mut watcher = unwatched;
    let mut place = Place::open(config, &mut watcher).expect("a folder");
    assert_eq!(place.committed(STREAM), Ok(90));
    let life = place.life().expect("a file").expect("a life");
    assert!(life.incarnation > LIFE.incarnation && life.whole_since > LIFE.incarnation, "{life:?}");
}

#[test]
fn what_has_arrived_takes_the_place_of_what_was_there() {
    let (_home, config) = home();
    assert_eq!(settle(&config), Ok(false));
    arrived(&config);
    assert_eq!((old(&config), is_due(&config)), ((3, true), true), "nothing is touched before");
    assert_eq!(settle(&config), Ok(true));
    is_settled(&config);
    assert_eq!((settle(&config), is_due(&config)), (Ok(false), false));
    is_settled(&config);
}

fn parcel() -> Parcel {
    let (message, acknowledgement) = (b"message".to_vec(), b"outcome".to_vec());
    let landing = Landing { sequence: 90, epoch: 4, chains: [7, 8], message, acknowledgement };
    Parcel { from: NodeId(3), chunks: 3, landing }
}

#[test]
fn what_has_not_arrived_whole_changes_nothing_and_is_discarded() {
    let (_home, config) = home();
    let mut arriving = Arriving::begin(&config, STREAM, &parcel()).expect("room for it");
    arriving.take(b"no chunk").expect_err("it is checked");
    drop(arriving);
    assert_eq!(settle(&config), Ok(false));
    assert_eq!(begun(&config, STREAM), Some(parcel()));
    assert_eq!(discard(&config), Ok(()));
    assert!(!config.stream.directory.join(ARRIVING).exists());
    assert_eq!((begun(&config, STREAM), discard(&config)), (None, Ok(())));
    assert_eq!(old(&config), (3, true));
    assert_eq!(life::read(&config.stream.directory), Ok(Some(LIFE)));
}

#[test]
fn only_the_same_snapshot_of_the_same_node_is_gone_on_with() {
    let (_home, config) = home();
    let folder = config.stream.directory.join(ARRIVING);
    let stays = |parcel: &Parcel| {
        drop(Arriving::begin(&config, STREAM, &self::parcel()).expect("room for it"));
        fs::write(folder.join("mark"), "mark").expect("a file");
        drop(Arriving::begin(&config, STREAM, parcel).expect("room for it"));
        assert_eq!(begun(&config, STREAM).as_ref(), Some(parcel));
        folder.join("mark").exists()
    };
    let parcel = parcel();
    assert!(stays(&parcel));
    assert!(!stays(&Parcel { from: NodeId(2), ..parcel.clone() }));
    assert!(!stays(&Parcel { chunks: 4, ..parcel.clone() }));
    let other = |landing: Landing| stays(&Parcel { landing, ..parcel.clone() });
    assert!(!other(Landing { sequence: 91, ..parcel.landing.clone() }));
    assert!(!other(Landing { epoch: 5, ..parcel.landing.clone() }));
    assert!(!other(Landing { message: b"another".to_vec(), ..parcel.landing.clone() }));
    assert_eq!(begun(&config, Session(*b"1800000000")), None, "another stream");
    let offer = folder.join(OFFER);
    let whole = fs::read(&offer).expect("a file");
    for cut in [0, 1, 20, whole.len() - 1] {
        fs::write(&offer, &whole[..cut]).expect("a file");
        assert_eq!(begun(&config, STREAM), None, "a torn file of {cut} bytes");
    }
}

/// As a start leaves it that is killed after so many folders, with the next one removed or not.
#[test]
fn a_start_that_is_killed_while_things_take_their_place_is_gone_on_with() {
    for (done, removed) in [(0, false), (0, true), (1, false), (1, true), (2, true), (3, false)] {
        let (_home, config) = home();
        arrived(&config);
        let directory = config.stream.directory.clone();
        life::write(&directory, Life::next(Some(LIFE), false)).expect("a life");
        fs::remove_file(ring_file(&config).expect("a name")).expect("it was there");
        for (place, name) in FOLDERS.iter().enumerate().take(done + usize::from(removed)) {
            fs::remove_dir_all(directory.join(name)).expect("it was there");
            if place < done {
                fs::rename(directory.join(ARRIVED).join(name), directory.join(name)).expect("it has arrived");
            }
        }
        assert_eq!(settle(&config), Ok(true), "{done} folders, {removed}");
        is_settled(&config);
    }
}

#[test]
fn a_node_that_remembers_no_life_is_given_none() {
    let (_home, config) = home();
    fs::remove_file(config.stream.directory.join("life")).expect("it was there");
    arrived(&config);
    assert_eq!(settle(&config), Ok(true));
    assert_eq!(life::read(&config.stream.directory), Ok(None), "the register's clock gives it one");
}
