//! Runs: each process that works on a pipeline has a number, claimed by creating `runs/<number>.json`.
//!
//! Of two processes that begin at once one loses the claim and takes the next number. The highest
//! number is the newest run; whoever finds a higher one than its own has been followed, and must not
//! change anything any more.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::names::{self, RUNS};
use super::{Error, Storage};

/// Largest claim that is read.
const MAX_CLAIM: u64 = 64 << 10;
/// Claims that are lost to others before giving up: each one is a host that started at this moment.
const MAX_TRIES: usize = 100;

/// What a run says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its number, from 1.
    pub run: u64,
    /// Name of the pipeline.
    pub pipeline: String,
    /// When it began, milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Name of the machine.
    pub machine: String,
    /// Its process.
    pub process: u32,
    /// Version of Millstream.
    pub version: String,
    /// A random number: two claims are never the same.
    pub nonce: u64,
}

/// Claims the next run.
///
/// # Errors
/// When the storage cannot be read or written.
pub fn claim_run(storage: &Storage, pipeline: &str) -> Result<Run, Error> {
    let mut next = newest_run(storage)? + 1;
    for _ in 0..MAX_TRIES {
        let run = Run {
            run: next,
            pipeline: pipeline.to_owned(),
            started_at_ms: now_ms(),
            machine: machine(),
            process: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            nonce: RandomState::new().hash_one(next),
        };
        let name = names::run(next);
        let bytes = serde_json::to_vec_pretty(&run).map_err(|e| storage.unfit(&name, e.to_string()))?;
        let created = storage.create(&name, &bytes)?;
        // Old claims are deleted: one that was free may be far behind by now.
        let newest = newest_run(storage)?;
        if created && newest == next {
            return Ok(run);
        }
        next = newest + 1;
    }
    Err(Error::Refused(format!(
        "no run could be claimed in checkpoint storage {} with {MAX_TRIES} tries: other hosts keep claiming them; \
         stop them, or give this pipeline a `checkpoint.path` of its own",
        storage.location()
    )))
}

/// The number of the newest run; 0 before the first.
///
/// # Errors
/// When the storage cannot be read.
pub fn newest_run(storage: &Storage) -> Result<u64, Error> {
    Ok(storage.list(RUNS)?.iter().filter_map(|o| names::parse_run(&o.name)).max().unwrap_or(0))
}

/// What a run said about itself.
///
/// # Errors
/// When it is missing or cannot be read.
pub fn read_run(storage: &Storage, run: u64) -> Result<Run, Error> {
    let name = names::run(run);
    serde_json::from_slice(&storage.get(&name, MAX_CLAIM)?).map_err(|e| storage.damaged(&name, e.to_string()))
}

/// Refuses to go on once a later run has begun.
pub(super) fn check_newest(storage: &Storage, run: u64) -> Result<(), Error> {
    let newest = newest_run(storage)?;
    if newest <= run {
        return Ok(());
    }
    Err(Error::Superseded { storage: storage.location().to_string(), run, newest })
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

fn machine() -> String {
    let found = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let found = found.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    found.trim().chars().take(255).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::checkpoint::Location;

    #[test]
    fn runs_are_numbered_from_one() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(&Location::Folder(folder.path().to_owned())).unwrap();
        assert_eq!(newest_run(&storage).unwrap(), 0);
        for expected in 1..=12 {
            assert_eq!(claim_run(&storage, "fraud").unwrap().run, expected);
        }
        assert_eq!(newest_run(&storage).unwrap(), 12);
        let run = read_run(&storage, 12).unwrap();
        assert_eq!((run.pipeline.as_str(), run.process), ("fraud", std::process::id()));
        check_newest(&storage, 12).unwrap();
        let error = check_newest(&storage, 11).unwrap_err().to_string();
        assert!(error.contains("run 11") && error.contains("run 12"), "{error}");
    }

    #[test]
    fn of_many_hosts_that_begin_at_once_each_gets_a_run_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().to_owned());
        let claimed: Vec<u64> = std::thread::scope(|scope| {
            let claim = || (0..5).map(|_| claim_run(&Storage::open(&location).unwrap(), "x").unwrap().run).collect();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn::<_, Vec<u64>>(claim)).collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(claimed.len(), claimed.iter().collect::<BTreeSet<_>>().len(), "{claimed:?}");
    }
}
