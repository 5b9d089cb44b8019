//! Where checkpoints are kept: a folder, or a bucket that speaks S3.
//!
//! Callers are threads that may wait; each storage has a small runtime of its own inside, so it must
//! not be used from asynchronous code. In a folder every write ends with an fsync of the file and of
//! its folder. Requests to a bucket are tried again a few times, never for longer than
//! [`RETRY_FOR`]; what fails then is the caller's to try again.
//!
//! Objects are whole or absent, and [`Storage::create`] never replaces one: that is all that the
//! rest of this module relies on.

mod files;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig, WriteMultipart,
};
use tokio::runtime::Runtime;

pub(super) use self::files::sync_folder;
use self::files::{is_unfinished, link_or_copy};
use super::digest::Hasher;
use super::{Digest, Error, Location};

/// A request that takes longer is broken off: a part of 8 MiB passes through 1 Mbit/s in that time.
const REQUEST: Duration = Duration::from_secs(70);
/// Time for a connection to come up.
const CONNECT: Duration = Duration::from_secs(5);
/// Tries after the first one.
const RETRIES: usize = 5;
/// No further try is begun after this time.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// Tries to create what another process creates at the same moment, and the time between two.
const CREATE_TRIES: usize = 50;
const CREATE_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a part of an upload or download: what is in memory, and what is lost by a broken
/// connection. S3 takes 10,000 parts, so files up to 78 GiB.
const PART: usize = 8 << 20;
/// Parts of an upload that are under way at once.
const PARTS_AT_ONCE: usize = 4;
/// Objects that a listing may have; one of more is no checkpoint storage.
const MAX_LISTED: usize = 4_000_000;

const CHECK_FOLDER: &str = "check free space and rights there";
const CHECK_BUCKET: &str =
    "check that it can be reached and allows this (AWS_ENDPOINT_URL, AWS_REGION, AWS_ALLOW_HTTP, credentials)";

/// A place for objects.
pub struct Storage {
    location: Location,
    objects: Arc<dyn ObjectStore>,
    /// Before every name.
    prefix: String,
    /// The folder, when it is one.
    folder: Option<PathBuf>,
    runtime: Runtime,
}

/// What a listing says about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written. (For a file that was linked: when its content was.)
    pub modified: SystemTime,
}

impl Storage {
    /// Opens what is there.
    ///
    /// # Errors
    /// When the folder does not exist, or the settings of the bucket are wrong.
    pub fn open(location: &Location) -> Result<Self, Error> {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self::open_with(location, std::env::vars_os().filter_map(text))
    }

