//! The cache of compiled code.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

#[test]
fn compiled_code_is_kept_in_a_private_folder_and_used_again() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("a/b");
    let engine = || Engine::new(&config(&cache)).unwrap();
    engine().load(&fixture("double")).unwrap();
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let file = only_file(&cache);
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with(&Sha256Sum::of(&fixture("double")).to_string()));

    // Written again only when it was not usable.
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    engine().load(&fixture("double")).unwrap();
    assert_eq!(fs::metadata(only_file(&cache)).unwrap().modified().unwrap(), before);
}

#[test]
fn damaged_code_is_never_run_but_compiled_again() {
    let cache = tempfile::tempdir().unwrap();
    let engine = Engine::new(&config(cache.path())).unwrap();
    engine.load(&fixture("double")).unwrap();
    let file = only_file(cache.path());
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let mut other_format = whole.clone();
    other_format[4] = 9;
    for damaged in [flipped, other_format, whole[..whole.len() / 2].to_vec(), whole[..20].to_vec(), vec![]] {
        fs::write(&file, damaged).unwrap();
        let plugin = engine.load(&fixture("double")).unwrap();
        assert_eq!(plugin.description().name, "double");
        assert_eq!(fs::read(only_file(cache.path())).unwrap().len(), whole.len());
    }
}

#[test]
fn without_a_usable_folder_plugins_are_compiled_every_time() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let engine = Engine::new(&config(&file.join("cache"))).unwrap();
    assert_eq!(engine.load(&fixture("double")).unwrap().description().name, "double");
}
