//! What a plugin can see of the world.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use super::*;

#[test]
fn a_plugin_sees_the_time_of_the_batch_and_nothing_of_the_machine() {
    let see = || text(&process(&mut runner("looks-around"), &batch([0])).ports[0], "seen").remove(0);
    let seen = see();
    let (world, seed) = seen.rsplit_once("; seed ").unwrap();
    assert_eq!(
        world,
        "processing time 7; watermark 5; clock Ok(7); elapsed 0ns; environment 0; arguments 0; input Ok(0); \
         folder false; file false"
    );
    assert!(!seed.is_empty());
    assert_eq!(see(), seen, "the same rows give the same output");
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn log_lines_name_operator_and_generation_and_are_limited() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let mut runner = runner("looks-around");
    tracing::subscriber::with_default(subscriber, || process(&mut runner, &batch([5000])));
    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|l| l.contains("line ")).collect();
    assert!(lines[0].contains("line 0 ") && lines[0].contains("operator=op"), "{}", lines[0]);
    assert!(lines[0].contains(&format!("plugin={}", runner.plugin().label())), "{}", lines[0]);
    // A slow machine may need a second or two for them all.
    assert!(lines.len() >= 100 && lines.len() < 1000, "{}", lines.len());
}
