//! Reads everything in a storage, and says what is not as it was written.

use std::collections::BTreeMap;

use serde::Serialize;

use super::manifest::{Manifest, snapshots};
use super::names::{self, META, TABLES};
use super::savepoint::{Savepoint, savepoints};
use super::{Digest, Error, Storage};

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Snapshots whose manifests are there.
    pub snapshots: u64,
    /// Savepoints whose documents are there.
    pub savepoints: u64,
    /// Files that were read.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// What is damaged or missing.
    pub bad: Vec<Bad>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// Name of the object.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads and checks every snapshot and savepoint, and every file, also those that none names any
/// more.
///
/// # Errors
/// When the storage cannot be listed. What is wrong with an object is part of the result.
pub fn verify(storage: &Storage) -> Result<Verified, Error> {
    let mut found = Verified::default();
    // By name, what each file must be; `None`: what its name says.
    let mut files: BTreeMap<String, Option<(Digest, u64)>> = BTreeMap::new();
    for folder in [TABLES, META] {
        files.extend(storage.list(folder)?.into_iter().map(|object| (object.name, None)));
    }
    for id in snapshots(storage)? {
        found.snapshots += 1;
        match Manifest::read(storage, id) {
            Ok(manifest) => {
                files.extend(manifest.files.iter().map(|f| (f.object(), Some((f.sha256, f.size)))));
            }
            Err(error) => found.bad(&id.name(), &error),
        }
    }
    for name in savepoints(storage)? {
        found.savepoints += 1;
        match Savepoint::read(storage, &name) {
            Ok(savepoint) => files.extend(savepoint.files()),
            Err(error) => found.bad(&names::savepoint(&name), &error),
        }
    }
    for (name, expected) in files {
        match storage.digest(&name) {
            Ok((digest, size)) => {
                found.files += 1;
                found.bytes += size;
                let fits = match expected {
                    Some(expected) => expected == (digest, size),
                    None => name.contains(&digest.to_string()),
                };
                if !fits {
                    let problem = format!("its {size} bytes have the SHA-256 {digest}");
                    found.bad.push(Bad { object: name, problem });
                }
            }
            Err(error) => found.bad(&name, &error),
        }
    }
    Ok(found)
}

impl Verified {
    fn bad(&mut self, object: &str, error: &Error) {
        let problem = match error {
            Error::Damaged { problem, .. } | Error::Unfit { problem, .. } => problem.clone(),
            Error::Missing { .. } => "it is missing".to_owned(),
            other => other.to_string(),
        };
        self.bad.push(Bad { object: object.to_owned(), problem });
    }
}
