//! What a storage promises, in a folder; `checkpoint/tests/s3.rs` has a bucket.

use super::*;

fn storage() -> (tempfile::TempDir, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(&Location::Folder(folder.path().to_owned())).unwrap();
    (folder, storage)
}

#[test]
fn an_object_is_created_once() {
    let (_folder, storage) = storage();
    assert!(storage.create("runs/1.json", b"mine").unwrap());
    for other in [&b"other"[..], b"oth", b"longer than that"] {
        assert!(!storage.create("runs/1.json", other).unwrap());
    }
    assert!(storage.create("runs/1.json", b"mine").unwrap(), "the answer to an earlier try was lost");
    assert_eq!(storage.get("runs/1.json", 4).unwrap(), b"mine");
}

#[test]
fn an_object_larger_than_the_limit_is_not_read() {
    let (_folder, storage) = storage();
    storage.put("a/b", b"12345").unwrap();
    assert_eq!(storage.get("a/b", 5).unwrap(), b"12345");
    let error = storage.get("a/b", 4).unwrap_err().to_string();
    assert!(error.contains("a/b") && error.contains("5 bytes"), "{error}");
}

#[test]
fn a_missing_object_and_a_missing_folder_are_named() {
    let (folder, storage) = storage();
    let error = storage.get("sst/none.sst", 1).unwrap_err();
    assert!(error.is_missing() && error.to_string().contains("sst/none.sst"), "{error}");
    assert_eq!(storage.object("sst/none.sst").unwrap(), None);
    assert!(storage.list("sst").unwrap().is_empty());
    storage.delete("sst/none.sst").unwrap();
    let nowhere = Location::Folder(folder.path().join("nowhere"));
    let error = Storage::open(&nowhere).unwrap_err();
    assert!(error.is_missing() && error.to_string().contains("nowhere"), "{error}");
    assert!(Storage::open_or_create(&nowhere).is_ok());
}

#[test]
fn a_file_goes_in_and_out_whole_and_replaces_what_was_there() {
    let (folder, storage) = storage();
    let file = folder.path().join("file");
    for content in ["first", "second", "second"] {
        fs::write(&file, content).unwrap();
        storage.put_file("meta/x", &file).unwrap();
        assert_eq!(storage.get("meta/x", 100).unwrap(), content.as_bytes());
        fs::remove_file(&file).unwrap();
    }
    let back = folder.path().join("back");
    assert!(matches!(storage.get_file("meta/x", 5, &back, false), Err(Error::Damaged { .. })));
    for link in [false, true] {
        storage.get_file("meta/x", 6, &back, link).unwrap();
        assert_eq!(fs::read(&back).unwrap(), b"second");
    }
    assert_eq!(storage.digest("meta/x").unwrap(), (Digest::of(b"second"), 6));
    let names: Vec<String> = storage.list("meta").unwrap().into_iter().map(|o| o.name).collect();
    assert_eq!(names, ["meta/x"], "nothing is left behind");
    assert_eq!(fs::read_dir(folder.path().join("meta")).unwrap().count(), 1);
}

#[test]
fn what_interrupted_writes_left_is_deleted_when_it_is_old() {
    let (folder, storage) = storage();
    storage.put("sst/a.sst", b"a").unwrap();
    fs::write(folder.path().join("sst/b.sst#77"), b"half").unwrap();
    storage.delete_unfinished(Duration::from_secs(3_600)).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("sst")).unwrap().count(), 2);
    storage.delete_unfinished(Duration::ZERO).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("sst")).unwrap().count(), 1);
    assert_eq!(storage.get("sst/a.sst", 1).unwrap(), b"a");
}

#[test]
fn a_bucket_that_cannot_be_reached_is_an_error_that_says_what_to_check() {
    // Nothing listens there, and no retry is worth its time in a test.
    let location = Location::parse("s3://bucket/prefix").unwrap();
    let bucket = AmazonS3Builder::new()
        .with_endpoint("http://127.0.0.1:1")
        .with_allow_http(true)
        .with_access_key_id("visible")
        .with_secret_access_key("hunter2")
        .with_bucket_name("bucket")
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let objects = Arc::new(bucket.build().unwrap());
    let storage = Storage { location, objects, prefix: "prefix/".into(), folder: None, runtime };
    let error = storage.create("runs/1.json", b"x").unwrap_err().to_string();
    for part in ["create `runs/1.json`", "s3://bucket/prefix", "AWS_ENDPOINT_URL"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!format!("{error}{storage:?}").contains("hunter2"), "{error}");
}
