//! Two sources into one keyed operator.

use std::collections::HashMap;

use millstream_tests::{Job, fixture};

const PIPELINE: &str = r#"
[pipeline]
name = "two-sources"
workers = 2
batch_rows = 64

[state]
path = "state"

[plugins]
folder = "plugins"

[source.shop]
connector = "file"
path = "shop.jsonl"
[source.shop.fields]
id = "i64"
user = "utf8"

[source.web]
connector = "file"
path = "web.jsonl"
[source.web.fields]
id = "i64"
user = "utf8"

[operator.count]
plugin = "counter"
inputs = ["shop", "web"]
key = "user"

[sink.out]
connector = "file"
inputs = ["count"]
path = "out.jsonl"
"#;

#[test]
fn both_sources_reach_the_same_keys_and_every_row_comes_out_once() {
    const ROWS: i64 = 20_000;
    let job = Job::new(PIPELINE);
    job.install(&fixture("counter-v1"), "counter.wasm");
    let rows = |first: i64| {
        // Keys of different weight, all of them in both sources.
        let row = |id: i64| format!("{{\"id\":{id},\"user\":\"u{}\"}}\n", (id % 1_000) * (id % 7) / 20);
        (first..first + ROWS).map(row).collect::<String>()
    };
    job.write("shop.jsonl", rows(0));
    job.write("web.jsonl", rows(1_000_000));
    let report = job.run().succeeded().report();
    assert_eq!((report["rows_in"].as_i64(), report["sinks"][0]["rows"].as_i64()), (Some(2 * ROWS), Some(2 * ROWS)));

    let out = job.rows("out.jsonl");
    let mut ids: Vec<i64> = out.iter().map(|r| r["id"].as_i64().unwrap()).collect();
    let mut counts: HashMap<&str, Vec<u64>> = HashMap::new();
    // Rows of one source and key, by the count that they were given.
    let mut order: HashMap<(bool, &str), Vec<(u64, i64)>> = HashMap::new();
    for row in &out {
        let (id, user) = (row["id"].as_i64().unwrap(), row["user"].as_str().unwrap());
        let count = row["count"].as_u64().unwrap();
        counts.entry(user).or_default().push(count);
        order.entry((id >= 1_000_000, user)).or_default().push((count, id));
    }
    ids.sort_unstable();
    assert!(ids.into_iter().eq((0..ROWS).chain(1_000_000..1_000_000 + ROWS)), "rows are lost or doubled");
    for (user, mut counts) in counts {
        counts.sort_unstable();
        assert!(counts.iter().copied().eq(1..=counts.len() as u64), "{user} was counted wrongly: {counts:?}");
    }
    for ((_, user), mut rows) in order {
        rows.sort_unstable();
        assert!(rows.is_sorted_by_key(|(_, id)| *id), "rows of {user} changed places within their source");
    }
}

#[test]
fn a_row_without_a_key_is_a_dead_letter() {
    let pipeline = PIPELINE
        .replace("user = \"utf8\"", "user = \"utf8?\"")
        .replace("name = \"two-sources\"", "name = \"two-sources\"\ndead_letters = \"rejected\"")
        + "[sink.rejected]\nconnector = \"file\"\npath = \"rejected.jsonl\"\n";
    let job = Job::new(&pipeline);
    job.install(&fixture("counter-v1"), "counter.wasm");
    job.write("shop.jsonl", "{\"id\":1,\"user\":\"a\"}\n{\"id\":2,\"user\":null}\n{\"id\":3,\"user\":\"a\"}\n");
    job.write("web.jsonl", "{\"id\":4}\n");
    drop(job.run().succeeded());
    let mut kept: Vec<_> = job.rows("out.jsonl").iter().map(|r| (r["id"].as_i64(), r["count"].as_i64())).collect();
    kept.sort_unstable();
    assert_eq!(kept, [(Some(1), Some(1)), (Some(3), Some(2))]);
    let mut rejected: Vec<_> =
        job.rows("rejected.jsonl").iter().map(|r| (r["source"].clone(), r["offset"].as_i64().unwrap())).collect();
    rejected.sort_by_key(|(source, _)| source.to_string());
    assert_eq!(rejected, [("shop".into(), 2), ("web".into(), 1)]);
    for row in job.rows("rejected.jsonl") {
        assert!(row["reason"].as_str().unwrap().contains("key `user` is null"), "{row}");
    }
}

#[test]
fn rows_of_both_sources_pass_a_second_exchange() {
    let job = Job::new(&PIPELINE.replace("inputs = [\"count\"]", "inputs = [\"again\"]").replace(
        "[sink.out]",
        "[operator.again]\nplugin = \"counter\"\ninputs = [\"count\"]\nkey = \"count\"\nforward = [\"id\", \"user\"]\n\n[sink.out]",
    ));
    job.install(&fixture("counter-v1"), "counter.wasm");
    let rows = |first: i64| (first..first + 3_000).map(|id| format!("{{\"id\":{id},\"user\":\"u{}\"}}\n", id % 100));
    job.write("shop.jsonl", rows(0).collect::<String>());
    job.write("web.jsonl", rows(3_000).collect::<String>());
    // Many epochs, so that barriers meet at both exchanges.
    let report = job.run_with(&["--set", "checkpoint.interval=10ms", "--set", "pipeline.batch_rows=8"]).succeeded();
    assert_eq!(report.report()["rows_in"], 6_000);
    let out = job.rows("out.jsonl");
    let mut ids: Vec<i64> = out.iter().map(|r| r["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..6_000), "rows are lost or doubled");
    // Each of 100 users has the counts 1 to 60, so each of these counts was seen 100 times.
    let mut counts: Vec<u64> = out.iter().map(|r| r["count"].as_u64().unwrap()).collect();
    counts.sort_unstable();
    assert!(counts.into_iter().eq((1..=100).flat_map(|n| [n; 60])), "the second operator counted wrongly");
}

#[test]
fn a_source_that_has_ended_does_not_hold_up_the_other() {
    let pipeline = PIPELINE.replace("path = \"web.jsonl\"", "path = \"web.jsonl\"\nfollow = true");
    let job = Job::new(&(pipeline + "[checkpoint]\ninterval = \"20ms\"\n"));
    job.install(&fixture("counter-v1"), "counter.wasm");
    job.write("shop.jsonl", "{\"id\":1,\"user\":\"a\"}\n");
    job.write("web.jsonl", "");
    let mut running = job.start();
    running.wait_until("the first source ends", |job| job.text("out.jsonl").lines().count() == 1);
    for round in 0..20 {
        job.append("web.jsonl", format!("{{\"id\":{round},\"user\":\"a\"}}\n"));
        let rows = round + 2;
        running.wait_until("a row of the other comes out", |job| job.text("out.jsonl").lines().count() == rows);
    }
    let report = running.stop("TERM").succeeded().report();
    let counts: Vec<u64> = job.rows("out.jsonl").iter().map(|r| r["count"].as_u64().unwrap()).collect();
    assert!(counts.into_iter().eq(1..=21), "{report}");
}