    /// The same with the variables of another environment.
    pub(super) fn open_with(
        location: &Location,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let failed = |detail: String, fix| Error::Storage {
            storage: location.to_string(),
            object: String::new(),
            action: "open",
            detail,
            fix,
        };
        // The timer and sockets of requests live as long as a request: the calling thread drives them.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| failed(e.to_string(), "check the limits of this process (threads, open files)"))?;
        let (objects, prefix, folder): (Arc<dyn ObjectStore>, _, _) = match location {
            Location::Folder(path) => {
                if !path.is_dir() {
                    return Err(Error::Missing {
                        storage: location.to_string(),
                        object: String::from("."),
                        fix: "check the path: there is no such folder",
                    });
                }
                let files = LocalFileSystem::new_with_prefix(path).map_err(|e| failed(e.to_string(), CHECK_FOLDER))?;
                (Arc::new(files.with_fsync(true)), String::new(), Some(path.clone()))
            }
            Location::S3 { bucket, prefix } => {
                let client = ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT);
                let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
                // The variables come last: what they say about the client goes before our defaults.
                let mut builder =
                    AmazonS3Builder::new().with_client_options(client).with_retry(retry).with_bucket_name(bucket);
                for (name, value) in environment {
                    // Others are not for us.
                    if name.starts_with("AWS_")
                        && let Ok(key) = name.to_ascii_lowercase().parse()
                    {
                        builder = builder.with_config(key, value);
                    }
                }
                let bucket = builder.build().map_err(|e| failed(e.to_string(), CHECK_BUCKET))?;
                let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
                (Arc::new(bucket), prefix, None)
            }
        };
        Ok(Self { location: location.clone(), objects, prefix, folder, runtime })
    }

    /// Opens what is there; a folder is created when it is not.
    ///
    /// # Errors
    /// When it can be neither opened nor created.
    pub fn open_or_create(location: &Location) -> Result<Self, Error> {
        if let Location::Folder(path) = location
            && !path.is_dir()
        {
            fs::create_dir_all(path).map_err(Error::local("create the folder", path))?;
            if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                sync_folder(parent).map_err(Error::local("sync the folder", parent))?;
            }
        }
        Self::open(location)
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Writes an object unless one of the name is there. Says whether the object of that name now
    /// has these bytes: also when an earlier try, whose answer was lost, has written them.
    ///
    /// # Errors
    /// When the storage cannot tell or cannot write.
    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<bool, Error> {
        let path = self.path(name)?;
        for _ in 0..CREATE_TRIES {
            let put = self.objects.put_opts(&path, payload(bytes), PutMode::Create.into());
            match self.runtime.block_on(put) {
                Ok(_) => return Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(self.failed("create", name, error)),
            }
            match self.get(name, bytes.len() as u64) {
                Ok(found) => return Ok(found == bytes),
                // Longer than ours, so another one.
                Err(Error::Damaged { .. }) => return Ok(false),
                // A bucket refuses what another process is creating just now. It may yet fail to.
                Err(error) if error.is_missing() => std::thread::sleep(CREATE_PAUSE),
                Err(error) => return Err(error),
            }
        }
        let detail = "another process keeps creating it, and it is never there".to_owned();
        Err(self.refused("create", name, detail, CHECK_BUCKET))
    }

    /// Writes an object, in place of one of the same name.
    ///
    /// # Errors
    /// When the storage cannot write.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(name)?;
        let put = self.objects.put(&path, payload(bytes));
        self.runtime.block_on(put).map(drop).map_err(|e| self.failed("write", name, e))
    }

    /// Writes a file as an object, in place of one of the same name. The file must not be changed any
    /// more: a folder on the same file system gets a link to it.
    ///
    /// # Errors
    /// When the file cannot be read or the storage cannot write.
    pub fn put_file(&self, name: &str, file: &std::path::Path) -> Result<(), Error> {
        if let Some(folder) = &self.folder {
            let target = folder.join(name);
            return link_or_copy(file, &target).map_err(|e| self.refused("write", name, e.to_string(), CHECK_FOLDER));
        }
        let path = self.path(name)?;
        let mut source = File::open(file).map_err(Error::local("open", file))?;
        let size = source.metadata().map_err(Error::local("read", file))?.len();
        if size <= PART as u64 {
            let mut bytes = Vec::with_capacity(size as usize);
            source.read_to_end(&mut bytes).map_err(Error::local("read", file))?;
            let put = self.objects.put(&path, bytes.into());
            return self.runtime.block_on(put).map(drop).map_err(|e| self.failed("write", name, e));
        }
        self.runtime.block_on(async {
            let failed = |e| self.failed("write", name, e);
            let upload = self.objects.put_multipart(&path).await.map_err(failed)?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
            let mut part = vec![0; PART];
            loop {
                let read = match read_full(&mut source, &mut part) {
                    Ok(read) => read,
                    Err(error) => {
                        // Parts of an unfinished upload cost money; the first error is the one to tell.
                        let _ = upload.abort().await;
                        return Err(Error::local("read", file)(error));
                    }
                };
                if read == 0 {
                    break;
                }
                upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(failed)?;
                upload.write(&part[..read]);
            }
            // Aborts the upload itself when it fails.
            upload.finish().await.map(drop).map_err(failed)
        })
    }

    /// Reads an object of at most `limit` bytes.
    ///
    /// # Errors
    /// When it is missing, larger, or cannot be read.
    pub fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let path = self.path(name)?;
        self.runtime.block_on(async {
            let failed = |e| self.failed("read", name, e);
            let found = self.objects.get(&path).await.map_err(failed)?;
            if found.meta.size > limit {
                let problem = format!("it has {} bytes, and at most {limit} are expected", found.meta.size);
                return Err(self.damaged(name, problem));
            }
            found.bytes().await.map(Vec::from).map_err(failed)
        })
    }

    /// Makes an object of `size` bytes the content of a new file, on disk. A file that nobody will
    /// change can be a link, where a folder on the same file system allows.
    ///
    /// # Errors
    /// When the object is missing, of another size, or cannot be read, or the file cannot be written.
    pub fn get_file(&self, name: &str, size: u64, file: &std::path::Path, link: bool) -> Result<(), Error> {
        let found = self.object(name)?.ok_or_else(|| self.missing(name))?;
        if found.size != size {
            let problem = format!("it has {} bytes, and {size} are expected", found.size);
            return Err(self.damaged(name, problem));
        }
        if let Some(folder) = self.folder.as_ref().filter(|_| link) {
            let source = folder.join(name);
            return link_or_copy(&source, file).map_err(Error::local("write", file));
        }
        let mut target = File::create(file).map_err(Error::local("create", file))?;
        self.read_parts(name, size, |part| target.write_all(part).map_err(Error::local("write", file)))?;
        target.sync_all().map_err(Error::local("sync", file))
    }

    /// Digest of an object's content, and its size.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    pub fn digest(&self, name: &str) -> Result<(Digest, u64), Error> {
        let size = self.object(name)?.ok_or_else(|| self.missing(name))?.size;
        let mut hash = Hasher::default();
        self.read_parts(name, size, |part| {
            hash.update(part);
            Ok(())
        })?;
        Ok((hash.finish(), size))
    }

    fn read_parts(&self, name: &str, size: u64, mut each: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let path = self.path(name)?;
        let mut from = 0;
        while from < size {
            let to = size.min(from + PART as u64);
            let part = self.runtime.block_on(self.objects.get_range(&path, from..to));
            let part = part.map_err(|e| self.failed("read", name, e))?;
            if part.len() as u64 != to - from {
                return Err(self.damaged(name, format!("it ends before byte {to}, though it has {size}")));
            }
            each(&part)?;
            from = to;
        }
        Ok(())
    }

    /// What is said about one object; `None` when there is none.
    ///
    /// # Errors
    /// When the storage cannot tell.
    pub fn object(&self, name: &str) -> Result<Option<Object>, Error> {
        let path = self.path(name)?;
        match self.runtime.block_on(self.objects.head(&path)) {
            Ok(meta) => Ok(self.listed(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look for", name, error)),
        }
    }

    /// The objects in a folder and below it, sorted by name.
    ///
    /// # Errors
    /// When the storage cannot list them.
    pub fn list(&self, folder: &str) -> Result<Vec<Object>, Error> {
        let path = self.path(folder)?;
        let found = self.runtime.block_on(async {
            let mut stream = self.objects.list(Some(&path));
            let mut found = Vec::new();
            while let Some(meta) = stream.try_next().await.map_err(|e| self.failed("list", folder, e))? {
                if found.len() == MAX_LISTED {
                    let fix = "give this pipeline a `checkpoint.path` of its own";
                    return Err(self.refused("list", folder, format!("more than {MAX_LISTED} objects"), fix));
                }
                found.extend(self.listed(meta));
            }
            Ok(found)
        });
        let mut found: Vec<Object> = found?;
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Deletes an object; one that is not there is deleted.
    ///
    /// # Errors
    /// When the storage cannot delete it.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name)?;
        match self.runtime.block_on(self.objects.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", name, error)),
        }
    }

    /// Deletes what interrupted writes left behind in a folder, when it is older than `age`. (Parts
    /// of interrupted uploads to a bucket are deleted by a lifecycle rule of the bucket.)
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn delete_unfinished(&self, age: Duration) -> Result<(), Error> {
        let Some(root) = &self.folder else { return Ok(()) };
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(Error::local("list", &folder))? {
                let entry = entry.map_err(Error::local("list", &folder))?;
                // Gone meanwhile: nothing to delete.
                let Ok(meta) = entry.metadata() else { continue };
                if meta.is_dir() {
                    folders.push(entry.path());
                } else if is_unfinished(&entry.file_name().to_string_lossy())
                    && meta.modified().is_ok_and(|m| m.elapsed().is_ok_and(|e| e > age))
                {
                    fs::remove_file(entry.path()).map_err(Error::local("delete", entry.path()))?;
                }
            }
        }
        Ok(())
    }

    /// That an object is not what was written.
    pub(super) fn damaged(&self, name: &str, problem: impl Into<String>) -> Error {
        Error::Damaged { storage: self.location.to_string(), object: name.to_owned(), problem: problem.into() }
    }

    /// That an object does not fit this pipeline or this version.
    pub(super) fn unfit(&self, name: &str, problem: impl Into<String>) -> Error {
        Error::Unfit { storage: self.location.to_string(), object: name.to_owned(), problem: problem.into() }
    }

    /// That an object is not there.
    pub(super) fn missing(&self, name: &str) -> Error {
        let fix = "copy it back from elsewhere, or go back to a savepoint with `millstream savepoint restore PIPELINE NAME --replace`";
        Error::Missing { storage: self.location.to_string(), object: name.to_owned(), fix }
    }

    fn refused(&self, action: &'static str, name: &str, detail: String, fix: &'static str) -> Error {
        Error::Storage { storage: self.location.to_string(), object: name.to_owned(), action, detail, fix }
    }

    fn failed(&self, action: &'static str, name: &str, error: object_store::Error) -> Error {
        if matches!(error, object_store::Error::NotFound { .. }) {
            return self.missing(name);
        }
        // Servers answer with pages of text; control characters would garble a terminal.
        let detail = error.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(1_000).collect();
        let fix = if self.folder.is_some() { CHECK_FOLDER } else { CHECK_BUCKET };
        self.refused(action, name, detail, fix)
    }

    fn path(&self, name: &str) -> Result<Path, Error> {
        Path::parse(format!("{}{name}", self.prefix))
            .map_err(|e| self.refused("name", name, e.to_string(), "this is a mistake in Millstream: please report it"))
    }

    /// `None` for what is not below our prefix.
    fn listed(&self, meta: ObjectMeta) -> Option<Object> {
        let name = meta.location.as_ref().strip_prefix(&self.prefix)?.to_owned();
        Some(Object { name, size: meta.size, modified: meta.last_modified.into() })
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rest has credentials in it.
        f.debug_struct("Storage").field("location", &self.location).finish_non_exhaustive()
    }
}

fn payload(bytes: &[u8]) -> PutPayload {
    bytes.to_vec().into()
}

fn read_full(file: &mut File, part: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < part.len() {
        match file.read(&mut part[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
