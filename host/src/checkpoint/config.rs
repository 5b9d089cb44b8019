//! `[checkpoint]` once validated, except the interval between barriers, which belongs to the dataflow.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of checkpoint storage.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it is. Default: the folder `checkpoints` in the state folder.
    pub location: Location,
    /// Time between two snapshots. Default 60 s: a restart from storage replays at most that much.
    pub snapshot_interval: Duration,
    /// Snapshots that are kept. Default 3.
    pub retain: usize,
    /// Bytes of the epoch log after which a snapshot is taken early. Default 256 MiB.
    pub max_log_bytes: u64,
}

impl Config {
    /// The defaults, at a location.
    pub fn new(location: Location) -> Self {
        Self { location, snapshot_interval: Duration::from_secs(60), retain: 3, max_log_bytes: 256 << 20 }
    }
}

/// A place for checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine, or one that is mounted.
    Folder(PathBuf),
    /// A bucket of S3 or of something that speaks its protocol. Endpoint, region and credentials come
    /// from the usual variables: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ALLOW_HTTP`,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` and so on.
    S3 {
        /// Name of the bucket.
        bucket: String,
        /// What all names in it begin with; may be empty.
        prefix: String,
    },
}

impl Location {
    /// Reads a path, `file:///path` or `s3://bucket/prefix`.
    ///
    /// # Errors
    /// What is wrong with it, and what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a folder, `file:///folder` or `s3://bucket/prefix`";
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => Err(format!("the location is empty; {EXPECTED}")),
                path => Ok(Self::Folder(path.into())),
            };
        };
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::Folder(rest.into())),
            "file" => Err(format!("`{text}` has no absolute path; {EXPECTED}")),
            "s3" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                if bucket.is_empty() || !bucket.chars().all(fits) {
                    return Err(format!("`{text}` has no name of a bucket; {EXPECTED}"));
                }
                let prefix = prefix.trim_end_matches('/');
                let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(fits);
                if !prefix.is_empty() && !prefix.split('/').all(plain) {
                    return Err(format!(
                        "`{text}` has more than letters, digits, `-`, `_` and `.` in its prefix; {EXPECTED}"
                    ));
                }
                Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
            }
            other => Err(format!("checkpoints cannot be kept at `{other}://`; {EXPECTED}")),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_buckets_are_told_apart() {
        let s3 = |bucket: &str, prefix: &str| Ok(Location::S3 { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!(Location::parse("out/ckpt"), Ok(Location::Folder("out/ckpt".into())));
        assert_eq!(Location::parse("file:///srv/ckpt"), Ok(Location::Folder("/srv/ckpt".into())));
        assert_eq!(Location::parse("s3://fraud"), s3("fraud", ""));
        assert_eq!(Location::parse("s3://fraud/"), s3("fraud", ""));
        assert_eq!(Location::parse("s3://fraud/eu/scoring/"), s3("fraud", "eu/scoring"));
        assert_eq!(Location::parse("s3://fraud/eu").unwrap().to_string(), "s3://fraud/eu");
    }

    #[test]
    fn what_cannot_be_a_location_is_refused_with_what_can() {
        for (text, says) in [
            ("", "empty"),
            ("file://relative", "absolute"),
            ("s3://", "bucket"),
            ("s3://b u/x", "bucket"),
            ("s3://user:secret@host/x", "bucket"),
            ("s3://b/a/../c", "prefix"),
            ("s3://b/a//c", "prefix"),
            ("gs://bucket", "gs://"),
        ] {
            let error = Location::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
