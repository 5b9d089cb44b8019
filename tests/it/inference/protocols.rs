//! Each protocol, over HTTP/1.1 and HTTP/2, one row and many rows a request.

use millstream_tests::faults::{ModelServer, Options, Script, embed};

use super::{TENSOR, assert_predicted, endpoint, inference, job, out, pipeline, run};

#[test]
fn tensors_travel_as_json_and_as_bytes_one_row_or_many_a_request() {
    for protocol in ["oip-v2", "tensorflow"] {
        for more in ["", "binary = true\n"] {
            if protocol != "oip-v2" && !more.is_empty() {
                continue;
            }
            for batch in [1, 16] {
                let server = ModelServer::start(Script::default());
                let endpoint = format!("protocol = \"{protocol}\"\nurls = [\"{}\"]\n{more}", server.url());
                let batch = format!("[operator.score.batch]\nmax_rows = {batch}\n");
                let job = job(&pipeline(TENSOR, &endpoint, &batch), 300);
                let report = run(&job);
                let rows = assert_predicted(&job, 300);
                assert_eq!(inference(&report)["rows"]["primary"], 300, "{report}");
                let counts = server.counts();
                assert_eq!((counts.rows, counts.status(200)), (300, counts.requests), "{protocol} {more}");
                assert_eq!(counts.keys.len() as u64, counts.requests, "each request has a name of its own");
                assert!(counts.connections <= 100, "{} connections", counts.connections);
                assert_eq!((&rows[&7]["prediction_source"], &rows[&7]["attempts"]), (&"primary".into(), &1.into()));
                assert_eq!((&rows[&7]["model_name"], &rows[&7]["error_class"]), (&"fraud".into(), &().into()));
                if protocol == "oip-v2" {
                    assert_eq!(rows[&7]["model_version"], "1");
                }
            }
        }
    }
}

#[test]
fn http_2_is_spoken_without_tls_where_the_pipeline_says_so() {
    let options = Options { http2: true, ..Options::default() };
    let server = ModelServer::start_with(Script::default(), &options).unwrap();
    let endpoint = endpoint(&server.url()) + "http2 = true\n";
    let job = job(&pipeline(TENSOR, &endpoint, ""), 300);
    run(&job);
    assert_predicted(&job, 300);
    assert!(server.counts().connections <= 4, "{} connections", server.counts().connections);
}

#[test]
fn texts_become_embeddings_and_chats() {
    let server = ModelServer::start(Script { outputs: 8, ..Script::default() });
    let endpoint = format!("protocol = \"openai-embeddings\"\nurls = [\"{}\"]\ndimensions = 8\n", server.url());
    let batch = "[operator.score.batch]\nmax_rows = 8\n";
    let job = job(&pipeline("features = \"text\"", &endpoint, batch), 50);
    run(&job);
    for (id, row) in out(&job) {
        let found = row["prediction"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32);
        assert_eq!(found.collect::<Vec<f32>>(), embed(&format!("row {id}"), 8), "{row}");
    }

    let server = ModelServer::start(Script::default());
    let endpoint = format!("protocol = \"openai-chat\"\nurls = [\"{}\"]\nmax_tokens = 16\n", server.url());
    let job = super::job(&pipeline("features = \"text\"", &endpoint, ""), 20);
    run(&job);
    let rows = out(&job);
    assert_eq!(rows.len(), 20);
    for (id, row) in rows {
        assert_eq!(row["prediction"], format!("echo: row {id}"));
    }
}

#[test]
fn a_template_says_what_no_protocol_does() {
    let server = ModelServer::start(Script::default());
    // The shape of TensorFlow's `:predict`, said by hand.
    let endpoint = format!(
        r#"
protocol = "template"
urls = ["{}"]
path = "/v1/models/fraud:predict"
body = '{{"instances": [["{{{{x}}}}", "{{{{y}}}}"]]}}'
prediction = "/predictions/0/0"
type = "f32"
"#,
        server.url()
    );
    let job = job(&pipeline(TENSOR, &endpoint, ""), 40);
    run(&job);
    assert_predicted(&job, 40);
}

#[test]
fn secrets_come_from_the_environment_and_stand_in_no_output() {
    let server = ModelServer::start(Script::default());
    server.die();
    let endpoint = endpoint(&server.url()) + "bearer = \"${MODEL_TOKEN}\"\nheaders = { x-team = \"${MODEL_TEAM}\" }\n";
    let retry = "[operator.score.retry]\nattempts = 1\n";
    let job = job(&pipeline(TENSOR, &endpoint, retry), 5);
    let mut command = job.command(&["run", "pipeline.toml", "--json", "--no-progress", "--log-level", "debug"]);
    command.env("MODEL_TOKEN", "hush-hush").env("MODEL_TEAM", "secret-team");
    let finished = millstream_tests::finish(command.spawn().unwrap());
    let said = format!("{}{}{}", finished.stdout, finished.stderr, job.text("rejected.jsonl"));
    assert!(said.contains("connect"), "{said}");
    assert!(!said.contains("hush-hush") && !said.contains("secret-team"), "{said}");
}
