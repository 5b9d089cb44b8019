//! `make inference-scenarios`: servers that die, slow down and are overloaded, one line of verdict each.
//!
//!     inference-scenarios [--quick] [NAME…]

use std::process::ExitCode;

use millstream_tests::inference::scenarios::{NAMES, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|a| a == "--quick");
    let mut names: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| *a != "--quick").collect();
    if names.is_empty() {
        names = NAMES.to_vec();
    }
    let mut kept = true;
    for name in names {
        match run(name, quick) {
            Ok(verdict) => {
                kept &= verdict.is_kept();
                println!("{verdict}");
            }
            Err(why) => {
                kept = false;
                println!("BROKEN  {name}: {why}");
            }
        }
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
