//! The shape of the source: the import table of ARCHITECTURE.md holds, every file says what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use millstream_tests::root;

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                rust_files(&path, out);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn every_file_opens_with_its_idea() {
    let mut files = Vec::new();
    for folder in ["host", "sdk", "tests", "plugins"] {
        rust_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 50, "the search is broken: {} files", files.len());
    let silent: Vec<_> = files.iter().filter(|f| !std::fs::read_to_string(f).unwrap().starts_with("//!")).collect();
    assert!(silent.is_empty(), "files that do not open with `//!`: {silent:#?}");
}

/// The table after the marker in ARCHITECTURE.md.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = text.split("<!-- imports").nth(1).expect("the marker of the import table");
    let rows = table.lines().skip(1).take_while(|l| l.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let allowed = cells[1].split(',').map(|m| m.trim().to_owned()).filter(|m| !m.is_empty()).collect();
        (cells[0].to_owned(), allowed)
    })
    .collect()
}

/// Modules named by `crate::x` and `crate::{x, y::z}`.
fn imported(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for after in text.split("crate::").skip(1) {
        let group = after.strip_prefix('{').and_then(|g| g.split_once("};")).map(|(g, _)| g.to_owned());
        let items = match group {
            None => vec![after.to_owned()],
            Some(group) => {
                // Items at depth 0 of the braces.
                let (mut items, mut depth) = (vec![String::new()], 0);
                for c in group.chars() {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    match c {
                        ',' if depth == 0 => items.push(String::new()),
                        c => items.last_mut().unwrap().push(c),
                    }
                }
                items
            }
        };
        for item in items {
            let name: String = item.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if !name.is_empty() {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn imports_point_one_way() {
    let source = root().join("host/src");
    let table = table();
    assert!(table.len() > 10, "the table is broken: {table:?}");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&source).unwrap();
        let module = relative.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        let test = relative.to_string_lossy().contains("tests");
        if ["lib", "main"].contains(&module.as_str()) || test {
            continue;
        }
        let allowed = table.get(&module).unwrap_or_else(|| panic!("module `{module}` is not in the import table"));
        let text = std::fs::read_to_string(&file).unwrap();
        // Unit tests in the file may look further.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for name in imported(code) {
            if name != module && table.contains_key(&name) && !allowed.contains(&name) {
                wrong.push(format!("{} imports `{name}`", relative.display()));
            }
        }
        for (library, home) in [
            ("wasmtime", "operator"),
            ("ort", "inference"),
            ("hyper", "inference"),
            ("rustls", "inference"),
            ("rocksdb", "state"),
            ("object_store", "checkpoint"),
            ("rdkafka", "kafka"),
        ] {
            let used = code.contains(&format!("use {library}::")) || code.contains(&format!(" {library}::"));
            if used && module != home {
                wrong.push(format!("{} knows `{library}`, which only `{home}` may", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the import table of ARCHITECTURE.md: {wrong:#?}");
}

#[test]
fn the_reader_of_imports_sees_groups_and_paths() {
    let text = "use crate::record::Batch;\nuse crate::{codec::{A, B}, state};\nlet x = crate::sink::open();";
    assert_eq!(imported(text), ["codec", "record", "sink", "state"].map(String::from).into());
}
