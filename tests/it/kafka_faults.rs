//! Exactly once through faults of the broker, of the connection and of the host beside it.
//!
//! `MILLSTREAM_OUTAGE=60` lets the broker be away for so many seconds instead of 5.

use std::time::Duration;

use millstream_tests::crash::{Died, Host, Medium, Options, Plan, Trial};
use millstream_tests::kafka;
use millstream_tests::proxy::{Api, Fault, When};

const PATIENCE: Duration = Duration::from_secs(120);

/// Exit code of a host that another one with its identity took over from.
const FENCED: i32 = 5;

fn plan(seed: u64) -> Plan {
    Plan::new(Medium::Kafka, Medium::Kafka, 0, seed)
}

fn outage() -> Duration {
    let seconds = std::env::var("MILLSTREAM_OUTAGE").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

/// The broker goes away while the host runs, and comes back; the same process goes on.
fn outlives(test: &str, seed: u64, away: fn(&kafka::Broker), back: fn(&kafka::Broker)) {
    let Some(broker) = kafka::own(test) else { return };
    let plan = plan(seed);
    let trial = Trial::new(&plan, Some(&broker), &Options::default());
    let verdict = trial.run(|output, verdict| {
        let mut host = trial.start("", verdict);
        trial.news(&mut host, output)?;
        away(&broker);
        std::thread::sleep(outage());
        back(&broker);
        trial.news(&mut host, output)?;
        Ok(Some(host))
    });
    verdict.expect_pass();
}

#[test]
fn a_killed_broker_that_comes_back_costs_no_row() {
    let test = "a_killed_broker_that_comes_back_costs_no_row";
    outlives(test, 11, kafka::Broker::kill9, kafka::Broker::start_again);
}

#[test]
fn a_broker_that_hangs_for_a_while_costs_no_row() {
    let test = "a_broker_that_hangs_for_a_while_costs_no_row";
    outlives(test, 12, kafka::Broker::pause, kafka::Broker::resume);
}

/// One request of this kind is lost, then one of its replies, then all of them for a while; each time
/// the same process goes on.
fn goes_on_after(test: &str, seed: u64, api: Api) {
    let Some(broker) = kafka::shared(test) else { return };
    let Some(proxy) = broker.proxy(test) else { return };
    let plan = plan(seed);
    let options = Options { bootstrap: Some(proxy.address()), ..Options::default() };
    let trial = Trial::new(&plan, Some(broker), &options);
    let verdict = trial.run(|output, verdict| {
        let mut host = trial.start("", verdict);
        trial.news(&mut host, output)?;
        for (fault, when) in [
            (Fault::CutBefore(api), When::Nth(1)),
            (Fault::DropReply(api), When::Nth(1)),
            (Fault::CutBefore(api), When::Always),
            (Fault::DropReply(api), When::Always),
        ] {
            let rule = proxy.inject(fault, when);
            if !host
                .wait(PATIENCE, || rule.hits() > 0)
                .map_err(|e| trial.told(&format!("{fault:?} never struck: {e}")))?
            {
                return Err(trial.told(&format!("it ended before {fault:?} struck")));
            }
            if when == When::Always {
                std::thread::sleep(Duration::from_secs(2));
                proxy.clear();
            }
            trial.news(&mut host, output).map_err(|e| format!("after {fault:?}, {when:?}: {e}"))?;
        }
        Ok(Some(host))
    });
    verdict.expect_pass();
}

#[test]
fn lost_requests_to_add_partitions_cost_no_row() {
    goes_on_after("lost_requests_to_add_partitions_cost_no_row", 13, Api::AddPartitionsToTxn);
}

#[test]
fn lost_commits_of_offsets_cost_no_row() {
    goes_on_after("lost_commits_of_offsets_cost_no_row", 14, Api::TxnOffsetCommit);
}

#[test]
fn lost_ends_of_transactions_cost_no_row() {
    goes_on_after("lost_ends_of_transactions_cost_no_row", 15, Api::EndTxn);
}

/// The broker gives up the open transaction of a host that stands still.
#[test]
fn a_host_that_slept_past_its_transaction_writes_nothing_twice() {
    let test = "a_host_that_slept_past_its_transaction_writes_nothing_twice";
    let Some(broker) = kafka::shared(test) else { return };
    let plan = plan(16);
    let options = Options { sink_client: vec![("transaction.timeout.ms", "10000")], ..Options::default() };
    let trial = Trial::new(&plan, Some(broker), &options);
    let verdict = trial.run(|output, verdict| {
        let mut host = trial.start("", verdict);
        trial.news(&mut host, output)?;
        host.signal("STOP");
        // Timeout, and the second in which the broker looks for such transactions.
        std::thread::sleep(Duration::from_secs(13));
        host.signal("CONT");
        let before = output.progress();
        // Nobody took over: it must find that out, although the broker says "fenced" here too.
        match host.wait(PATIENCE, || output.progress() > before).map_err(|e| trial.told(&e))? {
            true => Ok(Some(host)),
            false => Err(trial.told(&format!("it ended with {:?}", host.exit().code()))),
        }
    });
    verdict.expect_pass();
}

/// A second host with the same pipeline and checkpoints takes over; the first one, which runs or was
/// asleep, ends as fenced and writes nothing more.
fn takes_over(test: &str, seed: u64, asleep: bool) {
    let Some(broker) = kafka::shared(test) else { return };
    let plan = plan(seed);
    let options = Options { checkpoint: Some("checkpoints".into()), ..Options::default() };
    let trial = Trial::new(&plan, Some(broker), &options);
    let verdict = trial.run(|output, verdict| {
        let mut first = trial.start("", verdict);
        trial.news(&mut first, output)?;
        if asleep {
            first.signal("STOP");
        }
        verdict.starts += 1;
        // The state folder belongs to one process; another machine would have one of its own.
        let mut second = Host::start_with(&trial.job, "", &["--set", "state.path=state-of-the-second"]);
        trial.news(&mut second, output)?;
        if asleep {
            first.signal("CONT");
        }
        let code = first.exit().code();
        if code != Some(FENCED) {
            return Err(format!("the first host ended with {code:?} instead of {FENCED}\n{}", trial.job.text("log")));
        }
        trial.news(&mut second, output)?;
        Ok(Some(second))
    });
    verdict.expect_pass();
}

#[test]
fn of_two_hosts_with_one_identity_the_older_one_is_fenced() {
    takes_over("of_two_hosts_with_one_identity_the_older_one_is_fenced", 17, false);
}

#[test]
fn a_host_that_wakes_after_another_took_over_is_fenced() {
    takes_over("a_host_that_wakes_after_another_took_over_is_fenced", 18, true);
}

#[test]
fn sigterm_in_the_middle_of_an_epoch_ends_it_whole() {
    let test = "sigterm_in_the_middle_of_an_epoch_ends_it_whole";
    let Some(broker) = kafka::shared(test) else { return };
    let plan = plan(19);
    let trial = Trial::new(&plan, Some(broker), &Options::default());
    let verdict = trial.run(|output, verdict| {
        for step in ["epoch-before-prepare", "epoch-before-commit", "epoch-before-apply", ""] {
            // With epochs every 100 ms and each as long, the signal comes in the middle of this step.
            let slow = if step.is_empty() { String::new() } else { format!("{step}=sleep(150)") };
            let mut host = trial.start(&slow, verdict);
            trial.news(&mut host, output)?;
            let status = host.terminate();
            if !status.success() {
                return Err(trial.told(&format!("SIGTERM at `{step}` ended it with {status}")));
            }
        }
        Ok(None)
    });
    verdict.expect_pass();
}

/// What a killed host left open is aborted by the next start at once, not by the timeout, which would
/// hold up every reader of the topic.
#[test]
fn a_restart_ends_the_transaction_that_its_predecessor_left_open() {
    let test = "a_restart_ends_the_transaction_that_its_predecessor_left_open";
    let Some(broker) = kafka::shared(test) else { return };
    let plan = plan(20);
    // Longer than the test would wait.
    let options = Options { sink_client: vec![("transaction.timeout.ms", "600000")], ..Options::default() };
    let trial = Trial::new(&plan, Some(broker), &options);
    let verdict = trial.run(|output, verdict| {
        let mut host = trial.start("epoch-before-commit=5*off->return", verdict);
        let died = host.wait(PATIENCE, || false).map_err(|e| trial.told(&e));
        if died? || host.kill9() == Died::Killed {
            return Err("it did not die before its commit".into());
        }
        let mut host = trial.start("", verdict);
        trial.news(&mut host, output)?;
        Ok(Some(host))
    });
    verdict.expect_pass();
    assert!(verdict.aborted > Some(0), "{verdict}");
}
