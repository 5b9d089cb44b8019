//! Scripts in words.

use std::time::Duration;

use millstream_tests::faults::{Fault, Flags, Latency, Overload, Script};

fn script(words: &str) -> Result<Script, String> {
    Flags::parse(words.split_whitespace()).map(|flags| flags.script)
}

#[test]
fn flags_are_a_script() {
    let script = script(
        "--delay-ms 50 --spread-ms 0.5 --tail 0.01:150 --workers 4 --queue 16 --row-us 2.5 --outputs 3 --version 7 \
         --poison -7 --slow-row 9:80 --fault 503,retry-after=2,share=0.1,at-once --fault huge=5,told --fault drip=2",
    )
    .unwrap();
    let ms = Duration::from_millis;
    let latency = Latency { base: ms(50), spread: Duration::from_micros(500), tail: Some((0.01, ms(150))) };
    assert_eq!(script.latency, latency);
    assert_eq!(script.overload, Some(Overload { workers: 4, queue: 16, row: Duration::from_nanos(2_500) }));
    assert_eq!((script.outputs, script.version.as_str(), script.poison), (3, "7", Some(-7.0)));
    assert_eq!(script.slow_row, Some((9.0, ms(80))));
    assert_eq!(script.rules.len(), 3);
}

#[test]
fn what_cannot_be_understood_is_named() {
    for (words, named) in [
        ("--delay", "--delay"),
        ("--delay-ms soon", "soon"),
        ("--delay-ms -1", "-1"),
        ("--fault nonsense", "nonsense"),
        ("--fault stall,often", "often"),
        ("--fault stall,nth=1,share=0.5", "one of"),
        ("--tail 0.1", "colon"),
        ("--unknown 1", "--unknown"),
    ] {
        let why = script(words).unwrap_err();
        assert!(why.contains(named), "{words}: {why}");
    }
}

#[test]
fn every_fault_has_a_word() {
    for (word, name) in [
        ("reset-before-head", Fault::ResetBeforeHead),
        ("reset-after-head", Fault::ResetAfterHead),
        ("close-before-head", Fault::CloseBeforeHead),
        ("close-after-head", Fault::CloseAfterHead),
        ("truncated", Fault::Truncated),
        ("malformed", Fault::Malformed),
        ("fewer-rows", Fault::FewerRows),
        ("wider", Fault::Wider),
        ("other-type", Fault::OtherType),
        ("shape-mismatch", Fault::ShapeMismatch),
        ("stall", Fault::Stall),
        ("stall-in-body", Fault::StallInBody),
        ("goaway", Fault::GoAway),
        ("unfinished", Fault::Unfinished),
    ] {
        assert_eq!(name.name(), word);
        assert_eq!(script(&format!("--fault {word}")).unwrap().rules.len(), 1);
    }
}
