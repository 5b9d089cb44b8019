//! The protocol against everything that can go wrong, from a seed.
//!
//! The real log (over a disk in memory), the real decisions, the real committer and recovery; what is
//! not real is the broker, the store, the disk and the moment at which a host dies. A seed decides all
//! of it, so a failing one replays: `SEED=17 cargo test simulation -- --nocapture` prints what
//! happened. `SEEDS=100000` tries more.
//!
//! The job counts rows by key, and writes one row out for each one in. The oracle reads only what
//! came out: each input position once, each key's counts without gap or repeat, no epoch committed
//! twice, and no run refused unless something was really destroyed.

mod broker;
pub(super) mod disk;
mod host;
mod lives;
mod random;
mod store;
mod world;

use self::random::Random;
use self::world::World;

/// Seeds of a plain test run.
const SEEDS: u64 = 3000;

/// A wrong decision, to show that the simulation would see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// The newest record counts, whatever the pointer says.
    TrustTheLog,
    /// The state takes an epoch before it is committed.
    ApplyBeforeCommit,
    /// The pointer is read without fencing the host before.
    NoFence,
    /// The log is read before the decider is asked.
    LogBeforePointer,
    /// Records are acknowledged before they are on disk.
    NoSync,
    /// The log is cut up to the committed epoch, whatever the store has on disk.
    CutTooMuch,
}

/// One seed: an error when the oracle found something, or else whether a run was refused.
fn run(seed: u64, mistake: Mistake, trace: bool) -> Result<Verdict, String> {
    let world = World::new(Random::new(seed), mistake, trace);
    let verdict = lives::lives(&world)?;
    world.check_output(verdict == Verdict::Completed)?;
    Ok(verdict)
}

/// How a seed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// All input was worked on.
    Completed,
    /// A run was refused, after something was destroyed.
    Refused,
}

#[test]
fn every_input_position_has_its_effect_once() {
    if let Some(seed) = number("SEED") {
        println!("{:?}", run(seed, Mistake::None, true));
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let mut refused = 0;
    for seed in 0..seeds {
        match run(seed, Mistake::None, false) {
            Ok(Verdict::Completed) => {}
            Ok(Verdict::Refused) => refused += 1,
            Err(problem) => panic!("SEED={seed}: {problem}"),
        }
    }
    // Were many refused, the rest would prove little; were none, nothing was destroyed.
    assert!(refused > 0 && refused < seeds / 4, "{refused} of {seeds} seeds were refused");
}

#[test]
fn a_seed_always_takes_the_same_way() {
    let way = |seed| {
        let world = World::new(Random::new(seed), Mistake::None, false);
        let verdict = lives::lives(&world).unwrap();
        (verdict, world.way())
    };
    let ways: Vec<_> = (0..50).map(way).collect();
    assert_eq!(ways, (0..50).map(way).collect::<Vec<_>>());
    assert!(ways.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn the_seeds_meet_every_kind_of_failure() {
    let mut missing = vec![
        "with the power",
        "killed",
        "it is uncertain whether",
        "was aborted",
        "did not arrive",
        "another host takes over",
        "took over before epoch",
        "another host with the same state took over",
        "from: Snapshot",
        "Retry(\"the disk is full",
        "cannot be trusted",
        "is committed, but not in the state",
        "cannot be brought to epoch",
        "could not bring to disk",
        "refused: the epoch log is damaged",
        "refused: Kafka",
        "cut up to",
    ];
    for seed in 0..SEEDS {
        let world = World::new(Random::new(seed), Mistake::None, false);
        lives::lives(&world).unwrap();
        let way = world.way();
        missing.retain(|kind| !way.iter().any(|step| step.contains(kind)));
        if missing.is_empty() {
            return;
        }
    }
    panic!("never met: {missing:?}");
}

#[test]
fn a_wrong_decision_is_found() {
    let mistakes = [
        Mistake::TrustTheLog,
        Mistake::ApplyBeforeCommit,
        Mistake::NoFence,
        Mistake::LogBeforePointer,
        Mistake::NoSync,
        Mistake::CutTooMuch,
    ];
    for mistake in mistakes {
        let found = (0..SEEDS).find_map(|seed| run(seed, mistake, false).err().map(|problem| (seed, problem)));
        let (seed, problem) = found.unwrap_or_else(|| panic!("{mistake:?} is not found by any seed"));
        assert!(run(seed, Mistake::None, false).is_ok(), "seed {seed} is found without {mistake:?}");
        println!("{mistake:?} is found by seed {seed}: {problem}");
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}
