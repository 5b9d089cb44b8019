//! A disk in memory that forgets what was not synced, fills up, and fails.
//!
//! A write is seen by everybody at once (the page cache), and outlives the process. A loss of power
//! leaves of each file what was synced, and any part of what came after; of the folder, the names that
//! were synced, and any of the later changes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::rc::Rc;

use super::random::Random;
use crate::epoch::log::{Disk, DiskFile};

/// The folder. Clones are the same one.
#[derive(Clone, Default)]
pub(in crate::epoch) struct SimDisk(Rc<Inner>);

#[derive(Default)]
struct Inner {
    names: RefCell<BTreeMap<String, SimFile>>,
    synced_names: RefCell<BTreeMap<String, SimFile>>,
    faults: Faults,
}

/// What goes wrong, and when.
#[derive(Default)]
pub(in crate::epoch) struct Faults {
    /// Steps (of disk, broker or store) until the process dies in the middle of one.
    pub(in crate::epoch) crash_in: Cell<Option<u64>>,
    /// It is dead: nothing that it still tries has an effect.
    pub(in crate::epoch) crashed: Cell<bool>,
    /// Bytes that fit on the disk still.
    pub(in crate::epoch) room: Cell<Option<usize>>,
    /// The next sync fails.
    pub(in crate::epoch) fail_sync: Cell<bool>,
    /// Syncs return at once, and do nothing.
    pub(in crate::epoch) lazy_sync: Cell<bool>,
    /// A failed sync has let the system forget what was not on disk yet.
    pub(in crate::epoch) forgot: Cell<bool>,
    /// How much of the last step is done when the process dies in it, as parts of 256.
    pub(in crate::epoch) torn: Cell<u8>,
}

impl Faults {
    /// Counts a step; an error when the process dies in it, or is dead.
    pub(in crate::epoch) fn step(&self) -> io::Result<()> {
        match self.crash_in.get() {
            _ if self.crashed.get() => {}
            Some(0) => self.crashed.set(true),
            left => {
                self.crash_in.set(left.map(|left| left - 1));
                return Ok(());
            }
        }
        Err(io::Error::other("the process is dead"))
    }
}

#[derive(Clone)]
pub(in crate::epoch) struct SimFile {
    content: Rc<RefCell<Content>>,
    disk: Rc<Inner>,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// A sync failed: what was not on disk then never gets there, and later syncs do not tell.
    forgotten: bool,
}

impl SimDisk {
    pub(in crate::epoch) fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Names of all files, and their lengths.
    pub(in crate::epoch) fn files(&self) -> Vec<(String, usize)> {
        let names = self.0.names.borrow();
        names.iter().map(|(name, file)| (name.clone(), file.content.borrow().bytes.len())).collect()
    }

    /// What a file holds.
    pub(in crate::epoch) fn bytes(&self, name: &str) -> Vec<u8> {
        self.find(name).unwrap().content.borrow().bytes.clone()
    }

    /// Changes a file, on disk and all.
    pub(in crate::epoch) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.0.names.borrow().get(name).cloned().unwrap();
        let mut content = file.content.borrow_mut();
        change(&mut content.bytes);
        content.synced = content.bytes.clone();
    }

    /// Takes a file away, for good.
    pub(in crate::epoch) fn lose(&self, name: &str) {
        self.0.names.borrow_mut().remove(name);
        self.0.synced_names.borrow_mut().remove(name);
    }

    /// Puts a file there, for good.
    pub(in crate::epoch) fn put(&self, name: &str, bytes: &[u8]) {
        let content = Content { bytes: bytes.to_vec(), synced: bytes.to_vec(), forgotten: false };
        let file = SimFile { content: Rc::new(RefCell::new(content)), disk: self.0.clone() };
        self.0.names.borrow_mut().insert(name.to_owned(), file.clone());
        self.0.synced_names.borrow_mut().insert(name.to_owned(), file);
    }

    /// All but what was synced may be gone.
    pub(in crate::epoch) fn lose_power(&self, random: &Random) {
        let mut names = self.0.names.borrow_mut();
        let mut synced = self.0.synced_names.borrow_mut();
        let mut left = BTreeMap::new();
        for (name, file) in synced.iter().chain(names.iter()) {
            let both = names.contains_key(name) && synced.contains_key(name);
            if both || (!left.contains_key(name) && random.percent(50)) {
                left.insert(name.clone(), file.clone());
            }
        }
        for file in left.values() {
            let mut content = file.content.borrow_mut();
            let Content { bytes, synced, forgotten } = &mut *content;
            let reached =
                if *forgotten { 0 } else { random.below(bytes.len().saturating_sub(synced.len()) as u64 + 1) };
            let mut survived = synced.clone();
            if random.percent(70) || !bytes.starts_with(synced) {
                if bytes.starts_with(synced) {
                    survived.extend_from_slice(&bytes[synced.len()..synced.len() + reached as usize]);
                } else if random.percent(50) {
                    // It was cut, and that had reached the disk.
                    survived = bytes.clone();
                }
                // A block in the middle may not have been written, though its length was.
                if reached > 4 && random.percent(30) {
                    let hole = synced.len() + random.below(reached - 2) as usize;
                    survived[hole..].iter_mut().take(1 + random.below(64) as usize).for_each(|byte| *byte = 0);
                }
            }
            *bytes = survived;
            *synced = bytes.clone();
            *forgotten = false;
        }
        *names = left.clone();
        *synced = left;
    }

    fn find(&self, name: &str) -> io::Result<SimFile> {
        self.0.names.borrow().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.files()).finish()
    }
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimFile")
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.names.borrow().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        self.faults().step()?;
        if self.0.faults.room.get() == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = SimFile { content: Rc::default(), disk: self.0.clone() };
        match self.0.names.borrow_mut().insert(name.to_owned(), file.clone()) {
            None => Ok(file),
            Some(_) => panic!("{name} is there already"),
        }
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        self.find(name)
    }

    fn reopen(&self, name: &str) -> io::Result<SimFile> {
        self.find(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.faults().step()?;
        self.find(name)?;
        self.0.names.borrow_mut().remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.faults().step()?;
        if self.faults().lazy_sync.get() {
            return Ok(());
        }
        *self.0.synced_names.borrow_mut() = self.0.names.borrow().clone();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("log").join(name)
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.content.borrow().bytes.len() as u64)
    }

    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let faults = &self.disk.faults;
        let dead = faults.crashed.get();
        let stepped = faults.step();
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut content = self.content.borrow_mut();
        if stepped.is_err() {
            let written = if dead { 0 } else { bytes.len() * usize::from(faults.torn.get()) / 256 };
            content.bytes.extend_from_slice(&bytes[..written]);
            return stepped;
        }
        let fits = faults.room.get().map_or(bytes.len(), |room| room.min(bytes.len()));
        content.bytes.extend_from_slice(&bytes[..fits]);
        faults.room.set(faults.room.get().map(|room| room - fits));
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let faults = &self.disk.faults;
        faults.step()?;
        let mut content = self.content.borrow_mut();
        if faults.fail_sync.take() {
            content.forgotten = true;
            faults.forgot.set(true);
            return Err(io::Error::other("input/output error"));
        }
        if !content.forgotten && !faults.lazy_sync.get() {
            content.synced = content.bytes.clone();
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.disk.faults.step()?;
        let mut content = self.content.borrow_mut();
        let cut = content.bytes.len() - len as usize;
        content.bytes.truncate(len as usize);
        self.disk.faults.room.set(self.disk.faults.room.get().map(|room| room + cut));
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content.borrow();
        let rest = content.bytes.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
}
