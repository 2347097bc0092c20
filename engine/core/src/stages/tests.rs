use super::*;
use crate::memory::words::HeapWords;

fn stages() -> Stages {
    Stages::create(HeapWords::shared(Stages::WORDS))
}

#[cfg(loom)]
mod models {
    use super::*;

    #[test]
    fn a_receipt_is_whole_or_given_up() {
        let mut builder = loom::model::Builder::new();
        // Emptying the histograms takes a step for each word.
        builder.max_branches = 50_000;
        builder.check(|| {
            let stages = stages();
            let mut receipts = stages.receipts(0);
            receipts.note(1, 1000);
            let mut watch = stages.watch(Stage::Applied, 0);
            watch.receipt = 0;
            let writer = loom::thread::spawn(move || {
                receipts.note(2, 2000);
                receipts.note(3, 3000);
            });
            if let Some(found) = watch.receipt_at(0) {
                assert_eq!(found, (1, 1000));
            }
            writer.join().unwrap();
            assert_eq!(watch.receipt_at(2), Some((3, 3000)));
        });
    }
}

#[cfg(not(loom))]
mod plain {
    use super::*;

    #[test]
    fn each_message_counts_with_the_time_from_its_own_receipt() {
        let stages = stages();
        let (mut receipts, mut watch) = (stages.receipts(10), stages.watch(Stage::Applied, 10));
        receipts.note(12, 1000);
        receipts.note(12, 1100);
        receipts.note(15, 2000);
        watch.note(11, 1010);
        watch.note(14, 2020);
        watch.note(15, 2030);
        let applied = stages.read(Stage::Applied);
        // 11 after 10 ns; 12 after 1,020; 13 and 14 after 20; 15 after 30.
        let counted = |ns| applied.counts[bucket_of(ns)];
        assert_eq!((counted(10), counted(1020), counted(20), counted(30)), (1, 1, 2, 1));
        assert_eq!((applied.total(), applied.missed, applied.longest_ns), (5, 0, 1020));
        assert_eq!((applied.quantile_ns(0.5), applied.quantile_ns(1.0)), (20, 1020));
        assert_eq!(stages.read(Stage::Published).total(), 0);
    }

    #[test]
    fn a_stage_too_far_behind_says_what_it_missed() {
        let stages = stages();
        let (mut receipts, mut watch) = (stages.receipts(0), stages.watch(Stage::Journalled, 0));
        let duties = 3 * RECEIPTS as u64;
        (1..=duties).for_each(|duty| receipts.note(2 * duty, 100 * duty));
        watch.note(2 * duties, 100 * duties + 7);
        let journalled = stages.read(Stage::Journalled);
        assert_eq!(journalled.total() + journalled.missed, 2 * duties);
        assert_eq!(
            journalled.total(),
            RECEIPTS as u64,
            "half of the receipts are still good, of two messages each"
        );
        assert!(journalled.counts[bucket_of(7)] >= 2);
    }

    #[test]
    fn messages_without_a_receipt_are_missed() {
        let stages = stages();
        let mut watch = stages.watch(Stage::Applied, 0);
        watch.note(3, 50);
        assert_eq!((stages.read(Stage::Applied).missed, stages.read(Stage::Applied).total()), (3, 0));
    }

    #[test]
    fn another_process_sees_the_same_and_refuses_what_it_does_not_know() {
        let words = HeapWords::shared(Stages::WORDS);
        assert_eq!(Stages::open(words.clone()).err(), Some(NoStages));
        let stages = Stages::create(words.clone());
        let (mut receipts, mut watch) = (stages.receipts(0), stages.watch(Stage::Sequenced, 0));
        let other = Stages::open(words.clone()).unwrap();
        let before = other.read(Stage::Sequenced);
        receipts.note(4, 10);
        watch.note(4, 15);
        assert_eq!(other.read(Stage::Sequenced).since(&before).total(), 4);
        words.words()[1].store(99, Relaxed);
        assert!(Stages::open(words).is_err());
        assert!(Stages::open(HeapWords::shared(8)).is_err());
    }
}
