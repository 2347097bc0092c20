//! Both backends on real files.
use super::*;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// One block, aligned.
#[derive(Clone)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

/// An owned buffer as a caller would have it: bytes in place, to see that the address is taken only once they are at rest.
struct Inline(Block);

impl AsRef<[u8]> for Inline {
    fn as_ref(&self) -> &[u8] {
        &self.0.0
    }
}

fn block(fill: u8) -> Inline {
    Inline(Block([fill; BLOCK_BYTES]))
}

fn backends() -> Vec<Backend> {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    match open(directory.path(), Backend::IoUring) {
        Ok(_) => vec![Backend::Plain, Backend::IoUring],
        Err(error) => {
            println!("skipped for io_uring: {error}");
            vec![Backend::Plain]
        }
    }
}

fn open(path: &Path, backend: Backend) -> Result<Directory<Inline>, FileError> {
    Directory::open(DirectoryConfig { backend, depth: 4, ..DirectoryConfig::new(path) })
}

fn finish(directory: &mut Directory<Inline>) -> (Inline, Result<(), FileError>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(finished) = directory.poll() {
            return finished;
        }
        assert!(Instant::now() < deadline, "a write never finished");
    }
}

#[test]
fn should_read_back_what_was_written_after_reopening() {
    for backend in backends() {
        for sync in [false, true] {
            let place = tempfile::tempdir_in("/var/tmp").unwrap();
            let mut directory = open(&place.path().join("made/too"), backend).unwrap();
            assert_eq!(directory.backend(), backend);
            directory.create(7, 8 * 4096).unwrap();
            for number in 0..4u8 {
                directory.submit(7, u64::from(number) * 4096, block(number + 1), sync);
            }
            assert_eq!(directory.in_flight(), 4);
            for number in 0..4u8 {
                let (buffer, result) = finish(&mut directory);
                result.unwrap();
                assert_eq!(buffer.0.0[0], number + 1, "completions come in the order of submission");
            }
            assert!(directory.poll().is_none());
            drop(directory);

            let mut directory = open(&place.path().join("made/too"), backend).unwrap();
            assert_eq!(directory.numbers().unwrap(), [7]);
            assert_eq!(directory.length(7).unwrap(), 8 * 4096);
            let mut bytes = vec![9; 100_000];
            assert_eq!(directory.read(7, 4095, &mut bytes).unwrap(), 8 * 4096 - 4095);
            assert_eq!((bytes[0], bytes[1], bytes[4097], bytes[12_289]), (1, 2, 3, 0));
            assert_eq!(directory.read(7, 8 * 4096, &mut bytes).unwrap(), 0);
            assert_eq!(directory.read(7, 1 << 40, &mut bytes).unwrap(), 0);
        }
    }
}

#[test]
fn should_read_across_its_own_buffer_size() {
    for backend in backends() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let config = DirectoryConfig { backend, fill: Fill::Zeros, ..DirectoryConfig::new(place.path()) };
        let mut directory = Directory::open(config).unwrap();
        let blocks = 600;
        directory.create(1, blocks * 4096).unwrap();
        for number in 0..blocks {
            directory.submit(1, number * 4096, block(number as u8), false);
            finish(&mut directory).1.unwrap();
        }
        let mut bytes = vec![0; blocks as usize * 4096 - 10];
        assert_eq!(directory.read(1, 10, &mut bytes).unwrap(), bytes.len());
        assert!(bytes.iter().enumerate().all(|(at, &byte)| byte == ((at + 10) / 4096) as u8));
    }
}

