//! The `gtv-edge` binary: everything is in the library, so that tests and benchmarks reach it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    gtv_edge::cmd::main()
}
