//! An embedded model on a thread of its own, and as the link of a chain.

use millstream_tests::faults::{ModelServer, Script};
use millstream_tests::{Job, root};

use super::{inference, run};

/// The demo's model, on rows of its fifteen features.
fn pipeline(operator: &str) -> String {
    let model = root().join("examples/fraud-scoring/model.onnx");
    format!(
        r#"
[pipeline]
name = "thread"
dead_letters = "rejected"

[models.fraud]
path = "{}"

[source.rows]
connector = "file"
path = "rows.jsonl"
fields = {{ id = "i64", features = "f32[15]" }}

[operator.score]
kind = "inference"
inputs = ["rows"]
output = "prediction"
features = "features"
{operator}

[sink.out]
connector = "file"
inputs = ["score"]
path = "out.jsonl"

[sink.rejected]
connector = "file"
inputs = []
path = "rejected.jsonl"
"#,
        model.display()
    )
}

fn job(operator: &str, rows: u64) -> Job {
    let job = Job::new(&pipeline(operator));
    let row = |id: u64| {
        let features: Vec<f64> = (0..15).map(|i| ((id * 31 + i * 7) % 100) as f64 / 100.0).collect();
        format!("{}\n", serde_json::json!({ "id": id, "features": features }))
    };
    job.write("rows.jsonl", (0..rows).map(row).collect::<String>());
    job
}

fn predictions(job: &Job) -> Vec<(u64, f64)> {
    let rows = job.rows("out.jsonl");
    let mut all: Vec<(u64, f64)> =
        rows.iter().map(|r| (r["id"].as_u64().unwrap(), r["prediction"].as_f64().unwrap())).collect();
    all.sort_unstable_by_key(|(id, _)| *id);
    all
}

#[test]
fn a_thread_of_its_own_predicts_what_the_workers_do() {
    let on_workers = job("model = \"fraud\"", 500);
    run(&on_workers);
    let thread = "model = \"fraud\"\n[operator.score.thread]\n[operator.score.batch]\nmax_rows = 64\n";
    let on_thread = job(thread, 500);
    let report = run(&on_thread);
    let (a, b) = (predictions(&on_workers), predictions(&on_thread));
    assert_eq!((a.len(), b.len()), (500, 500));
    assert!(a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-6));
    assert_eq!(inference(&report)["rows"]["primary"], 500);
}

#[test]
fn a_provider_that_cannot_be_had_is_an_error_unless_the_processor_may_stand_in() {
    let wish = "model = \"fraud\"\n[operator.score.thread]\nproviders = [\"cuda\"]\n";
    let strict = job(wish, 5).run();
    assert!(!strict.status.success());
    let said = strict.stdout;
    assert!(said.contains("cuda") && said.contains("allow_cpu_fallback"), "{said}");
    let lenient = job(&format!("{wish}allow_cpu_fallback = true\n"), 5);
    let finished = lenient.run().succeeded();
    assert!(finished.stderr.contains("another execution provider"), "{}", finished.stderr);
    assert_eq!(predictions(&lenient).len(), 5);
}

#[test]
fn an_embedded_model_answers_while_the_server_is_gone() {
    let server = ModelServer::start(Script::default());
    server.die();
    let operator = format!(
        "model = \"accurate\"\n[operator.score.endpoint]\nprotocol = \"oip-v2\"\nurls = [\"{}\"]\n\
         [[operator.score.fallback]]\nkind = \"embedded\"\nmodel = \"fraud\"\n",
        server.url()
    );
    let fallen_back = job(&operator, 300);
    let report = run(&fallen_back);
    let embedded = job("model = \"fraud\"", 300);
    run(&embedded);
    let (a, b) = (predictions(&embedded), predictions(&fallen_back));
    assert!(a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-6));
    assert_eq!(inference(&report)["rows"]["embedded"], 300, "{report}");
    let rows = fallen_back.rows("out.jsonl");
    assert!(rows.iter().all(|r| r["model_name"] == "fraud" && !r["error_class"].is_null()));
}
