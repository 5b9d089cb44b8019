//! What is taken on as a plugin and what is not.

use super::*;

#[test]
fn a_plugin_describes_itself() {
    let plugin = load("double");
    let said = plugin.description();
    assert_eq!((said.name.as_str(), said.version.as_str()), ("double", "1.0.0"));
    assert_eq!(said.inputs.field(0), &Field::new("value", DataType::Int64, false));
    assert_eq!(said.outputs.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["main", "odd"]);
    assert_eq!(said.counters, ["seen"]);
    assert!(said.state.is_none() && !plugin.migrates_state());
    assert_eq!(plugin.sha256(), Sha256Sum::of(&fixture("double")));
    assert_eq!(&**plugin.label(), format!("double 1.0.0 ({})", plugin.sha256().short()));
}

#[test]
fn optional_exports_are_probed() {
    assert!(load("counter-v2").migrates_state());
    assert!(!load("counter-v1").migrates_state());
}

#[test]
fn junk_is_refused() {
    assert_eq!(refusal(b"PK\x03\x04 a zip"), "not a WebAssembly component: it begins with \"PK\\x03\\x04 a z\"");
    assert_eq!(refusal(b""), "not a WebAssembly component: it begins with nothing (the file is empty)");
    assert!(refusal(b"(component)").starts_with("not a WebAssembly component"));
}

#[test]
fn a_core_module_is_refused_with_the_target_to_build_for() {
    assert_eq!(
        refusal(b"\0asm\x01\0\0\0"),
        "a core WebAssembly module, not a component; build it for the target wasm32-wasip2"
    );
}

#[test]
fn a_damaged_component_is_refused() {
    let mut bytes = fixture("double");
    bytes.truncate(bytes.len() / 2);
    assert!(refusal(&bytes).starts_with("not a valid component: "), "{}", refusal(&bytes));
    assert!(refusal(b"\0asm\x0d\0\x01\0").starts_with("does not fit the contract millstream:operator@1.0.0: "));
}

#[test]
fn compiled_code_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    Engine::new(&config(cache.path())).unwrap().load(&fixture("double")).unwrap();
    let entry = std::fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    let code = std::fs::read(entry).unwrap().split_off(40);
    assert!(refusal(&code).starts_with("compiled machine code (`.cwasm`) is never loaded"), "{}", refusal(&code));
}

#[test]
fn a_file_beyond_the_size_limit_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let bytes = fixture("double");
    let size = bytes.len() as u64;
    let engine = |max| Engine::new(&Config { max_component_bytes: max, ..config(cache.path()) }).unwrap();
    assert_eq!(
        engine(size - 1).load(&bytes).unwrap_err().to_string(),
        format!("{size} bytes; a plugin may have {} (`plugins.max_component_bytes`)", size - 1)
    );
    engine(size).load(&bytes).unwrap();
}

#[test]
fn an_import_that_is_not_granted_is_named() {
    let sockets = refusal(&fixture("ungranted-sockets"));
    assert!(sockets.starts_with("imports `wasi:"), "{sockets}");
    assert!(sockets.contains("not granted to plugins"), "{sockets}");
    let inference = refusal(&fixture("ungranted-inference"));
    assert!(
        inference.starts_with(
            "imports `millstream:operator/inference@1.0.0`: this version of the host does not offer it yet"
        ),
        "{inference}"
    );
    assert!(inference.contains("`grants = [\"inference\"]`"), "{inference}");
}

#[test]
fn a_plugin_that_needs_more_memory_than_the_limit_to_start_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let small = Limits { memory_bytes: 64 << 10, ..limits() };
    let engine = Engine::new(&Config { limits: small, ..config(cache.path()) }).unwrap();
    let error = engine.load(&fixture("double")).unwrap_err().to_string();
    assert_eq!(error, "`describe` failed: memory limit of 65536 bytes exceeded");
}

#[test]
fn an_operator_that_does_not_fit_is_not_built() {
    let build = |plugin: &str, operator: OperatorConfig, input: &SchemaRef| {
        Runner::new(&ENGINE, load(plugin), &operator, &limits(), input).map(drop).unwrap_err().to_string()
    };
    let input: SchemaRef = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, false)]));
    let label = load("double").label().clone();
    assert_eq!(
        build("double", operator("double"), &input),
        format!(
            "operator `op` ({label}): the plugin reads i64 from column `value`, which the rows do not have; they have `id`"
        )
    );
    let refuse = OperatorConfig { config: vec![("refuse".into(), "as a test".into())], ..operator("double") };
    assert_eq!(
        build("double", refuse, &schema()),
        format!("operator `op` ({label}): `open` refused its configuration: told to refuse: as a test")
    );
    let keyless = build("counter-v1", operator("counter"), &schema());
    assert!(
        keyless.ends_with("the plugin keeps state per key; name the column of the key with `key = \"…\"`"),
        "{keyless}"
    );
    let key = |key: &str| OperatorConfig { key: Some(key.into()), ..operator("counter") };
    assert!(build("counter-v1", key("nope"), &schema()).ends_with("its key `nope` is not a column of its input"));
    let floats: SchemaRef = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, false)]));
    assert!(build("counter-v1", key("x"), &floats).contains("its key `x` is f64"));
}
