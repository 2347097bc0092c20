//! Each rule is needed: without it the checker finds a run that breaks a promise, at a size where none is found with it (`promises.rs`).
use gds_model::{Mutation, Protocol, Size, check, properties};

fn caught(mutation: Mutation, name: &str, property: &str) {
    let listed = Size::named(name).expect("the size is listed");
    // A run that breaks a promise later is seen to make no progress earlier: look at one of them alone.
    let size = Size { progress: property == properties::PROGRESS, ..listed };
    let verdict = check(&Protocol::new(size, Some(mutation)), 1, 0, |_| ());
    let broken = verdict.broken.unwrap_or_else(|| panic!("{mutation:?} breaks nothing in {name}"));
    println!("{mutation:?} in {name}: after {} steps, {}", broken.steps.len(), broken.property);
    for (step, action) in broken.steps.iter().enumerate() {
        println!("{:>4}  {action}", step + 1);
    }
    assert_eq!(broken.property, property, "{mutation:?} breaks another promise than it should");
}

#[test]
fn message_that_is_never_taken_again_is_seen_as_no_progress() {
    caught(Mutation::TableFromCutLog, "pair", properties::PROGRESS);
}

/// A test for each mutation; one that is missing here does not compile.
macro_rules! mutations {
    ($($test:ident: $mutation:ident in $size:literal breaks $property:ident;)*) => {
        $(#[test]
        fn $test() {
            caught(Mutation::$mutation, $size, properties::$property);
        })*
        const _: fn(Mutation) = |mutation| match mutation {
            $(Mutation::$mutation => (),)*
        };
    };
}

mutations! {
    register_compared_by_epoch_only_is_caught: RegisterByEpoch in "pair" breaks NEVER_LOST;
    removal_counted_early_is_caught: RemovalEarly in "pair" breaks NEVER_LOST;
    addition_counted_late_is_caught: AdditionLate in "pair" breaks NEVER_LOST;
    silence_taken_for_no_is_caught: SilenceIsNo in "pair-returns" breaks NEVER_LOST;
    same_epoch_after_a_restart_is_caught: SameEpoch in "pair-fsync" breaks ONE_PRIMARY;
    watermark_before_matching_is_caught: WatermarkUnmatched in "pair" breaks NEVER_LOST;
    watermark_before_syncing_is_caught: WatermarkUnsynced in "pair-fsync" breaks NEVER_LOST;
    leader_that_does_not_count_itself_is_caught: LeaderUncounted in "pair-fsync" breaks NEVER_LOST;
    watermark_of_an_old_incarnation_is_caught: OldIncarnation in "pair-returns" breaks NEVER_LOST;
    learner_added_too_early_is_caught: LearnerAdded in "pair" breaks NEVER_LOST;
    learner_added_by_what_a_restarted_leader_knows_is_caught: LearnerAddedByCommit in "trio-rejoins" breaks NEVER_LOST;
    learner_that_takes_over_is_caught: LearnerLeads in "pair" breaks NEVER_LOST;
    whole_again_after_a_second_restart_is_caught: WholeAgain in "pair-memory" breaks NEVER_LOST;
    epoch_forgotten_at_a_restart_is_caught: EpochForgotten in "pair-fsync" breaks NEVER_LOST;
    older_epoch_obeyed_is_caught: OldEpochObeyed in "pair" breaks LOGS_AGREE;
    table_from_the_cut_log_is_caught: TableFromCutLog in "pair" breaks ONCE;
    table_without_the_tail_is_caught: TableWithoutTail in "pair" breaks ONCE;
    cut_by_sequence_without_epoch_is_caught: CutBySequence in "pair" breaks LOGS_AGREE;
    commit_point_beyond_what_is_matched_is_caught: CommitUnmatched in "pair" breaks LOGS_AGREE;
    follower_that_looks_no_further_than_its_commit_point_is_caught: MatchFromCommitPoint in "pair-forced" breaks SAID;
    replica_beyond_the_log_that_is_believed_is_caught: MatchedBeyondLog in "pair-forced" breaks SAID;
    contradiction_that_is_taken_out_of_the_set_is_caught: ContradictionRemoved in "pair-rollback" breaks SAID;
    life_that_is_lived_twice_is_caught: LifeAgain in "pair-forced-rollback" breaks SAID;
    rewinder_above_the_commit_point_is_caught: RewinderAhead in "pair" breaks COMMITTED_FIRST;
    heartbeat_above_the_commit_point_is_caught: HeartbeatAhead in "pair" breaks COMMITTED_FIRST;
    query_above_the_commit_point_is_caught: QueryAhead in "pair" breaks COMMITTED_FIRST;
}
