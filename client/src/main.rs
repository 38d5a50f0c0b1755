//! The `client` binary.

use std::process::ExitCode;

use clap::Parser;
use pelton_client::command::Command;
use pelton_client::{habits, output, verb};

/// What shells report for a process that SIGPIPE ended.
const READER_IS_GONE: u8 = 141;

fn main() -> ExitCode {
    let command = Command::parse_from(habits::translated(std::env::args_os()));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(format_args!("the client cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(verb::run(command)) {
        Ok(code) => code,
        // As every Unix tool that SIGPIPE ends: quietly. The signal itself stays ignored, as it would also end the client
        // when a connection breaks, which people are told.
        Err(error) if error.reader_is_gone() => ExitCode::from(READER_IS_GONE),
        Err(error) => {
            output::note(pelton_runtime_core::failure::error_chain(&error));
            ExitCode::FAILURE
        }
    }
}
