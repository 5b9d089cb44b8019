//! The plugin folder: what is found, what takes over, what is refused.

use std::fs;

use super::*;

fn put(folder: &Path, file: &str, bytes: &[u8]) {
    // As one should: beside, then renamed.
    let unfinished = folder.join(format!(".{file}.tmp"));
    fs::write(&unfinished, bytes).unwrap();
    fs::rename(unfinished, folder.join(file)).unwrap();
}

fn user(plugin: &str, key: Option<&str>) -> User {
    User { operator: OperatorConfig { key: key.map(Into::into), ..operator(plugin) }, input: schema() }
}

/// The next event; the folder is looked at every two seconds at the latest.
fn next(watch: &Watch) -> Event {
    watch.events().recv_timeout(Duration::from_secs(30)).expect("an event")
}

fn next_refusal(watch: &Watch) -> (String, String) {
    match next(watch) {
        Event::Refused(r) => (r.file.file_name().unwrap().to_str().unwrap().to_owned(), r.reason),
        Event::Generation(g) => panic!("not refused: {g:?}"),
    }
}

fn next_generation(watch: &Watch) -> NewGeneration {
    match next(watch) {
        Event::Generation(g) => g,
        Event::Refused(r) => panic!("{r:?}"),
    }
}

#[test]
fn plugins_are_known_by_the_name_they_give_themselves() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "x.wasm", &fixture("double"));
    put(folder.path(), "y.wasm", &fixture("counter-v1"));
    put(folder.path(), "broken.wasm", b"junk");
    put(folder.path(), "code.cwasm", b"code");
    fs::write(folder.path().join("README"), "not a plugin").unwrap();
    fs::write(folder.path().join(".hidden.wasm"), "not looked at").unwrap();
    fs::write(folder.path().join("z.wasm.tmp"), "not looked at").unwrap();
    let opened = Folder::open(&ENGINE, folder.path()).unwrap();
    assert_eq!(opened.plugins().keys().collect::<Vec<_>>(), ["counter", "double"]);
    let mut refused: Vec<_> = opened.refusals().iter().map(|r| r.file.file_name().unwrap().to_owned()).collect();
    refused.sort();
    assert_eq!(refused, ["broken.wasm", "code.cwasm"]);
}

#[test]
fn of_two_files_with_one_plugin_the_one_modified_last_counts() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a.wasm", &fixture("counter-v2"));
    put(folder.path(), "b.wasm", &fixture("counter-v1"));
    let old = std::time::SystemTime::now() - Duration::from_secs(100);
    fs::File::options().write(true).open(folder.path().join("b.wasm")).unwrap().set_modified(old).unwrap();
    let opened = Folder::open(&ENGINE, folder.path()).unwrap();
    assert_eq!(opened.plugins()["counter"].description().version, "2.0.0");
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let error = Folder::open(&ENGINE, Path::new("/nowhere/plugins")).unwrap_err().to_string();
    assert_eq!(error, "plugin folder /nowhere/plugins: it does not exist; set `plugins.folder`, or build the plugins");
}

#[test]
fn a_link_that_leaves_the_folder_is_refused() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(elsewhere.path(), "double.wasm", &fixture("double"));
    std::os::unix::fs::symlink(elsewhere.path().join("double.wasm"), folder.path().join("out.wasm")).unwrap();
    let opened = Folder::open(&ENGINE, folder.path()).unwrap();
    assert!(opened.refusals()[0].reason.starts_with("a symbolic link to "), "{:?}", opened.refusals());

    // One that stays, as Kubernetes makes them, is a file like any other.
    fs::create_dir(folder.path().join("..data")).unwrap();
    put(&folder.path().join("..data"), "double.wasm", &fixture("double"));
    std::os::unix::fs::symlink("..data/double.wasm", folder.path().join("in.wasm")).unwrap();
    assert!(Folder::open(&ENGINE, folder.path()).unwrap().plugins().contains_key("double"));
}

#[test]
fn a_new_generation_is_found_checked_and_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "counter.wasm", &fixture("counter-v1"));
    let opened = Folder::open(&ENGINE, folder.path()).unwrap();
    let watch = opened.watch(vec![user("counter", Some("id"))]).unwrap();
    put(folder.path(), "counter.wasm", &fixture("counter-v2"));
    let new = next_generation(&watch);
    assert_eq!((new.plugin_name.as_str(), new.plugin.description().version.as_str()), ("counter", "2.0.0"));
    assert_eq!(new.plugin.sha256(), Sha256Sum::of(&fixture("counter-v2")));
    assert!(new.file.ends_with("counter.wasm"));

    // Back to the older state version is refused, and what runs stays.
    put(folder.path(), "counter.wasm", &fixture("counter-v1"));
    let (file, reason) = next_refusal(&watch);
    assert_eq!(file, "counter.wasm");
    assert!(reason.contains("its state has version 1, older than version 2 of the running one"), "{reason}");
}

#[test]
fn what_cannot_take_over_is_refused_once_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "double.wasm", &fixture("double"));
    let opened = Folder::open(&ENGINE, folder.path()).unwrap();
    let watch = opened.watch(vec![user("double", None)]).unwrap();
    let broken = fixture("double")[..1000].to_vec();
    put(folder.path(), "double.wasm", &broken);
    assert!(next_refusal(&watch).1.starts_with("not a valid component"));
    put(folder.path(), "double.wasm", &fixture("double-as-float"));
    let (_, reason) = next_refusal(&watch);
    assert!(reason.contains("its output would have other columns"), "{reason}");
    assert!(reason.contains("doubled: f64") && reason.contains("doubled: i64"), "{reason}");
    // The same broken bytes again, a deleted file, then one that is refused for another reason:
    // only the last is heard of.
    put(folder.path(), "double.wasm", &broken);
    fs::remove_file(folder.path().join("double.wasm")).unwrap();
    put(folder.path(), "other.wasm", &fixture("ungranted-inference"));
    let (file, reason) = next_refusal(&watch);
    assert_eq!(file, "other.wasm");
    assert!(reason.contains("millstream:operator/inference"), "{reason}");
}

#[test]
fn a_generation_that_does_not_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "double.wasm", &fixture("double-as-float"));
    let opened = Folder::open(&ENGINE, folder.path()).unwrap();
    let refusing = User {
        operator: OperatorConfig {
            config: vec![("refuse".into(), "as a test".into())],
            // Without the plugin's own column there is no difference to be seen.
            ..operator("double")
        },
        input: schema(),
    };
    let watch = opened.watch(vec![refusing]).unwrap();
    put(folder.path(), "double.wasm", &fixture("double"));
    let (_, reason) = next_refusal(&watch);
    assert!(reason.starts_with("operator `op`: "), "{reason}");
}

#[test]
fn a_runner_refuses_what_does_not_fit_and_goes_on() {
    let mut runner = runner("double");
    let refused = runner.replace(load("double-as-float")).unwrap_err().to_string();
    assert!(refused.contains("its output would have other columns"), "{refused}");
    assert_eq!(integers(&process(&mut runner, &batch([3])).ports[0], "doubled"), [6]);
    runner.replace(load("double")).unwrap();
    assert_eq!(integers(&process(&mut runner, &batch([4])).ports[0], "doubled"), [8]);
}