#[test]
fn should_list_only_whole_files_and_clear_away_unfinished_ones() {
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut directory = open(place.path(), Backend::Auto).unwrap();
    for number in [300, 1, 20] {
        directory.create(number, 4096).unwrap();
    }
    std::fs::write(place.path().join("notes.journal"), b"").unwrap();
    std::fs::write(place.path().join("00000000000000000400.new"), b"").unwrap();
    let mut directory = open(place.path(), Backend::Auto).unwrap();
    assert_eq!(directory.numbers().unwrap(), [1, 20, 300]);
    assert!(!place.path().join("00000000000000000400.new").exists());
    directory.remove(20).unwrap();
    assert_eq!(directory.numbers().unwrap(), [1, 300]);
    assert!(directory.path(300).ends_with("00000000000000000300.journal"));
    let twice = directory.create(300, 4096).unwrap_err().to_string();
    assert!(twice.contains("00000000000000000300.journal"), "{twice}");
}

#[test]
fn should_keep_writing_with_more_files_than_it_keeps_open() {
    for backend in backends() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let mut directory = open(place.path(), backend).unwrap();
        for number in 0..20 {
            directory.create(number, 4096).unwrap();
        }
        for number in 0..20 {
            directory.submit(number, 0, block(number as u8), false);
            if directory.in_flight() == 4 {
                finish(&mut directory).1.unwrap();
            }
        }
        while directory.in_flight() > 0 {
            finish(&mut directory).1.unwrap();
        }
        let mut byte = [0];
        for number in 0..20 {
            directory.read(number, 99, &mut byte).unwrap();
            assert_eq!(byte[0], number as u8);
        }
    }
}

#[test]
fn should_finish_what_is_in_flight_when_dropped() {
    for backend in backends() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let mut directory = open(place.path(), backend).unwrap();
        directory.create(1, 4 * 4096).unwrap();
        for number in 0..4 {
            directory.submit(1, number * 4096, block(5), true);
        }
        drop(directory);
        let bytes = std::fs::read(place.path().join("00000000000000000001.journal")).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 5));
    }
}

#[test]
fn should_survive_being_dropped_by_another_thread() {
    for backend in backends() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let mut directory = open(place.path(), backend).unwrap();
        directory.create(1, 4096).unwrap();
        let directory = std::thread::spawn(move || {
            directory.submit(1, 0, block(5), true);
            directory
        })
        .join()
        .unwrap();
        drop(directory);
    }
}

#[test]
fn should_name_the_file_that_is_not_there() {
    for backend in backends() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let mut directory = open(place.path(), backend).unwrap();
        directory.submit(5, 0, block(1), true);
        let (buffer, result) = finish(&mut directory);
        assert_eq!(buffer.0.0[0], 1, "the buffer comes back all the same");
        let error = result.unwrap_err().to_string();
        assert!(error.contains("write to") && error.contains("00000000000000000005.journal"), "{error}");
        assert!(directory.read(5, 0, &mut [0]).unwrap_err().to_string().contains("it was removed"));
        assert!(directory.length(5).is_err() && directory.remove(5).is_err());
    }
}

/// A file system of one megabyte, gone when dropped.
struct TinyFileSystem(tempfile::TempDir);

impl TinyFileSystem {
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(place.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(place)),
            _ => {
                println!("skipped: a tiny tmpfs cannot be mounted (needs root)");
                None
            }
        }
    }
}

impl Drop for TinyFileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn should_say_that_the_disk_is_full_and_leave_nothing_behind() {
    let Some(tiny) = TinyFileSystem::mount() else { return };
    for backend in backends() {
        let mut directory = open(&tiny.0.path().join("journal"), backend).unwrap();
        directory.create(1, 512 << 10).unwrap();
        let error = directory.create(2, 1 << 20).unwrap_err();
        assert!(error.is_full(), "{error}");
        assert!(error.to_string().contains("free space on its file system"), "{error}");
        assert_eq!(directory.numbers().unwrap(), [1]);
        directory.submit(1, 0, block(8), true);
        finish(&mut directory).1.unwrap();
        // A write past the reserved room finds the disk full as well.
        std::fs::write(tiny.0.path().join("filler"), vec![0; 600 << 10]).ok();
        directory.submit(1, 4 << 20, block(9), false);
        assert!(finish(&mut directory).1.unwrap_err().is_full());
        directory.remove(1).unwrap();
        std::fs::remove_file(tiny.0.path().join("filler")).ok();
        directory.create(2, 512 << 10).unwrap();
        directory.remove(2).unwrap();
    }
}

