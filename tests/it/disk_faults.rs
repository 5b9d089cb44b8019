//! Full disks, flipped bytes and missing folders: nothing is lost, and what cannot be trusted is
//! refused by name.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millstream_tests::crash::{Medium, OUTPUT, Options, Plan, Trial};
use millstream_tests::{Finished, skip};

/// A small file system of its own; it ends with this value.
struct Small(PathBuf);

impl Small {
    /// `None` with a line that says why `test` is skipped.
    fn mount(at: PathBuf, test: &str) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(&at).output();
        match mounted {
            Ok(out) if out.status.success() => Some(Self(at)),
            Ok(out) => {
                skip(test, &format!("no tmpfs can be mounted: {}", String::from_utf8_lossy(&out.stderr).trim()));
                None
            }
            Err(e) => {
                skip(test, &format!("no tmpfs can be mounted: {e}"));
                None
            }
        }
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Takes all space there is.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        let piece = vec![0; 64 << 10];
        while file.write_all(&piece).is_ok() {}
        // The last few bytes too.
        while file.write_all(&[0]).is_ok() {}
    }

    fn relieve(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The disk under `folder` fills up under a running host. Whether it waits or ends, once there is room
/// again the same command goes on, and nothing is lost or doubled.
fn full(test: &str, seed: u64, options: &Options) {
    let plan = Plan::new(Medium::File, Medium::File, 0, seed);
    let trial = Trial::new(&plan, None, options);
    let Some(disk) = Small::mount(trial.job.path("small"), test) else { return };
    let verdict = trial.run(|output, verdict| {
        for _ in 0..2 {
            let mut host = trial.start("", verdict);
            trial.news(&mut host, output)?;
            disk.fill();
            // Long enough for epochs and a snapshot that find no room.
            let ended = host.wait(Duration::from_secs(5), || false).is_ok();
            if ended && host.exit().success() {
                return Err(trial.told("it ended with success on a full disk"));
            }
            drop(host);
            disk.relieve();
        }
        Ok(None)
    });
    // Before its folder goes, for the message of a failed check.
    drop(disk);
    verdict.expect_pass();
}

#[test]
fn a_full_disk_under_the_state_costs_no_row() {
    let options = Options { state: "small/state".into(), checkpoint: Some("checkpoints".into()), ..Options::default() };
    full("a_full_disk_under_the_state_costs_no_row", 31, &options);
}

#[test]
fn a_full_disk_under_the_checkpoints_costs_no_row() {
    let options = Options { checkpoint: Some("small/checkpoints".into()), ..Options::default() };
    full("a_full_disk_under_the_checkpoints_costs_no_row", 32, &options);
}

/// A job that ran for a few snapshots and was killed, and what `damage` then did to its folder: the
/// next start, and the output before and after it.
fn start_after(seed: u64, snapshots: &'static str, damage: impl FnOnce(&Trial<'_>)) -> (Finished, [String; 2]) {
    let plan = Plan::new(Medium::File, Medium::File, 0, seed);
    let trial = Trial::new(&plan, None, &Options { snapshot_interval: snapshots, ..Options::default() });
    let mut outcome = None;
    drop(trial.run(|output, verdict| {
        let mut host = trial.start("", verdict);
        trial.news(&mut host, output)?;
        std::thread::sleep(Duration::from_secs(5));
        host.kill9();
        let before = trial.job.text(OUTPUT);
        damage(&trial);
        // It must end by itself; one that goes on would follow its input for ever.
        let mut child = trial.job.command(&["run", "pipeline.toml", "--no-progress"]).spawn().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while child.try_wait().unwrap().is_none() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        outcome = Some((millstream_tests::finish(child), [before, trial.job.text(OUTPUT)]));
        Err("this is enough".into())
    }));
    outcome.expect("the first run went well")
}

/// It ended with code 1, named `what` and an override, and left the output alone.
fn refused((finished, [before, after]): (Finished, [String; 2]), what: &str) {
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains(what), "`{what}` is not named: {}", finished.stderr);
    assert!(finished.stderr.contains("--"), "no override is named: {}", finished.stderr);
    assert!(before == after, "the output was touched");
}

/// Files below a folder, in order of their names.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            files(&entry, into);
        } else {
            into.push(entry);
        }
    }
}

/// Flips one bit in the middle of a file; its name.
fn flip(file: &Path) -> String {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
    file.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Which of a folder's files are damaged.
enum Damaged {
    /// The one whose name comes last, which is the newest.
    Newest,
    /// All: names that are hashes have no order.
    All,
}

/// A bit flipped in this folder of the checkpoints is found by `verify`, and a restore from it is
/// refused.
fn flipped(seed: u64, folder: &str, damaged: Damaged, snapshots: &'static str) {
    let mut name = String::new();
    let outcome = start_after(seed, snapshots, |trial| {
        let folder = trial.job.path("state/checkpoints").join(folder);
        let mut found = Vec::new();
        files(&folder, &mut found);
        assert!(!found.is_empty(), "nothing in {}", folder.display());
        if matches!(damaged, Damaged::Newest) {
            found.drain(..found.len() - 1);
        }
        let names: Vec<String> = found.iter().map(|file| flip(file)).collect();
        let verified = trial.job.host(&["checkpoint", "verify", "state/checkpoints"]);
        assert!(!verified.status.success(), "verify found nothing: {}", verified.stdout);
        let said = verified.stdout + &verified.stderr;
        let named = names.into_iter().find(|name| said.contains(name));
        name = named.unwrap_or_else(|| panic!("verify does not name a file: {said}"));
        // Without the database the checkpoint is all there is.
        std::fs::remove_dir_all(trial.job.path("state/db")).unwrap();
    });
    // Of several damaged tables, any may be met first.
    refused(outcome, if matches!(damaged, Damaged::Newest) { &name } else { folder });
}

#[test]
fn a_flipped_bit_in_a_table_of_a_checkpoint_is_refused_by_name() {
    flipped(33, "sst", Damaged::All, "2s");
}

#[test]
fn a_flipped_bit_in_a_manifest_is_refused_by_name() {
    flipped(34, "manifests", Damaged::Newest, "2s");
}

#[test]
fn a_flipped_bit_in_the_epoch_log_is_refused_by_name() {
    // Without a snapshot the whole log is needed, and its middle is not its torn tail.
    flipped(35, "log", Damaged::Newest, "1h");
}

#[test]
fn a_deleted_checkpoint_folder_is_refused_though_the_database_is_there() {
    let outcome = start_after(36, "2s", |trial| std::fs::remove_dir_all(trial.job.path("state/checkpoints")).unwrap());
    refused(outcome, "state/checkpoints");
}

#[test]
fn a_deleted_database_is_restored_from_the_checkpoints() {
    let plan = Plan::new(Medium::File, Medium::File, 0, 37);
    let trial = Trial::new(&plan, None, &Options::default());
    let verdict = trial.run(|output, verdict| {
        let mut host = trial.start("", verdict);
        trial.news(&mut host, output)?;
        std::thread::sleep(Duration::from_secs(5));
        host.kill9();
        std::fs::remove_dir_all(trial.job.path("state/db")).unwrap();
        Ok(None)
    });
    verdict.expect_pass();
}