#[test]
fn should_make_files_without_keeping_the_caller_waiting() {
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    for backend in backends() {
        let mut directory = open(&place.path().join(format!("{backend:?}")), backend).unwrap();
        let bytes = 8 * BLOCK_BYTES as u64;
        assert!(!directory.prepare(1, bytes).unwrap(), "ordered, not made");
        while !directory.prepare(1, bytes).unwrap() {
            std::thread::yield_now();
        }
        assert_eq!((directory.numbers().unwrap(), directory.length(1).unwrap()), (vec![1], bytes));
        // One that is being made is waited for, and one that cannot be made says why.
        assert!(!directory.prepare(2, bytes).unwrap());
        directory.create(2, bytes).unwrap();
        assert!(!directory.prepare(1, bytes).unwrap());
        let error = loop {
            match directory.prepare(1, bytes) {
                Ok(made) => assert!(!made, "file 1 exists"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("cannot create") && error.contains("exists"), "{error}");
        // What was ordered before the end is finished.
        assert!(!directory.prepare(3, bytes).unwrap());
        drop(directory);
        assert_eq!(
            open(&place.path().join(format!("{backend:?}")), backend).unwrap().numbers().unwrap(),
            [1, 2, 3]
        );
    }
}

#[test]
fn should_explain_what_was_taken() {
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    let directory = open(place.path(), Backend::Plain).unwrap();
    assert_eq!((directory.backend(), directory.backend_reason()), (Backend::Plain, "plain: configured"));
    let directory = open(place.path(), Backend::Auto).unwrap();
    assert!(!directory.backend_reason().is_empty());
}

#[test]
#[should_panic(expected = "not whole blocks")]
fn should_refuse_offsets_that_are_not_whole_blocks() {
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    open(place.path(), Backend::Plain).unwrap().submit(1, 100, block(1), false);
}

#[test]
fn should_sync_without_writing() {
    for backend in backends() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let config = DirectoryConfig { backend, depth: 4, ..DirectoryConfig::new(place.path()) };
        let mut directory = Directory::<&'static [u8]>::open(config).unwrap();
        directory.create(1, BLOCK_BYTES as u64).unwrap();
        directory.submit(1, 0, &[], true);
        let deadline = Instant::now() + Duration::from_secs(10);
        let (_, result) = loop {
            match directory.poll() {
                Some(finished) => break finished,
                None => assert!(Instant::now() < deadline, "{backend:?}: the sync never finishes"),
            }
        };
        result.unwrap();
    }
}

#[test]
fn should_read_beside_a_writer_and_change_nothing() {
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    let missing = DirectoryConfig { read_only: true, ..DirectoryConfig::new(place.path().join("none")) };
    assert!(Directory::<Inline>::open(missing).is_err_and(|error| !error.is_full()));
    let mut writer = open(place.path(), Backend::Plain).unwrap();
    writer.create(1, BLOCK_BYTES as u64).unwrap();
    std::fs::write(place.path().join("00000000000000000002.new"), b"being made").unwrap();
    let config =
        DirectoryConfig { read_only: true, backend: Backend::Plain, ..DirectoryConfig::new(place.path()) };
    let mut reader = Directory::<Inline>::open(config).unwrap();
    writer.submit(1, 0, block(7), false);
    finish(&mut writer).1.unwrap();
    let mut bytes = [0; 8];
    assert_eq!(reader.read(1, 0, &mut bytes).unwrap(), 8);
    assert_eq!(bytes, [7; 8]);
    assert!(place.path().join("00000000000000000002.new").exists());
}
